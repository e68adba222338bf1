"""Opens the outside and builds the flows. The only place that builds things."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from authsvc.adapters.hasher import HashCost, Hasher
from authsvc.clock import Clock, SystemClock
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.errors import ConfigurationError, Unavailable
from authsvc.flows import Flows
from authsvc.flows.access import Access
from authsvc.flows.account import Account
from authsvc.flows.client_auth import ClientAuth
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.client_credentials import ClientCredentialsGrant
from authsvc.flows.clients import Clients
from authsvc.flows.coalescer import Coalescer
from authsvc.flows.exchange import Exchange, Grant
from authsvc.flows.families import Families
from authsvc.flows.introspection import Introspection
from authsvc.flows.issuance import Issuance
from authsvc.flows.keys import SigningKeys
from authsvc.flows.login import Login, SessionTokens
from authsvc.flows.recognition import Recognition
from authsvc.flows.refresh_token import RefreshTokenGrant
from authsvc.flows.registration import Registration
from authsvc.flows.revocation import Revocation
from authsvc.flows.revocations import Revocations
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.flows.users import Users
from authsvc.jobs.runner import Periodic
from authsvc.metrics import Metrics
from authsvc.migrate import pending
from authsvc.models import GrantType
from authsvc.protocol.keys import parse_master_key
from authsvc.settings import Settings
from authsvc.tables import revocations as revocations_table
from authsvc.tables import signing_keys
from authsvc.tables.db import Database

KEY_REFRESH_SECONDS = 1.0
POOL_SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outside:
    """Where time and chance come from; tests bring their own."""

    clock: Clock
    entropy: Entropy


REAL = Outside(SystemClock(), SystemEntropy())


@asynccontextmanager
async def open_flows(
    settings: Settings, metrics: Metrics, outside: Outside = REAL, *, with_jobs: bool = True
) -> AsyncIterator[Flows]:
    """The flows, ready to be called, in a running loop; closed when the block is left.

    PostgreSQL may be away: then every flow that needs it raises Unavailable until it is back. A command, which is
    gone in a moment, does without the jobs that keep a server's memory up to date.

    Raises:
        ConfigurationError: the master key is malformed, or does not open the signing keys.
    """
    clock, entropy = outside.clock, outside.entropy
    master_key = parse_master_key(settings.master_key)
    timeout = settings.database_timeout_ms / 1000
    async with AsyncExitStack() as stack:
        # Introspection has connections of its own: logins that hold every other one do not hold it up.
        db, marks_db = (
            Database(
                settings.database_url, size=size, timeout=timeout, name=name,
                on_unavailable=metrics.db_pool(name).errors.inc,
            )
            for name, size in (("main", settings.database_pool), ("introspection", settings.introspection_pool))
        )  # fmt: skip
        for database in (db, marks_db):
            await database.open()
            stack.push_async_callback(database.close)

        coalescer = Coalescer(
            lambda marks: revocations_table.find_generations(marks_db, marks),
            in_flight=settings.introspection_pool,
            timeout=timeout,
            observe=metrics.introspection_batch_size.observe,
        )
        stack.push_async_callback(coalescer.close)
        revocations = Revocations(db, clock, coalescer, metrics)

        keys = SigningKeys(
            db, revocations, clock, entropy, metrics,
            master_key=master_key, algorithm=settings.access_token_algorithm,
        )  # fmt: skip
        with suppress(Unavailable):  # the job below loads them when PostgreSQL is back
            await keys.refresh()

        cost = HashCost(settings.password_hash_memory_kib, settings.password_hash_passes)
        hasher = Hasher(
            cost, threads=settings.password_hash_threads, queue=settings.password_hash_queue, metrics=metrics
        )
        await hasher.open()
        stack.callback(hasher.close)

        copies = ClientCopies(db, clock)
        client_auth = ClientAuth(copies)
        recognition = Recognition(keys, revocations, clock, issuer=settings.issuer, capacity=settings.token_cache)
        issuance = Issuance(
            keys, revocations, clock, entropy,
            issuer=settings.issuer, access_token_seconds=settings.access_token_seconds,
        )  # fmt: skip
        default_audience = settings.resolved_default_audience
        secret = SealedSecret(db, clock, entropy, name="refresh tokens", master_key=master_key)
        families = Families(
            db, revocations, secret, clock, entropy, metrics,
            idle_seconds=settings.refresh_idle_seconds, absolute_seconds=settings.refresh_absolute_seconds,
        )  # fmt: skip
        grants: dict[GrantType, Grant] = {
            GrantType.CLIENT_CREDENTIALS: ClientCredentialsGrant(
                copies, revocations, default_audience=default_audience
            ),
            GrantType.REFRESH_TOKEN: RefreshTokenGrant(families),
        }
        tokens = SessionTokens(issuance, families, copies)

        jobs = [
            Periodic("read the signing keys", KEY_REFRESH_SECONDS, keys.refresh),
            Periodic("sample the pools", POOL_SAMPLE_SECONDS, _pool_sampler(metrics, db, marks_db)),
        ]
        for job in jobs if with_jobs else ():
            job.start()
            stack.push_async_callback(job.stop)
        yield Flows(
            exchange=Exchange(client_auth, grants, issuance, metrics),
            introspection=Introspection(client_auth, recognition, families, metrics, issuer=settings.issuer),
            revocation=Revocation(client_auth, recognition, families, revocations),
            keys=keys,
            registration=Registration(
                db, hasher, clock, entropy,
                is_open=settings.registration == "open", password_min_length=settings.password_min_length,
            ),
            login=Login(
                db, copies, hasher, families, tokens, clock, entropy, metrics,
                audience=(default_audience, settings.api_audience), session_seconds=settings.session_seconds,
            ),
            access=Access(recognition, audience=settings.api_audience),
            account=Account(
                db, revocations, hasher, tokens, clock, password_min_length=settings.password_min_length
            ),
            users=Users(db, revocations, clock),
            clients=Clients(db, revocations, clock, entropy),
        )  # fmt: skip


def _pool_sampler(metrics: Metrics, *databases: Database) -> Callable[[], Awaitable[None]]:
    gauges = [(database, metrics.db_pool(database.name)) for database in databases]

    async def sample() -> None:
        for database, gauge in gauges:
            gauge.in_use.set(database.in_use)
            gauge.size.set(database.size)

    return sample


@asynccontextmanager
async def open_readiness(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[Sequence[str]]]]:
    """What keeps this deployment from serving: asked of PostgreSQL at each call, on a connection of its own.

    The texts go to operators; they name no host and no secret.
    """
    database = Database(settings.database_url, size=1, timeout=1.0, name="readiness")
    await database.open()

    async def faults() -> Sequence[str]:
        try:
            missing = await pending(database)
            if missing:
                return [f"{len(missing)} migrations are not applied"]
            if not await signing_keys.list_keys(database):
                return ["there is no signing key yet"]
        except Unavailable:
            return ["PostgreSQL cannot be asked"]
        except ConfigurationError as error:
            return error.faults
        return []

    try:
        yield faults
    finally:
        await database.close()

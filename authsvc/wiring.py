"""Opens the outside and builds the flows. The only place that builds things."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from authsvc.adapters.hasher import HashCost, Hasher
from authsvc.adapters.outbound import Outbound
from authsvc.caches.attempts import SharedAttempts
from authsvc.caches.redis import Cache
from authsvc.caches.revocations import RevocationCache
from authsvc.clock import Clock, SystemClock
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.errors import Unavailable
from authsvc.flows import Flows
from authsvc.flows.access import Access
from authsvc.flows.account import Account
from authsvc.flows.app_sessions import AppSessions
from authsvc.flows.audit import Audit
from authsvc.flows.audit_trail import AuditTrail
from authsvc.flows.authorization import AuthorizationRequests
from authsvc.flows.browser_sessions import BrowserSessions
from authsvc.flows.canary import Canary
from authsvc.flows.client_assertions import ClientAssertions
from authsvc.flows.client_auth import ClientAuth
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.client_credentials import ClientCredentialsGrant
from authsvc.flows.client_keys import ClientKeys
from authsvc.flows.clients import Clients
from authsvc.flows.coalescer import Coalescer
from authsvc.flows.code_grant import CodeGrant
from authsvc.flows.connections import Connections
from authsvc.flows.consents import Consents
from authsvc.flows.election import Election
from authsvc.flows.exchange import Exchange, Grant
from authsvc.flows.families import Families
from authsvc.flows.forward_auth import ForwardAuth
from authsvc.flows.hosted_login import HostedLogin
from authsvc.flows.housekeeping import Housekeeping
from authsvc.flows.introspection import Introspection
from authsvc.flows.issuance import Issuance
from authsvc.flows.keys import Generate, SigningKeys
from authsvc.flows.lease import Lease
from authsvc.flows.limits import Limits
from authsvc.flows.local_attempts import LocalAttempts
from authsvc.flows.login import Login, SessionTokens
from authsvc.flows.logout import LogoutRequests
from authsvc.flows.logout_notices import LogoutNotices
from authsvc.flows.mark_reader import MarkReader
from authsvc.flows.master_key import MasterKeyExchange
from authsvc.flows.own_forms import OwnForms
from authsvc.flows.own_sessions import OwnSessions
from authsvc.flows.password_change import PasswordChange
from authsvc.flows.password_login import PasswordLogin
from authsvc.flows.passwords import Passwords
from authsvc.flows.profiles import Profiles
from authsvc.flows.publication import Publication
from authsvc.flows.pushed_requests import Duties, PushedRequests
from authsvc.flows.recognition import Recognition
from authsvc.flows.refresh_token import RefreshTokenGrant
from authsvc.flows.registration import Registration
from authsvc.flows.request_objects import RequestObjects
from authsvc.flows.revocation import Revocation
from authsvc.flows.revocations import Revocations
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.flows.sectors import Sectors
from authsvc.flows.service_tokens import ServiceTokens
from authsvc.flows.subjects import SECRET_NAME, Subjects
from authsvc.flows.userinfo import UserInfo
from authsvc.flows.users import Users
from authsvc.flows.visits import Visits
from authsvc.flows.warm_up import WarmUp
from authsvc.jobs.runner import Periodic
from authsvc.jobs.schedule import jobs_of
from authsvc.metrics import Metrics
from authsvc.models import GrantType
from authsvc.policies import limits_of, password_rules_of, peppers_of, rotation_of
from authsvc.protocol.audit import Event
from authsvc.protocol.keys import generate
from authsvc.protocol.master_key import MasterKey
from authsvc.protocol.outbound import may_connect
from authsvc.settings import Settings
from authsvc.tables import revocations as revocations_table
from authsvc.tables.db import Database

AUDIT_SEAL_SECONDS = 5.0
JOB_SECONDS = 10.0
"""How often a worker looks whether a job is due that nobody else does."""
CANARY_SECONDS = 1.0
KEY_REFRESH_SECONDS = 1.0
LEASE_SECONDS = 1.0
LOGOUT_NOTICES_LOOK_SECONDS = 5.0
REDIS_LOOK_SECONDS = 1.0
WARM_UP_SECONDS = 1.0
POOL_SAMPLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Outside:
    """Where time and chance come from; tests bring their own."""

    clock: Clock
    entropy: Entropy
    generate: Generate = generate


REAL = Outside(SystemClock(), SystemEntropy())


@asynccontextmanager
async def open_flows(
    settings: Settings, metrics: Metrics, outside: Outside = REAL, *, keeps_fresh: bool = True, with_jobs: bool = True
) -> AsyncIterator[Flows]:
    """The flows, ready to be called, in a running loop; closed when the block is left.

    PostgreSQL may be away: then every flow that needs it raises Unavailable until it is back. A server keeps its memory
    up to date, and does the jobs that nobody asks for unless another process does them; a command, which is gone in a
    moment, does neither.

    Raises:
        ConfigurationError: a master key is malformed, or does not open the signing keys; or the file with authorities
            is of no use.
    """
    clock, entropy = outside.clock, outside.entropy
    master_key = MasterKey.parse(settings.master_key, settings.master_key_previous)
    timeout = settings.database_timeout_ms / 1000
    async with AsyncExitStack() as stack:
        stores = await _open_stores(stack, settings, metrics, clock)
        db, marks_db, jobs_db = stores.databases
        cache, marks_cache = stores.cache, stores.marks_cache
        lease = Lease(marks_db, clock, metrics, has_redis=marks_cache is not None)
        publication = Publication(db, marks_cache, lease, clock, metrics)
        reader = MarkReader(
            lambda marks: revocations_table.find_generations(marks_db, marks), marks_cache, lease, metrics
        )
        coalescer = Coalescer(
            reader.find,
            shortcut=reader,
            in_flight=settings.introspection_pool,
            timeout=timeout,
            observe=metrics.observe_batch,
        )
        stack.push_async_callback(coalescer.close)
        audit = Audit(db, clock, metrics)
        audit.open()
        stack.push_async_callback(audit.close)
        bell = asyncio.Event()
        revocations = Revocations(db, clock, coalescer, publication, audit, metrics, bell)

        keys = SigningKeys(
            db, revocations, audit, clock, entropy, metrics,
            generate=outside.generate, master_key=master_key,
            policy=rotation_of(settings), algorithm=settings.access_token_algorithm,
        )  # fmt: skip
        with suppress(Unavailable):  # the job below loads them when PostgreSQL is back
            await keys.refresh()

        cost = HashCost(settings.password_hash_memory_kib, settings.password_hash_passes)
        hasher = Hasher(
            cost, threads=settings.password_hash_threads, queue=settings.password_hash_queue, metrics=metrics
        )
        await hasher.open()
        stack.callback(hasher.close)
        passwords = Passwords(db, hasher, peppers_of(settings), password_rules_of(settings))

        copies = ClientCopies(db, lease, clock)
        shared = None if cache is None else SharedAttempts(cache)
        limits = Limits(limits_of(settings), shared, LocalAttempts(clock), audit, metrics)
        outbound = Outbound(
            partial(may_connect, allows_loopback=settings.outbound_loopback), ca_file=settings.outbound_ca_file
        )
        stack.callback(outbound.close)
        client_keys = ClientKeys(outbound, clock)
        assertions = ClientAssertions(db, client_keys, clock, issuer=settings.issuer)
        client_auth = ClientAuth(copies, assertions, limits, audit, clock)
        subjects = Subjects(copies, SealedSecret(db, clock, entropy, name=SECRET_NAME, master_key=master_key))
        recognition = Recognition(
            keys, revocations, subjects, clock, issuer=settings.issuer, capacity=settings.token_cache
        )
        issuance = Issuance(
            db, keys, revocations, subjects, clock, entropy,
            issuer=settings.issuer, access_token_seconds=settings.access_token_seconds,
        )  # fmt: skip
        default_audience = settings.resolved_default_audience
        secret = SealedSecret(db, clock, entropy, name="refresh tokens", master_key=master_key)
        families = Families(
            db, revocations, secret, clock, entropy, metrics,
            idle_seconds=settings.refresh_idle_seconds, absolute_seconds=settings.refresh_absolute_seconds,
            userinfo_audience=settings.userinfo_audience, api_audience=settings.api_audience,
        )  # fmt: skip
        client_credentials = ClientCredentialsGrant(copies, revocations, default_audience=default_audience)
        grants: dict[GrantType, Grant] = {
            GrantType.AUTHORIZATION_CODE: CodeGrant(db, families, clock, entropy, default_audience=default_audience),
            GrantType.CLIENT_CREDENTIALS: client_credentials,
            GrantType.REFRESH_TOKEN: RefreshTokenGrant(families),
        }
        audit_trail = AuditTrail(
            db, SealedSecret(db, clock, entropy, name="audit chain", master_key=master_key), clock,
            retention_days=settings.audit_retention_days,
        )  # fmt: skip
        waiting = SealedSecret(db, clock, entropy, name="waiting requests", master_key=master_key)
        profiles = Profiles(db, audit, clock)
        tokens = SessionTokens(issuance, families, subjects)
        password_change = PasswordChange(db, revocations, passwords, limits, audit)
        password_login = PasswordLogin(db, passwords, limits, audit, metrics)
        browser_sessions = BrowserSessions(
            db, revocations, audit, password_change, clock, entropy,
            session_seconds=settings.session_seconds, idle_seconds=settings.session_idle_seconds,
        )  # fmt: skip

        request_objects = RequestObjects(client_keys, clock, issuer=settings.issuer)
        duties = Duties(
            push=settings.require_pushed_authorization_requests, sign=settings.require_signed_request_object
        )
        pushed_requests = PushedRequests(
            db, client_auth, limits, request_objects, clock, entropy,
            duties=duties, default_audience=default_audience,
        )  # fmt: skip
        introspection = Introspection(
            client_auth, limits, recognition, families, issuance, subjects, clock, metrics, issuer=settings.issuer
        )

        app_sessions = AppSessions(subjects, clock, default_audience=default_audience)
        flows = Flows(
            exchange=Exchange(client_auth, limits, grants, issuance, metrics),
            service_tokens=ServiceTokens(client_auth, limits, client_credentials, issuance, revocations, metrics),
            introspection=introspection,
            forward_auth=ForwardAuth(introspection, app_sessions),
            revocation=Revocation(client_auth, limits, recognition, families, revocations),
            keys=keys,
            registration=Registration(
                db, passwords, limits, audit, clock, entropy, is_open=settings.registration == "open"
            ),
            login=Login(
                db, copies, password_login, families, tokens, audit, clock, entropy,
                audience=(default_audience, settings.api_audience), session_seconds=settings.session_seconds,
            ),
            authorization=AuthorizationRequests(
                db, copies, keys, Consents(db, audit, clock), pushed_requests, request_objects, subjects, waiting,
                metrics, clock, entropy, issuer=settings.issuer, default_audience=default_audience, duties=duties,
            ),
            pushed_requests=pushed_requests,
            logout=LogoutRequests(db, copies, keys, subjects, waiting, clock, issuer=settings.issuer),
            logout_notices=LogoutNotices(
                jobs_db, issuance, subjects, outbound, clock, entropy, metrics, bell, issuer=settings.issuer
            ),
            visits=Visits(waiting),
            forms=OwnForms(waiting, audit, entropy),
            hosted_login=HostedLogin(password_login, browser_sessions),
            browser_sessions=browser_sessions,
            app_sessions=app_sessions,
            sessions=OwnSessions(db, revocations, clock),
            connections=Connections(db, copies, revocations, clock),
            access=Access(recognition, revocations, audit, audience=settings.api_audience),
            account=Account(
                db, revocations, password_change, tokens, profiles
            ),
            userinfo=UserInfo(
                db, recognition, copies, issuance, clock,
                issuer=settings.issuer, audience=settings.userinfo_audience,
            ),
            users=Users(db, revocations, profiles, audit, clock),
            clients=Clients(db, revocations, Sectors(outbound), audit, clock, entropy),
            audit_trail=audit_trail,
            master_key=MasterKeyExchange(db, audit, entropy, master_key=master_key),
            canary=Canary(db, publication, revocations, clock, entropy, metrics),
            housekeeping=Housekeeping(jobs_db, publication, clock, metrics),
        )  # fmt: skip
        stack.push_async_callback(flows.logout_notices.close)
        warm_up = None
        if marks_cache is not None:
            warm_up = WarmUp(jobs_db, marks_cache, publication, lease, clock, entropy, metrics)
        periodics = [
            *(_refreshers(flows, stores, lease, metrics) if keeps_fresh else ()),
            *(_jobs(flows, stores, Election(jobs_db, clock, metrics), warm_up) if with_jobs else ()),
        ]
        for place, periodic in enumerate(periodics):
            periodic.start(later=place / len(periodics))
            stack.push_async_callback(periodic.stop)
        if keeps_fresh:
            audit.observe(audit.build(Event.SYS_STARTUP))
            stack.callback(lambda: audit.observe(audit.build(Event.SYS_SHUTDOWN)))
        yield flows


@dataclass(frozen=True, slots=True)
class _Stores:
    databases: tuple[Database, Database, Database]
    """For introspection there are connections of its own: logins that hold every other one do not hold it up. Of those
    of the jobs, the last, one holds the lock of the job that runs, which works on another."""
    cache: Cache | None
    marks_cache: RevocationCache | None


async def _open_stores(stack: AsyncExitStack, settings: Settings, metrics: Metrics, clock: Clock) -> _Stores:
    def database(name: str, size: int) -> Database:
        pool = metrics.db_pool(name)
        return Database(
            settings.database_url, size=size, timeout=settings.database_timeout_ms / 1000, name=name,
            on_unavailable=pool.errors.inc, on_wait=pool.wait.observe,
        )  # fmt: skip

    databases = (
        database("main", settings.database_pool),
        database("introspection", settings.introspection_pool + 1),
        database("jobs", 6),
    )
    for each in databases:
        await each.open()
        stack.push_async_callback(each.close)
    if settings.redis_url is None:
        return _Stores(databases, None, None)
    cache = Cache(settings.redis_url, clock, metrics)
    stack.push_async_callback(cache.close)
    return _Stores(databases, cache, RevocationCache(cache))


def _refreshers(flows: Flows, stores: _Stores, lease: Lease, metrics: Metrics) -> list[Periodic]:
    """What keeps the memory of a server up to date."""
    return [
        Periodic("read the signing keys", KEY_REFRESH_SECONDS, flows.keys.refresh),
        Periodic("look for the canary", CANARY_SECONDS, flows.canary.look),
        Periodic("renew the lease", LEASE_SECONDS, lease.renew),
        *([] if stores.cache is None else [Periodic("look for Redis", REDIS_LOOK_SECONDS, stores.cache.look)]),
        Periodic("sample the pools", POOL_SAMPLE_SECONDS, _pool_sampler(metrics, *stores.databases)),
        # Also where nobody sends them, or it would never be seen.
        Periodic("look at logout notices", LOGOUT_NOTICES_LOOK_SECONDS, flows.logout_notices.look),
    ]


def _jobs(flows: Flows, stores: _Stores, election: Election, warm_up: WarmUp | None) -> list[Periodic]:
    """What nobody asks for."""
    jobs = [
        Periodic("seal the audit log", AUDIT_SEAL_SECONDS, flows.audit_trail.seal),
        Periodic("send logout notices", 0.0, flows.logout_notices.send_next),
        *(
            # Not at once: a service that dies as it starts does not begin with the jobs each time.
            Periodic(job.name, JOB_SECONDS, partial(election.run, job.name, job.every, job.act), first=JOB_SECONDS)
            for job in jobs_of(flows)
        ),
    ]
    if stores.cache is not None and warm_up is not None:
        # In this order, whatever the turn of the look above: one that has just been found again is filled at once.
        jobs.append(Periodic("fill Redis", WARM_UP_SECONDS, partial(_in_turn, stores.cache.look, warm_up.run)))
    return jobs


async def _in_turn(*acts: Callable[[], Awaitable[None]]) -> None:
    for act in acts:
        await act()


def _pool_sampler(metrics: Metrics, *databases: Database) -> Callable[[], Awaitable[None]]:
    gauges = [(database, metrics.db_pool(database.name)) for database in databases]

    async def sample() -> None:
        for database, gauge in gauges:
            gauge.in_use.set(database.in_use)
            gauge.size.set(database.size)

    return sample

"""Everything a run needs: the stores, the service with its clients and tokens, and the ceilings beside it."""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

import msgspec
from prometheus_client import CollectorRegistry

from authsvc.metrics import Metrics
from authsvc.migrate import migrate
from authsvc.models import GrantType
from authsvc.protocol.clients import ClientRegistration
from authsvc.protocol.keys import MASTER_KEY_BYTES, format_master_key
from authsvc.settings import load
from authsvc.wiring import open_flows
from tests.benchmarks.cases import CEILINGS, SERVICE
from tests.benchmarks.cpu import Cores, Process, family, seconds_of
from tests.benchmarks.server import Server, running
from tests.benchmarks.traffic import Connection, Traffic, get, post
from tests.stores import running_stores

RESOURCE = "https://orders.example"
SERVICES = 8
"""Clients that the tokens are issued to, in turn."""
REVOKED = 100
"""Revoked tokens, at most: each is a commit."""

INTROSPECT, TOKEN, REVOKE = "/oauth2/introspect", "/oauth2/token", "/oauth2/revoke"
Credentials = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    servers: Mapping[str, Server]
    traffic: Mapping[str, Traffic]

    @staticmethod
    def postgres_seconds() -> float:
        """CPU time of PostgreSQL until now."""
        return seconds_of([each for each in family(os.getpid()) if _is_postgres(each)])


def _is_postgres(process: Process) -> bool:
    return process.name.startswith("postgres")


@contextmanager
def set_up(cores: Cores, *, tokens: int) -> Iterator[Stage]:
    """The stage, and nothing left of it. This process and the stores keep off the server's core."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores.load)
    try:
        with ExitStack() as stack:
            stores = stack.enter_context(running_stores())
            metrics = stack.enter_context(tempfile.TemporaryDirectory(prefix="authsvc-benchmark-"))
            settings = {
                "AUTHSVC_ISSUER": "https://id.example",
                "AUTHSVC_DATABASE_URL": stores.database_url,
                "AUTHSVC_MASTER_KEY": format_master_key(os.urandom(MASTER_KEY_BYTES)),
                "AUTHSVC_ACCESS_TOKEN_SECONDS": "3600",  # no token of the run expires during it
                "AUTHSVC_CLIENT_REQUESTS_PER_MINUTE": "0",  # nor is one refused
            }
            clients = asyncio.run(_prepare(settings))
            servers = {
                name: stack.enter_context(
                    running(f"tests.benchmarks.ceilings:{name}", cores, lifespan="off", environ={})
                )
                for name in CEILINGS
            }
            servers[SERVICE] = stack.enter_context(
                running(
                    "authsvc.app:create_app", cores, lifespan="on",
                    environ={**settings, "PROMETHEUS_MULTIPROC_DIR": metrics},
                )
            )  # fmt: skip
            with Connection(servers[SERVICE].port) as connection:
                traffic = _traffic(clients, connection, tokens)
            yield Stage(servers, traffic)
    finally:
        os.sched_setaffinity(0, everywhere)


@dataclass(frozen=True, slots=True)
class Clients:
    services: tuple[Credentials, ...]
    resource_server: Credentials
    stranger: Credentials


async def _prepare(settings: Mapping[str, str]) -> Clients:
    """The schema, and the clients."""
    await migrate(settings["AUTHSVC_DATABASE_URL"])
    async with open_flows(load(settings), Metrics(CollectorRegistry())) as flows:

        async def client(name: str, audiences: tuple[str, ...] = (), serves: tuple[str, ...] = ()) -> Credentials:
            made, secret = await flows.clients.create(
                ClientRegistration(
                    name=name, grant_types=(GrantType.CLIENT_CREDENTIALS,), scope="read write",
                    audiences=audiences, serves=serves,
                )
            )  # fmt: skip
            return made.client_id, secret or ""

        return Clients(
            services=tuple([await client(f"service {number}", audiences=(RESOURCE,)) for number in range(SERVICES)]),
            resource_server=await client("orders", serves=(RESOURCE,)),
            stranger=await client("stranger"),
        )


def _traffic(clients: Clients, connection: Connection, tokens: int) -> dict[str, Traffic]:
    form = {"grant_type": "client_credentials", "scope": "read", "resource": RESOURCE}
    wanted = [post(TOKEN, form, service) for service in clients.services]

    def obtain(service: int) -> str:
        _, body = connection.ask(wanted[service])
        return str(msgspec.json.decode(body)["access_token"])

    turns = list(islice(cycle(range(SERVICES)), tokens))
    active = [obtain(turn) for turn in turns]
    revoked = [(turn, obtain(turn)) for turn in turns[:REVOKED]]
    for turn, token in revoked:
        connection.ask(post(REVOKE, {"token": token}, clients.services[turn]))
    garbage = [os.urandom(32).hex() for _ in turns]
    # Our header and claims, and a signature that is right for another token: as dear as a token that is none can be.
    signatures = [token.rpartition(".")[2] for token in active]
    forged = [
        token.rpartition(".")[0] + "." + signature
        for token, signature in zip(active, signatures[1:] + signatures[:1], strict=True)
    ]

    def introspect(texts: list[str], caller: Credentials) -> list[bytes]:
        return [post(INTROSPECT, {"token": text}, caller) for text in texts]

    asking, inactive = clients.resource_server, b'{"active":false}'
    return {
        "active": Traffic(introspect(active, asking), b'"active":true'),
        "revoked": Traffic(introspect([token for _, token in revoked], asking), inactive),
        "garbage": Traffic(introspect(garbage, asking), inactive),
        "forged": Traffic(introspect(forged, asking), inactive),
        "foreign": Traffic(introspect(active, clients.stranger), inactive),
        "token": Traffic(wanted, b'"access_token":"'),
        "jwks": Traffic([get("/.well-known/jwks.json")], b'"keys":[{'),
        "get": Traffic([get("/")], b'"active":true'),
        "metadata": Traffic([get("/.well-known/oauth-authorization-server")], b'"introspection_endpoint":"'),
    }

"""A whole service for one test: the flows, and the application on top of them, on a database of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx2
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from authsvc.app import create_app
from authsvc.entropy import SystemEntropy
from authsvc.flows import Flows
from authsvc.metrics import Metrics
from authsvc.models import Client, GrantType
from authsvc.protocol.clients import ClientRegistration
from authsvc.settings import Settings
from authsvc.web.at_once import STATE
from authsvc.wiring import Outside, open_flows
from tests.drawn_keys import draw_key

ISSUER = "http://127.0.0.1:8000"
MASTER_KEY = "kR1f1V9T5jv2g8Gq0yPj3m8bW7c4aZ6xN1oQeUuHsYI"
PASSWORD = "correct horse battery staple"
NO_LIMITS = {
    "login_attempts": 0,
    "login_attempts_per_account": 0,
    "login_attempts_per_address": 0,
    "registrations_per_address": 0,
    "client_failures": 0,
    "client_requests_per_minute": 0,
    "pushed_requests_per_minute": 0,
    "introspections_per_minute": 0,
}
CHEAP_HASHES = {"password_hash_memory_kib": 8, "password_hash_passes": 1}
"""Less than a setting may say: for what is not about the cost of a hash."""


@dataclass
class FakeClock:
    """A clock that moves when it is told to."""

    at: datetime = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    elapsed: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def unix(self) -> float:
        return self.at.timestamp()

    def monotonic(self) -> float:
        return self.elapsed

    def boottime(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.elapsed += seconds


def settings_for(database_url: str, **changes: Any) -> Settings:
    """Settings of a service on this database. It limits no attempts but those that the test asks it to."""
    plain = Settings(issuer=ISSUER, database_url=database_url, master_key=MASTER_KEY)
    return replace(plain, **(NO_LIMITS | changes))


@asynccontextmanager
async def flows_on(settings: Settings, clock: FakeClock | None = None) -> AsyncIterator[Flows]:
    """The flows of one worker."""
    outside = Outside(clock or FakeClock(), SystemEntropy(), draw_key)
    async with open_flows(settings, Metrics(CollectorRegistry()), outside) as flows:
        yield flows


@dataclass
class House:
    """One worker: its flows, and an HTTP client that talks to its application."""

    flows: Flows
    http: httpx2.AsyncClient
    clock: FakeClock
    settings: Settings
    metrics: Metrics
    credentials: dict[str, str] = field(default_factory=dict)
    """The secrets of the clients made here, by client_id."""

    async def client(self, **registration: Any) -> Client:
        """A client; confidential and allowed client_credentials unless it is said otherwise."""
        if not registration.get("public"):
            registration.setdefault("grant_types", (GrantType.CLIENT_CREDENTIALS,))
        client, secret = await self.flows.clients.create(ClientRegistration(**{"name": "a client"} | registration))
        if secret is not None:
            self.credentials[client.client_id] = secret
        return client

    def basic(self, client: Client) -> tuple[str, str]:
        return client.client_id, self.credentials[client.client_id]

    async def token(self, client: Client, **parameters: str) -> str:
        """An access token of the client's own."""
        form = {"grant_type": "client_credentials"} | parameters
        answer = await self.http.post("/oauth2/token", data=form, auth=self.basic(client))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def introspect(self, client: Client, token: str) -> dict[str, Any]:
        """What this client is told of the token."""
        answer = await self.http.post("/oauth2/introspect", data={"token": token}, auth=self.basic(client))
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def user(self, email: str = "ada@example.com", password: str = PASSWORD) -> str:
        """A registered user's sub."""
        answer = await self.http.post("/api/v1/users", json={"email": email, "password": password})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["sub"])

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD, **more: str) -> str:
        """An access token of the user's."""
        answer = await self.http.post("/api/v1/login", json={"email": email, "password": password, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def sql(self, query: str, *values: object) -> Any:
        """What stands in the database: the first value that the statement returns."""
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


@asynccontextmanager
async def house_on(settings: Settings, clock: FakeClock | None = None, *, offers: bool = True) -> AsyncIterator[House]:
    """One worker with its application, as a server would run it: one that offers requests before it begins a task for
    them, or one that does not."""
    clock = clock or FakeClock()
    app = create_app(settings, Outside(clock, SystemEntropy(), draw_key))
    async with app.lifespan(app) as state:
        assert state is not None
        transport = httpx2.ASGITransport(_with_state(app, state if offers else {**state, STATE: {}}))
        async with httpx2.AsyncClient(transport=transport, base_url=settings.issuer) as http:
            yield House(state["flows"], http, clock, settings, app.metrics)


def _with_state(app: ASGIApp, state: Mapping[str, Any]) -> ASGIApp:
    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "state": dict(state)}
        taker = state[STATE].get(scope["raw_path"])
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if taker is None or scope["method"] != taker.method or not (length.isdigit() and len(length) < 5):
            await app(scope, receive, send)
            return
        message = await receive()
        whole = _Whole(scope, bytearray(message["body"]))
        if not message["more_body"] and taker(whole) and await whole.is_answered():
            await whole.tell(send)
            return
        messages = iter((message,))

        async def receive_again() -> Message:
            return next(messages, None) or await receive()

        await app(scope, receive_again, send)

    return with_state


class _Whole:
    """A request that has come whole; as `Unstarted` says."""

    def __init__(self, scope: Scope, body: bytearray) -> None:
        self.scope = scope
        self.body = body
        self._answer: asyncio.Future[tuple[int, bytes, bytes] | None] = asyncio.get_running_loop().create_future()

    def write(self, status: int, lines: bytes, body: bytes) -> None:
        self._answer.set_result((status, lines, body))

    def start(self) -> None:
        self._answer.set_result(None)

    async def is_answered(self) -> bool:
        return await self._answer is not None

    async def tell(self, send: Send) -> None:
        told = await self._answer
        assert told is not None
        status, lines, body = told
        assert lines.endswith(b"\r\n")
        headers = [tuple(line.split(b": ", 1)) for line in lines.removesuffix(b"\r\n").split(b"\r\n")]
        assert (b"content-length", b"%d" % len(body)) in headers or status in {204, 304}
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def database_away(database_url: str) -> AsyncIterator[None]:
    """Inside of the block this database is not there: sessions have been thrown out, and new ones find nothing."""
    parts = urlsplit(database_url)
    name = parts.path.removeprefix("/")
    connection = await asyncpg.connect(parts._replace(path="/postgres").geturl())
    try:
        # Nobody comes back between the two: a database that somebody has a session in is not renamed.
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await _rename_when_empty(connection, name)
        try:
            yield
        finally:
            await connection.execute(f"ALTER DATABASE {name}_away ALLOW_CONNECTIONS true")
            await connection.execute(f"ALTER DATABASE {name}_away RENAME TO {name}")
    finally:
        await connection.close()


async def _rename_when_empty(connection: asyncpg.Connection, name: str) -> None:
    """Whoever was let in just before is thrown out with the next try."""
    for last in (False, False, True):
        try:
            await connection.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'; "
                f"ALTER DATABASE {name} RENAME TO {name}_away"
            )
            return
        except asyncpg.ObjectInUseError:
            if last:
                raise


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}

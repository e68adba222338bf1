"""Workers of one deployment, spoken to below HTTP: flows on one database, under one clock."""

import asyncio
import json
from base64 import b64encode, urlsafe_b64decode
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import asyncpg
import pytest

from authsvc.errors import Forbidden, InvalidToken
from authsvc.flows import Flows
from authsvc.flows.client_copies import ClientCopy
from authsvc.models import GrantType
from authsvc.protocol.accounts import LoginRequest, LoginResponse, PasswordChangeRequest, RegistrationRequest
from authsvc.protocol.addresses import Address
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.clients import ClientRegistration
from authsvc.protocol.forms import Form
from authsvc.protocol.introspection import INACTIVE, IntrospectionRequest
from authsvc.protocol.revocation import RevocationRequest
from authsvc.protocol.token_request import TokenRequest
from authsvc.settings import Settings
from tests.house_of import CHEAP_HASHES, PASSWORD, FakeClock, flows_on, settings_for

EMAIL = "ada@example.com"
ADDRESS = ip_address("192.0.2.1")
MINT = TokenRequest(GrantType.CLIENT_CREDENTIALS, scope=None, resources=())

with_and_without_redis = pytest.mark.parametrize("workers", ["postgresql", "redis"], indirect=True)


def find_address() -> Address:
    return ADDRESS


def cheap(database_url: str, **changes: Any) -> Settings:
    """Settings under which a hash costs next to nothing, for what is not about hashing."""
    return settings_for(database_url, **(CHEAP_HASHES | {"password_hash_queue": 1000} | changes))


@dataclass(frozen=True)
class Caller:
    """A client as it calls. Public ones have no secret."""

    client_id: str
    secret: str | None

    @property
    def credentials(self) -> PresentedCredentials:
        if self.secret is None:
            return PresentedCredentials(None, Form({"client_id": [self.client_id]}))
        return PresentedCredentials(f"Basic {b64encode(f'{self.client_id}:{self.secret}'.encode()).decode()}", Form({}))


@dataclass(frozen=True)
class Worker:
    flows: Flows
    clock: FakeClock
    settings: Settings

    # --- Clients

    async def client(self, **registration: Any) -> Caller:
        """The credentials of a new client that may mint tokens of its own and introspect any."""
        asked: dict[str, Any] = {
            "name": "a client",
            "grant_types": (GrantType.CLIENT_CREDENTIALS,),
            "introspection": "any",
        }
        client, secret = await self.flows.clients.create(ClientRegistration(**(asked | registration)))
        return Caller(client.client_id, secret)

    async def authenticate(self, who: Caller) -> ClientCopy:
        return await self.flows.exchange.authenticate(who.credentials, find_address)

    async def mint(self, who: Caller) -> str:
        client = await self.authenticate(who)
        return (await self.flows.exchange.exchange(client, MINT)).access_token

    async def is_active(self, who: Caller, token: str) -> bool:
        answer = await self.flows.introspection.introspect(who.credentials, IntrospectionRequest(token), find_address)
        active = bool(json.loads(answer)["active"])
        assert active or answer == INACTIVE
        return active

    async def revoke(self, who: Caller, token: str) -> None:
        await self.flows.revocation.revoke(who.credentials, RevocationRequest(token), find_address)

    # --- Users

    async def register(self, email: str = EMAIL, password: str = PASSWORD) -> str:
        request = RegistrationRequest(email=email, password=password)
        return (await self.flows.registration.register(request, ADDRESS)).sub

    async def open_session(self, email: str = EMAIL, password: str = PASSWORD, **more: str) -> LoginResponse:
        return await self.flows.login.log_in(LoginRequest(email=email, password=password, **more), ADDRESS)

    async def log_in(self, email: str = EMAIL, password: str = PASSWORD, **more: str) -> str:
        return (await self.open_session(email, password, **more)).access_token

    async def refresh(self, who: Caller, refresh_token: str) -> tuple[str, str]:
        """The next access token and the next refresh token."""
        client = await self.authenticate(who)
        request = TokenRequest(GrantType.REFRESH_TOKEN, scope=None, resources=(), refresh_token=refresh_token)
        answer = await self.flows.exchange.exchange(client, request)
        assert answer.refresh_token is not None
        return answer.access_token, answer.refresh_token

    async def log_out(self, token: str) -> None:
        await self.flows.account.log_out(await self.flows.access.authorize_ending(token))

    async def log_out_everywhere(self, token: str) -> None:
        await self.flows.account.log_out_everywhere(await self.flows.access.authorize_ending(token))

    async def change_password(self, token: str, new: str, current: str = PASSWORD) -> str:
        request = PasswordChangeRequest(current_password=current, new_password=new)
        known = await self.flows.access.authorize_ending(token)
        return (await self.flows.account.change_password(known, request)).access_token

    # --- Marks

    def answered_by(self, path: str) -> float:
        """How many questions for marks went there."""
        return float(self.flows.account._revocations._metrics.mark_questions[path]._value.get())

    async def until_redis_answers(self) -> None:
        """It is filled, and this worker has a lease on it."""
        before = self.answered_by("redis")
        async with asyncio.timeout(20):
            while self.answered_by("redis") == before:
                await self.flows.account._revocations.find("j:none")
                await asyncio.sleep(0.01)

    async def is_let_in(self, token: str) -> bool:
        """By the guard of the service's own API."""
        try:
            await self.flows.access.authorize_user(token)
        except (InvalidToken, Forbidden):
            return False
        return True


@asynccontextmanager
async def worker_on(settings: Settings, clock: FakeClock | None = None) -> AsyncIterator[Worker]:
    clock = clock or FakeClock()
    async with flows_on(settings, clock) as flows:
        yield Worker(flows, clock, settings)


@asynccontextmanager
async def workers_on(settings: Settings, many: int = 2) -> AsyncIterator[list[Worker]]:
    """Workers under one clock."""
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(worker_on(settings, clock)) for _ in range(many)]


async def sql(database_url: str, query: str, *values: object) -> Any:
    """The first value that a statement returns, on a connection of its own."""
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetchval(query, *values)
    finally:
        await connection.close()


async def contents(database_url: str) -> dict[str, str]:
    """A digest of every row of every table."""
    tables = await sql(
        database_url, "SELECT array_agg(tablename ORDER BY tablename) FROM pg_tables WHERE schemaname = 'auth'"
    )
    digest = "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' ORDER BY t::text)), '') FROM auth.{} t"
    return {table: await sql(database_url, digest.format(table)) for table in tables}


async def count(database_url: str, table: str) -> int:
    return int(await sql(database_url, f"SELECT count(*) FROM auth.{table}"))


def segment(token: str, number: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a token."""
    text = token.split(".")[number]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def kid_of(token: str) -> str:
    return str(segment(token, 0)["kid"])


def claims_of(token: str) -> dict[str, Any]:
    return segment(token, 1)


async def active_everywhere(workers: Iterable[Worker], who: Caller, token: str) -> bool:
    """What all workers say of a token; they must not differ."""
    told = set(await asyncio.gather(*(worker.is_active(who, token) for worker in workers)))
    assert len(told) == 1, "the workers do not agree"
    return told.pop()

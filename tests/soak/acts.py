"""What clients, users and strangers do, one act after the other; each knows what has to come of it."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx2

from tests.house_of import PASSWORD

TOKENS, SESSIONS = 500, 40
"""How many are kept at hand; the oldest make room."""
MOST_FAULTS = 20
NEARLY_OVER_SECONDS = 10
"""So near its end a token may be told to be either: the answer comes after the question, and clocks are read apart."""


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    born: float
    until: float

    def told_wrongly(self, active: bool, asked: float, answered: float) -> str | None:
        """What is wrong with an answer about a token that nobody has revoked."""
        if not active and answered < self.until - NEARLY_OVER_SECONDS:
            return f"a live token is told to be dead, {answered - self.born:.1f} s old"
        if active and asked > self.until + NEARLY_OVER_SECONDS:
            return f"a token is told to be live {asked - self.until:.1f} s after its end"
        return None


@dataclass(slots=True)
class Session:
    access_token: str
    refresh_token: str


@dataclass(slots=True)
class World:
    """The service as its callers know it."""

    http: httpx2.AsyncClient
    port: int
    owner: tuple[str, str]
    watcher: tuple[str, str]
    chance: random.Random
    tokens: deque[Token] = field(default_factory=lambda: deque(maxlen=TOKENS))
    sessions: deque[Session] = field(default_factory=lambda: deque(maxlen=SESSIONS))
    users: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    """Of tokens that nobody has revoked; inactive are those whose time is over."""
    faults: list[str] = field(default_factory=list)

    async def post(self, act: str, path: str, *expected: int, **request: object) -> httpx2.Response:
        """Whatever is neither expected nor a plain "too busy" is a fault."""
        answer = await self.http.post(path, **request)  # type: ignore[arg-type]
        self.statuses[f"{act} {answer.status_code}"] += 1
        if answer.status_code not in expected and answer.status_code != 503:
            self.fault(f"{act}: {answer.status_code} {answer.text[:100]}")
        return answer

    def fault(self, text: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(text)


async def introspect(world: World) -> None:
    """A token lives until its end, and no longer."""
    if not world.tokens:
        await mint(world)
        return
    token, asked = world.chance.choice(world.tokens), time.monotonic()
    answer = await world.post("introspect", "/oauth2/introspect", 200, data={"token": token.text}, auth=world.watcher)
    if answer.status_code != 200 or token not in world.tokens:
        return
    active = answer.json()["active"]
    world.told["active" if active else "inactive"] += 1
    if wrong := token.told_wrongly(active, asked, time.monotonic()):
        world.fault(f"introspect: {wrong}")


async def mint(world: World) -> None:
    asked = time.monotonic()
    answer = await world.post("mint", "/oauth2/token", 200, data={"grant_type": "client_credentials"}, auth=world.owner)
    if answer.status_code == 200:
        told = answer.json()
        world.tokens.append(Token(told["access_token"], asked, asked + told["expires_in"]))


async def revoke(world: World) -> None:
    """A revoked token is dead at once."""
    if len(world.tokens) < TOKENS // 2:
        await mint(world)
        return
    token = world.tokens.popleft().text
    if (await world.post("revoke", "/oauth2/revoke", 200, data={"token": token}, auth=world.owner)).status_code == 200:
        await dead(world, token)


async def dead(world: World, token: str) -> None:
    answer = await world.post("introspect", "/oauth2/introspect", 200, data={"token": token}, auth=world.watcher)
    if answer.status_code == 200 and answer.json()["active"]:
        world.fault("introspect: a revoked token is told to be live")


async def log_in(world: World) -> None:
    body = {"email": world.chance.choice(world.users), "password": PASSWORD}
    answer = await world.post("login", "/api/v1/login", 200, json=body)
    if answer.status_code == 200:
        told = answer.json()
        world.sessions.append(Session(told["access_token"], told["refresh_token"]))


async def log_in_wrongly(world: World) -> None:
    email = world.chance.choice([*world.users, "nobody@example.com"])
    await world.post("wrong login", "/api/v1/login", 401, json={"email": email, "password": "not the password at all"})


async def refresh(world: World) -> None:
    if not world.sessions:
        await log_in(world)
        return
    session = world.sessions.popleft()
    form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token, "client_id": "first-party"}
    answer = await world.post("refresh", "/oauth2/token", 200, data=form)
    if answer.status_code == 200:
        told = answer.json()
        world.sessions.append(Session(told["access_token"], told["refresh_token"]))


async def log_out(world: World) -> None:
    if not world.sessions:
        return
    session = world.sessions.popleft()
    headers = {"Authorization": f"Bearer {session.access_token}"}
    # 401: it had run out before.
    answer = await world.post("logout", "/api/v1/logout", 204, 401, headers=headers)
    if answer.status_code == 204:
        await dead(world, session.access_token)


async def look_around(world: World) -> None:
    for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server", "/nothing/here"):
        answer = await world.http.get(path)
        world.statuses[f"get {answer.status_code}"] += 1


async def talk_nonsense(world: World) -> None:
    token = world.chance.randbytes(world.chance.randrange(1, 200)).hex()
    await world.post("nonsense", "/oauth2/introspect", 200, data={"token": token}, auth=world.watcher)
    await world.post("nonsense", "/oauth2/token", 401, data={"grant_type": "x"}, auth=("nobody", token))
    await world.post("nonsense", "/api/v1/login", 400, 422, content=token.encode(), headers=_JSON)
    await world.post("nonsense", "/api/v1/me/password", 401, json={}, headers={"Authorization": f"Bearer {token}"})


_JSON = {"content-type": "application/json"}


async def hang_up(world: World) -> None:
    """In the middle of a request, or of its answer."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        head = b"POST /api/v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n"
        body = b'{"email": "nobody@example.com", "password": "a long password!"}'[:60]
        whole = head + body
        writer.write(whole[: world.chance.randrange(1, len(whole) + 1)])
        await writer.drain()
        writer.transport.abort()
    world.statuses["hang up"] += 1


Act = Callable[[World], Awaitable[None]]
ACTS: dict[Act, int] = {
    introspect: 900,
    mint: 30,
    revoke: 20,
    refresh: 12,
    log_in: 6,
    log_in_wrongly: 4,
    log_out: 4,
    look_around: 8,
    talk_nonsense: 8,
    hang_up: 8,
}
"""How often each is done, in a thousand."""

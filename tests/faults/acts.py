"""What clients, users and operators do, one act after the other; `callers.py` writes down what comes of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from tests.faults.callers import JSON, JUST_NOW, LINES_AT_ONCE, Clients, Session, User, World, json_of, told_of
from tests.faults.history import Reading, Token, Told
from tests.faults.line import FORM, Line, basic, json_body
from tests.faults.stage import Node, Stage
from tests.house_of import PASSWORD

LINES = 80
"""To each node."""
AT_ONCE = 4
"""Tokens that one caller asks about in a row."""
BEFORE, AFTER = 5, 12
"""How often each of those asks who look at a token while it dies."""
PATIENT_SECONDS = 0.05
"""Between two of their questions when the revocation takes its time."""


async def clients_of(stage: Stage, owners: int = 3) -> Clients:
    made = await asyncio.gather(
        *(
            stage.cli(stage.nodes[0], "client", "create", "--name", "owner", "--grant", "client_credentials")
            for _ in range(owners)
        ),
        stage.cli(stage.nodes[1], "client", "create", "--name", "watcher", "--introspect", "any"),
    )
    assert all(status == 0 for status, _ in made), made
    pairs = [(told["client_id"], told["client_secret"]) for _, told in made]
    return Clients(pairs[:-1], FORM | basic(*pairs[-1]))


async def people(world: World, users: int = 4) -> None:
    """Those that a world begins with, and their lines."""
    for node in world.stage.nodes:
        world.lines[node.name] = asyncio.LifoQueue()
        for _ in range(LINES):
            world.lines[node.name].put_nowait(Line(node.name, node.port))
    await asyncio.gather(*(register(world) for _ in range(users)))
    await asyncio.gather(*(mint(world) for _ in range(60)))


async def register(world: World) -> None:
    email = f"user{world.chance.getrandbits(64):x}@example.com"
    body = json_body(email=email, password=PASSWORD)
    if await world.ask("register", "/api/v1/users", body, JSON, (201,)):
        world.users.append(User(email, PASSWORD))


async def mint(world: World) -> None:
    client = world.chance.choice(world.clients.owners)
    form = urlencode({"grant_type": "client_credentials"}).encode()
    if told := await world.ask("mint", "/oauth2/token", form, FORM | basic(*client), (200,)):
        world.keep(json_of(told[2])["access_token"], told[0], told[1])


async def introspect(world: World) -> None:
    """Live ones, or some that were revoked: just now, or long ago."""
    pool: Sequence[Token] = world.tokens
    if world.dead and (which := world.chance.random()) < 0.6:
        pool = list(world.dead)[-JUST_NOW:] if which < 0.4 else world.dead
    if pool:
        await world.introspect(world.chance.choices(pool, k=AT_ONCE), world.some_node())


async def revoke_token(world: World) -> None:
    token = world.chance.choice(world.tokens) if world.tokens else None
    client = None if token is None else next((c for c in world.clients.owners if f"c:{c[0]}" in token.numbers), None)
    if token is not None and client is not None:
        body = urlencode({"token": token.text}).encode()
        await world.revoke(token.marks[0], "revoke token", "/oauth2/revoke", body, FORM | basic(*client), 200)


async def revoke_under_fire(world: World) -> None:
    """A token that is asked about on every side, without a pause, before and after it dies."""
    await mint(world)
    if not world.tokens:
        return
    token = world.tokens[-1]
    client = next((each for each in world.clients.owners if f"c:{each[0]}" in token.numbers), None)
    if client is None:  # of a user
        return
    over = asyncio.Event()

    async def ask_on(node: Node) -> None:
        async with world.line(node) as line:
            asked = 0
            while not over.is_set():
                await world.introspect_on(line, token)
                asked += 1
                if asked > BEFORE:
                    await asyncio.sleep(PATIENT_SECONDS)
            for _ in range(AFTER):
                await world.introspect_on(line, token)

    for node in world.stage.nodes:
        await world.introspect([token] * BEFORE, node)
    asking = [asyncio.create_task(ask_on(node)) for node in world.stage.nodes for _ in range(LINES_AT_ONCE)]
    try:
        body = urlencode({"token": token.text}).encode()
        await world.revoke(token.marks[0], "revoke under fire", "/oauth2/revoke", body, FORM | basic(*client), 200)
    finally:
        over.set()
        await asyncio.gather(*asking)


async def refresh(world: World) -> None:
    """A refresh token is used once, by one caller: who does not know what came of it leaves it be."""
    session = _some_session(world)
    if session is None:
        return
    async with session.user.lock:  # a new password gives out the session's refresh token again, and there would be two
        if session not in world.sessions:
            return
        world.sessions.remove(session)
        form = {"grant_type": "refresh_token", "refresh_token": session.refresh_token, "client_id": "first-party"}
        # 400: its session or grant has ended.
        told = await world.ask("refresh", "/oauth2/token", urlencode(form).encode(), FORM, (200, 400))
        if told:
            answer = json_of(told[2])
            token = world.keep(answer["access_token"], told[0], told[1])
            world.sessions.append(Session(session.user, token, answer["refresh_token"]))


async def log_in(world: World) -> None:
    if len(world.users) < 3:
        await register(world)
    if not world.users:
        return
    user = world.chance.choice(world.users)
    async with user.lock:
        if user not in world.users:  # its password has been changed meanwhile, or not: nobody knows
            return
        body = json_body(email=user.email, password=user.password)
        told = await world.ask("login", "/api/v1/login", body, JSON, (200,))
    if told:
        answer = json_of(told[2])
        token = world.keep(answer["access_token"], told[0], told[1])
        world.sessions.append(Session(user, token, answer["refresh_token"]))


def _some_session(world: World) -> Session | None:
    return world.chance.choice(world.sessions) if world.sessions else None


async def log_out(world: World) -> None:
    if session := _some_session(world):
        mark = next(mark for mark in session.token.marks if mark.startswith("s:"))
        await world.revoke(mark, "logout", "/api/v1/logout", b"", bearer(session.token), 204, session.token)


async def log_out_everywhere(world: World) -> None:
    if session := _some_session(world):
        path = "/api/v1/me/logout-everywhere"
        headers = bearer(session.token)
        await world.revoke(user_mark(session.token), "logout everywhere", path, b"", headers, 204, session.token)


async def change_password(world: World) -> None:
    session = _some_session(world)
    if session is None:
        return
    user, token = session.user, session.token
    async with user.lock:
        if user not in world.users:
            return
        new = f"{PASSWORD} {world.chance.getrandbits(64):x}"
        number = world.history.begin_revoking(user_mark(token), begin := time.monotonic())
        node = world.some_node()
        body = json_body(current_password=user.password, new_password=new)
        _, end, status, answer = await world.call(node, "/api/v1/me/password", body, JSON | bearer(token))
        if status == 401:
            del world.history.under_way[number]
            world.history.readings.append(Reading(begin, end, node.name, token, Told.INACTIVE, "password"))
            return
        told = told_of(status, (200,))
        world.history.end_revoking(number, end, node.name, told, "password")
        if told is Told.DONE:
            user.password = new
        else:  # nobody knows which password it has now
            world.users.remove(user)
            if told is Told.WRONG:
                world.other("password", node, begin, end, told, f"{status} {answer[:200]!r}")
    killed = world.bury(user_mark(token))
    if told is Told.DONE:
        kept = world.keep(json_of(answer)["access_token"], begin, end)
        world.sessions.append(Session(user, kept, json_of(answer)["refresh_token"]))
        await world.look_closely(killed)


async def end_grant(world: World) -> None:
    """By its refresh token (REV-06)."""
    if session := _some_session(world):
        mark = next(mark for mark in session.token.marks if mark.startswith("f:"))
        body = urlencode({"token": session.refresh_token, "client_id": "first-party"}).encode()
        await world.revoke(mark, "revoke grant", "/oauth2/revoke", body, FORM, 200)


async def look_at_oneself(world: World) -> None:
    """The service's own guard goes by the same marks."""
    tokens = [each.token for each in world.sessions] + [
        each for each in list(world.dead)[-100:] if len(each.numbers) > 2
    ]
    if tokens:
        token, node = world.chance.choice(tokens), world.some_node()
        begin, end, status, _ = await world.call(node, "/api/v1/me", None, bearer(token))
        told = {200: Told.ACTIVE, 401: Told.INACTIVE}.get(status, told_of(status, ()))
        world.history.readings.append(Reading(begin, end, node.name, token, told, "me"))


def bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.text}"}


def user_mark(token: Token) -> str:
    return next(mark for mark in token.numbers if mark.startswith("u:"))


# --- Operators


async def kill_client_tokens(world: World) -> None:
    client_id, _ = world.chance.choice(world.clients.owners)
    await world.operate(f"c:{client_id}", "client", "revoke-tokens", client_id)


async def kill_user_tokens(world: World) -> None:
    if session := _some_session(world):
        mark = user_mark(session.token)
        await world.operate(mark, "user", "revoke-tokens", mark.removeprefix("u:"))


async def kill_everything(world: World) -> None:
    await world.operate("*", "token", "revoke-everything", "--yes")


async def kill_key(world: World) -> None:
    if world.tokens:
        kid = world.tokens[-1].keys[0].removeprefix("k:")
        await world.operate(f"k:{kid}", "key", "kill", kid)


Act = Callable[[World], Awaitable[None]]
ACTS: dict[Act, int] = {
    introspect: 600,
    mint: 60,
    revoke_token: 30,
    revoke_under_fire: 100,
    look_at_oneself: 40,
    log_in: 6,
    refresh: 8,
    log_out: 6,
    log_out_everywhere: 3,
    end_grant: 4,
    change_password: 2,
}
"""How often each is done, in about a thousand."""
OPERATIONS: dict[Act, int] = {kill_client_tokens: 5, kill_user_tokens: 4, kill_everything: 1, kill_key: 1}

"""`auth.authorization_codes`, on a real PostgreSQL: one statement consumes a code, while all that bears it lives."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authsvc.models import AuthorizationCode, Client, Generations, User
from authsvc.protocol.revocation import EVERYTHING, client_mark, session_mark, user_mark
from authsvc.tables import authorization_codes, clients, revocations, sessions, users
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, database_on, insert_pair, open_session

SECOND = timedelta(seconds=1)
DIGEST = b"\x01" * 32


async def insert(db: Any, client: Client, **changes: Any) -> bool:
    values: dict[str, Any] = {
        "digest": DIGEST,
        "client_id": client.client_id,
        "sid": "sid",
        "redirect_uri": "https://client.example/cb",
        "scope": ("z", "a"),
        "resources": ("https://z.example",),
        "code_challenge": "challenge",
        "nonce": "nonce",
        "claims": {"userinfo": {"name": None}},
        "now": NOW,
        "expires_at": NOW + 60 * SECOND,
    }
    return await authorization_codes.insert_code(db, **(values | changes))


async def consume(db: Any, client: Client, grant: str = "grant", now: Any = NOW) -> AuthorizationCode | None:
    return await authorization_codes.consume_code(db, DIGEST, client_id=client.client_id, grant_id=grant, now=now)


async def prepared(db: Database) -> tuple[User, Client]:
    user, client = await insert_pair(db)
    assert await open_session(db, "sid", user, client)
    return user, client


async def mark(db: Database, name: str) -> None:
    await revocations.insert_mark(db, name, now=NOW, expires_at=LATER)


ENDS: dict[str, Callable[[Database, User, Client], Awaitable[object]]] = {
    "the session ended": lambda db, user, client: sessions.end_session(db, "sid", NOW),
    "a mark of the session": lambda db, user, client: mark(db, session_mark("sid")),
    "the user is disabled": lambda db, user, client: users.update_disabled(db, user.sub, NOW),
    "the client is disabled": lambda db, user, client: clients.update_disabled(db, client.client_id, NOW),
    "the user's number grew": lambda db, user, client: mark(db, user_mark(user.sub)),
    "the number of everything grew": lambda db, user, client: mark(db, EVERYTHING),
}


async def test_a_code_comes_back_as_it_went_in(db: Database) -> None:
    user, client = await prepared(db)
    assert await insert(db, client)
    code = await authorization_codes.find_code(db, DIGEST)
    assert code == AuthorizationCode(
        digest=DIGEST, client_id=client.client_id, sub=user.sub, sid="sid", redirect_uri="https://client.example/cb",
        scope=("z", "a"), resources=("https://z.example",), code_challenge="challenge", nonce="nonce",
        claims={"userinfo": {"name": None}}, generations=Generations(user=0, client=0, everything=0),
        methods=("pwd",), authenticated_at=NOW, session_ends_at=LATER, expires_at=NOW + 60 * SECOND,
    )  # fmt: skip
    assert await authorization_codes.find_code(db, b"") is None


@pytest.mark.parametrize("case", ENDS)
async def test_none_is_made_when_what_bears_it_has_ended(db: Database, case: str) -> None:
    user, client = await prepared(db)
    await ENDS[case](db, user, client)
    assert not await insert(db, client)


async def test_it_has_the_numbers_of_its_session_and_of_its_client_today(db: Database) -> None:
    user, client = await insert_pair(db)
    for name in (user_mark(user.sub), client_mark(client.client_id), EVERYTHING):
        await mark(db, name)
    assert await open_session(db, "sid", user, client)
    await revocations.raise_generation(db, client_mark(client.client_id), now=NOW, expires_at=LATER)
    assert await insert(db, client)
    code = await authorization_codes.find_code(db, DIGEST)
    assert code is not None
    raised = await db.fetchval(
        "SELECT generation FROM auth.token_blacklist WHERE mark = $1", client_mark(client.client_id)
    )
    assert code.generations == Generations(user=1, client=raised, everything=1)


async def test_it_is_consumed_once(db: Database) -> None:
    _, client = await prepared(db)
    await insert(db, client)
    consumed = await consume(db, client)
    assert consumed is not None
    assert (consumed.consumed_at, consumed.grant_id) == (NOW, "grant")
    assert await consume(db, client, "another") is None
    assert await authorization_codes.find_code(db, DIGEST) == consumed


@pytest.mark.parametrize(("seconds", "lives"), [(59.999, True), (60, False)])
async def test_it_lives_until_its_time_is_over(db: Database, seconds: float, lives: bool) -> None:  # AUZ-11
    _, client = await prepared(db)
    await insert(db, client)
    assert (await consume(db, client, now=NOW + seconds * SECOND) is not None) == lives


async def test_another_client_consumes_nothing(db: Database) -> None:  # COD-01
    _, client = await prepared(db)
    _, other = await insert_pair(db)
    await insert(db, client)
    assert await consume(db, other) is None
    assert await consume(db, client) is not None


@pytest.mark.parametrize("case", [*ENDS, "the client's number grew"])
async def test_what_ends_meanwhile_ends_the_code(db: Database, case: str) -> None:
    user, client = await prepared(db)
    await insert(db, client)
    if case in ENDS:
        await ENDS[case](db, user, client)
    else:
        await mark(db, client_mark(client.client_id))
    assert await consume(db, client) is None
    code = await authorization_codes.find_code(db, DIGEST)
    assert code is not None
    assert code.consumed_at is None


async def test_of_fifty_at_once_one_wins(db: Database, database_url: str) -> None:  # COD-03
    _, client = await prepared(db)
    await insert(db, client)
    async with database_on(database_url, size=20, timeout=20) as many:
        won = await asyncio.gather(*(consume(many, client, f"grant {number}") for number in range(50)))
    (winner,) = [code for code in won if code is not None]
    assert await authorization_codes.find_code(db, DIGEST) == winner


async def test_what_expired_before_is_purged_and_no_more(db: Database) -> None:
    _, client = await prepared(db)
    for number in range(5):
        await insert(db, client, digest=bytes([number]), expires_at=NOW + number * SECOND)
    assert await authorization_codes.purge_codes(db, NOW + 3 * SECOND, 2) == 2
    assert await authorization_codes.purge_codes(db, NOW + 3 * SECOND, 2) == 1
    assert await db.fetchval("SELECT count(*) FROM auth.authorization_codes") == 2

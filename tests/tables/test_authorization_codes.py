"""`auth.authorization_codes`, on a real PostgreSQL: one statement consumes a code, while all that bears it lives."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from authsvc.models import AuthorizationCode, Client, Consent, Generations, User
from authsvc.protocol.revocation import EVERYTHING, client_mark, session_mark, user_mark
from authsvc.tables import authorization_codes, clients, consents, revocations, sessions, users
from authsvc.tables.db import Database, Queries
from tests.tables.rows import LATER, NOW, database_on, insert_pair, open_session, until_somebody_waits

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
        "by_consent": False,
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


# --- Taken back


ALLOWED = Consent(frozenset({"a", "z", "more"}), frozenset(), frozenset())


async def test_what_rests_on_consent_is_made_while_that_covers_it(db: Database) -> None:
    user, client = await prepared(db)
    assert not await insert(db, client, by_consent=True)
    await consents.add_consent(db, user.sub, client.client_id, replace(ALLOWED, scope=frozenset({"a"})), NOW)
    assert not await insert(db, client, by_consent=True)
    await consents.add_consent(db, user.sub, client.client_id, ALLOWED, NOW)
    assert await insert(db, client, by_consent=True)


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_writes_a_code_and_who_takes_the_consent_back_wait_for_one_another(
    db: Database, is_first: bool
) -> None:
    user, client = await prepared(db)
    await consents.add_consent(db, user.sub, client.client_id, ALLOWED, NOW)

    async def write(queries: Queries) -> bool:
        return await insert(queries, client, by_consent=True)

    async def take_back(queries: Queries) -> bool:
        return await consents.delete_consent(queries, user.sub, client.client_id)

    first, second = (write, take_back) if is_first else (take_back, write)
    async with db.transaction() as tx:
        assert await first(tx)
        waiting = asyncio.create_task(second(db))
        await until_somebody_waits(db)
    assert await waiting == is_first, "a code that is written before is there to be ended, and none is written after"


@pytest.mark.parametrize("is_first", [True, False])
async def test_who_ends_codes_and_who_redeems_one_wait_for_one_another(db: Database, is_first: bool) -> None:
    user, client = await prepared(db)
    await insert(db, client)
    async with db.transaction() as tx:
        if is_first:
            assert await consume(tx, client)
            ending = asyncio.create_task(authorization_codes.end_codes_of(db, user.sub, client.client_id, NOW))
            await until_somebody_waits(db)
        else:
            await authorization_codes.end_codes_of(tx, user.sub, client.client_id, NOW)
            redeeming = asyncio.create_task(consume(db, client))
            await until_somebody_waits(db)
    if is_first:
        await ending
    else:
        assert await redeeming is None
    code = await authorization_codes.find_code(db, DIGEST)
    assert code is not None
    assert code.grant_id == ("grant" if is_first else None)


async def test_codes_of_others_go_on(db: Database) -> None:
    user, client = await prepared(db)
    _, other = await insert_pair(db)
    await insert(db, client)
    await authorization_codes.end_codes_of(db, user.sub, other.client_id, NOW)
    await authorization_codes.end_codes_of(db, "usr_nobody", client.client_id, NOW)
    assert await consume(db, client) is not None

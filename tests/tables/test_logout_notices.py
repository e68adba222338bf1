"""`auth.logout_notices` and `auth.inherited_clients`, on a real PostgreSQL: who is to be told, in which order, and by
whom."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from authsvc.models import Client, Generations, Grant, LogoutNotice, User
from authsvc.protocol.revocation import client_mark
from authsvc.tables import (
    authorization_codes,
    clients,
    grants,
    inherited_clients,
    logout_notices,
    revocations,
    sessions,
    users,
)
from authsvc.tables.db import Database, Queries
from authsvc.tables.inherited_clients import MOST_NAMES
from tests.tables.rows import LATER, NOW, a_client, a_user, open_session

SECOND = timedelta(seconds=1)
TOLD = "https://client.example/told"


@pytest.fixture
async def user(db: Database) -> User:
    user = a_user()
    assert await users.insert_user(db, user)
    return user


async def inserted(db: Queries, **changes: Any) -> Client:
    client = a_client(**({"backchannel_logout_uri": TOLD} | changes))
    await clients.insert_client(db, client)
    return client


async def open_one(db: Queries, sid: str, user: User) -> None:
    first_party = await clients.find_client(db, "first-party")
    assert first_party is not None
    assert await open_session(db, sid, user, first_party)


async def give(db: Queries, client: Client, user: User, sid: str, name: str, *, is_offline: bool = False) -> None:
    grant = Grant(
        grant_id=name, sub=user.sub, client_id=client.client_id, sid=None if is_offline else sid, scope=("openid",),
        audience=(), generations=Generations(0, 0, 0), methods=("pwd",), authenticated_at=NOW, place=0,
        rotated_at=None, idle_until=LATER, expires_at=LATER, opened_in=sid if is_offline else None,
    )  # fmt: skip
    await grants.insert_grant(db, grant)


async def give_code(db: Queries, client: Client, sid: str, digest: bytes = b"d") -> None:
    assert await authorization_codes.insert_code(
        db, digest=digest, client_id=client.client_id, sid=sid, redirect_uri=None, scope=(), resources=(),
        code_challenge=None, nonce=None, claims=None, by_consent=False, now=NOW, expires_at=LATER,
    )  # fmt: skip


async def claim(db: Queries, now: datetime = NOW, limit: int = 10) -> list[LogoutNotice]:
    found = await logout_notices.claim_notices(db, now, until=now + 10 * SECOND, limit=limit)
    return sorted(found, key=lambda notice: notice.notice_id)


async def told(db: Queries) -> set[tuple[str, str]]:
    rows = await db.fetch("SELECT client_id, sid FROM auth.logout_notices")
    assert len({(row["client_id"], row["sid"]) for row in rows}) == len(rows), "nobody is told twice"
    return {(row["client_id"], row["sid"]) for row in rows}


# --- Who is told


async def test_who_had_a_code_or_a_grant_in_the_session_is_told_once(db: Database, user: User) -> None:
    await open_one(db, "s", user)
    await open_one(db, "other", user)
    by_grant, by_code, offline, elsewhere = [await inserted(db) for _ in range(4)]
    await give(db, by_grant, user, "s", "g1")
    await give(db, by_grant, user, "s", "g2")
    await give_code(db, by_grant, "s", b"1")
    await give_code(db, by_code, "s", b"2")
    await give(db, offline, user, "s", "g3", is_offline=True)
    await give(db, elsewhere, user, "other", "g4")
    assert await logout_notices.insert_notices(db, ["s"], NOW) == 3
    assert await told(db) == {(each.client_id, "s") for each in (by_grant, by_code, offline)}


async def test_who_wants_to_be_told_nothing_is_not_nor_who_is_disabled(db: Database, user: User) -> None:
    await open_one(db, "s", user)
    for client in (await inserted(db, backchannel_logout_uri=None), await inserted(db, disabled_at=NOW)):
        await give(db, client, user, "s", client.client_id)
    assert await logout_notices.insert_notices(db, ["s"], NOW) == 0


async def test_whose_session_was_replaced_is_told_by_the_name_that_it_knows(db: Database, user: User) -> None:
    for sid in ("first", "second", "third"):
        await open_one(db, sid, user)
    client, late, code = [await inserted(db) for _ in range(3)]
    await give(db, client, user, "first", "g1")
    await give(db, late, user, "second", "g2", is_offline=True)
    await give_code(db, code, "second")
    await inherited_clients.inherit_clients(db, "first", "second")
    await inherited_clients.inherit_clients(db, "second", "third")
    await inherited_clients.inherit_clients(db, "second", "third")
    await give(db, client, user, "third", "g4")
    expected = {
        (client.client_id, "first"), (late.client_id, "second"), (code.client_id, "second"), (client.client_id, "third")
    }  # fmt: skip
    assert await inherited_clients.list_names(db, "third", client.client_id) == {"first"}
    assert await inherited_clients.list_names(db, "third", late.client_id) == {"second"}
    await db.execute("DELETE FROM auth.sessions WHERE sid IN ('first', 'second')")  # as the purge does
    assert await logout_notices.insert_notices(db, ["third"], NOW) == len(expected)
    assert await told(db) == expected


async def test_nobody_has_a_client_know_them_by_a_thousand_names(db: Database, user: User) -> None:
    client = await inserted(db)
    sids = [f"s{number:02}" for number in range(MOST_NAMES + 4)]
    for number, sid in enumerate(sids):
        await open_one(db, sid, user)
        await db.execute("UPDATE auth.sessions SET authenticated_at = $2 WHERE sid = $1", sid, NOW + number * SECOND)
        await give(db, client, user, sid, sid)
        if number:
            await inherited_clients.inherit_clients(db, sids[number - 1], sid)
    assert await inherited_clients.list_names(db, sids[-1], client.client_id) == set(sids[-1 - MOST_NAMES : -1])
    assert await logout_notices.insert_notices(db, sids[-1:], NOW) == MOST_NAMES + 1


async def test_of_a_code_that_is_written_while_the_session_ends_its_client_is_told(db: Database, user: User) -> None:
    """Or there is no code: whoever comes first."""
    for turn in range(10):
        sid = f"s{turn}"
        await open_one(db, sid, user)
        client = await inserted(db)

        async def end(sid: str = sid) -> None:
            async with db.transaction() as tx:
                assert await sessions.end_session(tx, sid, NOW)
                await logout_notices.insert_notices(tx, [sid], NOW)

        async def write(sid: str = sid, client: Client = client) -> bool:
            return await authorization_codes.insert_code(
                db, digest=sid.encode(), client_id=client.client_id, sid=sid, redirect_uri=None, scope=(), resources=(),
                code_challenge=None, nonce=None, claims=None, by_consent=False, now=NOW, expires_at=LATER,
            )  # fmt: skip

        _, is_written = await asyncio.gather(end(), write())
        assert ((client.client_id, sid) in await told(db)) is is_written


# --- In which order, and by whom


async def waiting(db: Queries, client: Client, *sids: str) -> None:
    for sid in sids:
        await db.execute(
            "INSERT INTO auth.logout_notices (client_id, sub, sid, created_at, due_at) VALUES ($1, 'u', $2, $3, $3)",
            client.client_id,
            sid,
            NOW,
        )


async def test_of_each_client_the_first_is_claimed_and_none_before_it_is_settled(db: Database) -> None:
    one, two = [await inserted(db) for _ in range(2)]
    await waiting(db, one, "a", "b")
    await waiting(db, two, "c")
    first = await claim(db)
    assert [(each.client_id, each.sid, each.attempts) for each in first] == [
        (one.client_id, "a", 1), (two.client_id, "c", 1)
    ]  # fmt: skip
    assert first[0].uri == TOLD
    assert first[0].algorithm == "RS256"
    assert first[0].generation == 0
    assert await claim(db) == []
    await logout_notices.delete_notice(db, first[0].notice_id)
    assert [each.sid for each in await claim(db)] == ["b"]


async def test_what_was_claimed_and_not_settled_is_due_again(db: Database) -> None:
    await waiting(db, await inserted(db), "a", "b")
    await claim(db)
    assert await claim(db, NOW + 9 * SECOND) == []
    assert [(each.sid, each.attempts) for each in await claim(db, NOW + 10 * SECOND)] == [("a", 2)]


async def test_who_was_late_changes_nothing(db: Database) -> None:
    await waiting(db, await inserted(db), "a")
    (late,) = await claim(db)
    (second,) = await claim(db, NOW + 10 * SECOND)
    await logout_notices.postpone_notice(db, late, NOW, answered=5)
    await logout_notices.give_up_notice(db, late, NOW)
    assert await claim(db, NOW + 19 * SECOND) == []
    await logout_notices.postpone_notice(db, second, NOW + 11 * SECOND, answered=1)
    assert [(each.attempts, each.answered) for each in await claim(db, NOW + 11 * SECOND)] == [(3, 1)]


async def test_what_is_given_up_holds_up_nothing_and_is_kept_for_a_while(db: Database) -> None:
    await waiting(db, await inserted(db), "a", "b")
    (first,) = await claim(db)
    await logout_notices.give_up_notice(db, first, NOW)
    assert [each.sid for each in await claim(db)] == ["b"]
    assert await logout_notices.count_waiting(db) == (1, NOW)
    assert await logout_notices.purge_notices(db, NOW, 10) == 0
    assert await logout_notices.purge_notices(db, NOW + SECOND, 10) == 1
    assert [sid for _, sid in await told(db)] == ["b"]


async def test_of_a_client_that_wants_it_no_more_there_is_no_address(db: Database) -> None:
    one, two = [await inserted(db) for _ in range(2)]
    for each in (one, two):
        await waiting(db, each, "a")
    await clients.update_disabled(db, one.client_id, NOW)
    await db.execute("UPDATE auth.clients SET backchannel_logout_uri = NULL WHERE client_id = $1", two.client_id)
    assert [each.uri for each in await claim(db)] == [None, None]
    assert await logout_notices.count_waiting(db) == (2, NOW)
    await clients.delete_client(db, one.client_id)
    assert await logout_notices.count_waiting(db) == (1, NOW)


async def test_the_number_of_the_client_comes_with_a_notice(db: Database) -> None:
    client = await inserted(db)
    number = await revocations.raise_generation(db, client_mark(client.client_id), now=NOW, expires_at=LATER)
    await waiting(db, client, "a")
    assert [each.generation for each in await claim(db)] == [number]


async def test_of_many_that_claim_at_once_each_notice_is_claimed_by_one(db: Database) -> None:
    many = [await inserted(db) for _ in range(12)]
    for client in many:
        await waiting(db, client, "a", "b")
    claimed = [each for found in await asyncio.gather(*(claim(db, limit=5) for _ in range(8))) for each in found]
    assert len({each.notice_id for each in claimed}) == len(claimed)
    assert {each.sid for each in claimed} == {"a"}
    rest = await claim(db, limit=100)
    assert {each.client_id for each in (*claimed, *rest)} == {each.client_id for each in many}


async def test_nobody_waits_for_nothing(db: Database) -> None:
    assert await claim(db) == []
    assert await logout_notices.count_waiting(db) == (0, None)

"""`auth.grants`, on a real PostgreSQL: one statement consumes a refresh token, while all that bears it lives."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from authsvc.models import Client, Generations, Grant, User
from authsvc.protocol.revocation import EVERYTHING, client_mark, grant_mark, session_mark, user_mark
from authsvc.tables import clients, grants, revocations, sessions, users
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, database_on, insert_pair, open_session, until_somebody_waits

SECOND = timedelta(seconds=1)


def a_grant(user: User, client: Client, **changes: Any) -> Grant:
    grant = Grant(
        grant_id="grant",
        sub=user.sub,
        client_id=client.client_id,
        sid="sid",
        scope=("z", "a"),
        audience=("https://z.example", "https://a.example"),
        generations=Generations(user=10, client=20, everything=30),
        methods=("pwd",),
        authenticated_at=NOW,
        place=0,
        rotated_at=None,
        idle_until=NOW + 60 * SECOND,
        expires_at=NOW + 100 * SECOND,
        claims={"userinfo": {"name": {"essential": True, "values": ["ünï"]}}, "id_token": {}},
    )
    return replace(grant, **changes)


async def insert_all(db: Database, **changes: Any) -> tuple[User, Client, Grant]:
    user, client = await insert_pair(db)
    assert await open_session(db, "sid", user, client)
    grant = a_grant(user, client, **changes)
    await grants.insert_grant(db, grant)
    return user, client, grant


async def rotate(db: Any, place: int = 0, now: Any = NOW, idle: int = 50) -> Grant | None:
    return await grants.rotate_grant(db, "grant", place=place, now=now, idle_until=now + idle * SECOND)


async def test_a_grant_comes_back_as_it_went_in(db: Database) -> None:
    _, _, grant = await insert_all(db, place=7, rotated_at=NOW)
    assert await grants.find_grant(db, "grant") == grant
    assert await grants.find_live_grant(db, "grant", NOW) == grant
    assert await grants.find_grant(db, "nobody") is None
    assert await grants.find_live_grant(db, "nobody", NOW) is None


async def test_a_rotation_moves_one_place_on_and_pushes_the_idle_end_out(db: Database) -> None:
    _, _, grant = await insert_all(db)
    assert await rotate(db, 0) == replace(grant, place=1, rotated_at=NOW, idle_until=NOW + 50 * SECOND)
    assert await rotate(db, 0) is None, "consumed"
    assert await rotate(db, 2) is None, "not yet made"
    after = await rotate(db, 1, NOW + 40 * SECOND, idle=9999)
    assert after is not None
    assert after.idle_until == grant.expires_at, "but not past the absolute one"


async def test_of_twenty_who_consume_one_token_one_does(database_url: str) -> None:  # ATK-71
    async with database_on(database_url, size=20) as db:
        await insert_all(db)
        rotated = await asyncio.gather(*(rotate(db) for _ in range(20)))
        assert [grant.place for grant in rotated if grant is not None] == [1]


Change = Callable[[Any, User, Client], Awaitable[Any]]


async def _raise(db: Any, mark: str, number: int) -> None:
    await db.execute("INSERT INTO auth.token_blacklist VALUES ($1, $2, now(), now())", mark, number)


ENDS: dict[str, Change] = {
    "the grant": lambda db, user, client: grants.end_grant(db, "grant", NOW),
    "the session": lambda db, user, client: sessions.end_session(db, "sid", NOW),
    "all sessions": lambda db, user, client: sessions.end_sessions_of_user(db, user.sub, NOW),
    "the user disabled": lambda db, user, client: users.update_disabled(db, user.sub, NOW),
    "the user deleted": lambda db, user, client: db.execute("DELETE FROM auth.users WHERE sub = $1", user.sub),
    "the client disabled": lambda db, user, client: clients.update_disabled(db, client.client_id, NOW),
    "the client deleted": lambda db, user, client: db.execute(
        "DELETE FROM auth.clients WHERE client_id = $1", client.client_id
    ),
    "mark of the grant": lambda db, user, client: revocations.insert_mark(
        db, grant_mark("grant"), now=NOW, expires_at=LATER
    ),
    "mark of the session": lambda db, user, client: revocations.insert_mark(
        db, session_mark("sid"), now=NOW, expires_at=LATER
    ),
    "number of the user": lambda db, user, client: _raise(db, user_mark(user.sub), 11),
    "number of the client": lambda db, user, client: _raise(db, client_mark(client.client_id), 21),
    "number of everything": lambda db, user, client: _raise(db, EVERYTHING, 31),
}
SPARES: dict[str, Change] = {
    "the same number of the user": lambda db, user, client: _raise(db, user_mark(user.sub), 10),
    "the same number of the client": lambda db, user, client: _raise(db, client_mark(client.client_id), 20),
    "the same number of everything": lambda db, user, client: _raise(db, EVERYTHING, 30),
    "mark of another grant": lambda db, user, client: revocations.insert_mark(db, "f:gran", now=NOW, expires_at=LATER),
    "mark of another session": lambda db, user, client: revocations.insert_mark(db, "s:s", now=NOW, expires_at=LATER),
    "number of another user": lambda db, user, client: _raise(db, user_mark("usr_0"), 99),
    "another session": lambda db, user, client: sessions.end_session(db, "other", NOW),
}


@pytest.mark.parametrize("change", ENDS.values(), ids=ENDS)
async def test_nothing_is_rotated_after_what_ends_it(db: Database, change: Change) -> None:
    user, client, _ = await insert_all(db)
    await change(db, user, client)
    assert await grants.find_live_grant(db, "grant", NOW) is None
    assert await rotate(db) is None
    kept = await grants.find_grant(db, "grant")
    assert kept is None or kept.place == 0


@pytest.mark.parametrize("change", SPARES.values(), ids=SPARES)
async def test_what_is_about_others_ends_nothing(db: Database, change: Change) -> None:
    user, client, grant = await insert_all(db)
    await change(db, user, client)
    assert await grants.find_live_grant(db, "grant", NOW) == grant
    assert await rotate(db) is not None


async def test_every_end_in_time_is_on_the_instant(db: Database) -> None:
    _, _, grant = await insert_all(db)
    last = grant.idle_until - timedelta(microseconds=1)
    assert await grants.find_live_grant(db, "grant", last) == grant
    assert await grants.find_live_grant(db, "grant", grant.idle_until) is None
    assert await rotate(db, 0, grant.idle_until) is None
    await db.execute("UPDATE auth.grants SET idle_until = $1, expires_at = $2", LATER, NOW + SECOND)
    assert await rotate(db, 0, NOW + SECOND) is None
    await db.execute("UPDATE auth.grants SET expires_at = $1", LATER + 9 * SECOND)
    await db.execute("UPDATE auth.grants SET idle_until = $1", LATER + 9 * SECOND)
    assert await rotate(db, 0, LATER) is None, "the session is over"
    assert await rotate(db, 0, LATER - SECOND) is not None


async def test_a_grant_without_a_session_needs_none(db: Database) -> None:
    user, client = await insert_pair(db)
    await grants.insert_grant(db, a_grant(user, client, sid=None))
    assert await rotate(db) is not None
    await sessions.end_sessions_of_user(db, user.sub, NOW)
    assert await rotate(db, 1) is not None


async def test_who_ends_a_grant_while_it_is_rotated_is_not_overtaken(db: Database) -> None:
    """The end is not committed when the rotation comes: it waits, and finds the grant over."""
    await insert_all(db)
    async with db.transaction() as tx:
        await grants.end_grant(tx, "grant", NOW)
        rotating = asyncio.create_task(rotate(db))
        await until_somebody_waits(db)
    assert await rotating is None


async def test_who_locks_a_grant_holds_up_its_rotation(db: Database) -> None:
    await insert_all(db)
    async with db.transaction() as tx:
        await grants.lock_grant(tx, "grant")
        await grants.lock_grant(tx, "nobody")
        rotating = asyncio.create_task(rotate(db))
        await until_somebody_waits(db)
        assert not rotating.done()
    assert await rotating is not None


async def test_a_grant_ends_once(db: Database) -> None:
    await insert_all(db)
    await grants.end_grant(db, "grant", NOW)
    await grants.end_grant(db, "grant", LATER)
    assert await db.fetchval("SELECT ended_at FROM auth.grants") == NOW


async def test_the_grants_of_a_session_are_carried_over_but_for_those_that_have_ended(db: Database) -> None:
    user, client, _ = await insert_all(db)
    assert await open_session(db, "other", user, client)
    await grants.insert_grant(db, a_grant(user, client, grant_id="ended"))
    await grants.insert_grant(db, a_grant(user, client, grant_id="elsewhere", sid="other"))
    await grants.end_grant(db, "ended", NOW)
    await grants.update_user_generation(db, "sid", 99)
    numbers = {}
    for grant_id in ("grant", "ended", "elsewhere"):
        found = await grants.find_grant(db, grant_id)
        assert found is not None
        numbers[grant_id] = found.generations
    assert numbers == {
        "grant": Generations(user=99, client=20, everything=30),
        "ended": Generations(user=10, client=20, everything=30),
        "elsewhere": Generations(user=10, client=20, everything=30),
    }


# --- What a user gave a client


async def test_all_that_a_user_gave_a_client_ends_and_nothing_else(db: Database) -> None:
    user, client, grant = await insert_all(db)
    other, another = await insert_pair(db)
    assert await open_session(db, "others", other, client)
    for changes in (
        {"grant_id": "offline", "sid": None},
        {"grant_id": "another client's", "client_id": another.client_id},
        {"grant_id": "another user's", "sub": other.sub, "sid": "others"},
    ):
        await grants.insert_grant(db, replace(grant, **changes))
    ago, later = NOW - 60 * SECOND, NOW + 5 * SECOND
    ended = {"grant": True, "offline": True}
    assert await grants.end_grants_of(db, user.sub, client.client_id, NOW, since=ago) == ended
    again = {"grant": False, "offline": False}
    assert await grants.end_grants_of(db, user.sub, client.client_id, later, since=ago) == again
    assert await grants.end_grants_of(db, user.sub, client.client_id, later, since=NOW) == {}, "long ago"
    assert await db.fetchval("SELECT count(*) FROM auth.grants WHERE ended_at = $1", NOW) == 2
    assert await db.fetchval("SELECT count(*) FROM auth.grants WHERE ended_at IS NULL") == 2


async def test_what_outlives_sessions_is_listed_by_client(db: Database) -> None:
    user, client, grant = await insert_all(db)
    _, bare = await insert_pair(db)
    earlier = NOW - 60 * SECOND
    for changes in (
        {"grant_id": "one", "scope": ("b", "a")},
        {"grant_id": "two", "scope": ("a", "c"), "authenticated_at": earlier},
        {"grant_id": "over", "scope": ("d",), "idle_until": NOW},
        {"grant_id": "bare", "scope": (), "client_id": bare.client_id},
    ):
        await grants.insert_grant(db, replace(grant, sid=None, **changes))
    assert await grants.list_offline_grants(db, user.sub, NOW) == {
        client.client_id: (frozenset("abc"), earlier),
        bare.client_id: (frozenset(), NOW),
    }
    await users.update_disabled(db, user.sub, NOW)
    assert await grants.list_offline_grants(db, user.sub, NOW) == {}

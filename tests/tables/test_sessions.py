"""`auth.sessions`, on a real PostgreSQL: one statement decides whether a session opens."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from authsvc.models import Client, Generations, Session, User
from authsvc.protocol.revocation import EVERYTHING, client_mark, user_mark
from authsvc.tables import clients, revocations, sessions, users
from authsvc.tables.db import Database, Transaction
from tests.tables.rows import HASH, LATER, NOW, insert_pair, open_session, until_somebody_waits

Row = dict[str, Any]


async def row_of(db: Database, sid: str) -> Row:
    return dict(await db.fetchrow("SELECT gen_user, ended_at FROM auth.sessions WHERE sid = $1", sid))


async def count_of(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM auth.sessions"))


# --- Opening


async def test_a_session_opens_with_what_it_was_asked_for(db: Database) -> None:
    user, client = await insert_pair(db)
    session = await open_session(db, "sid", user, client, methods=("pwd", "otp"))
    assert session == Session(
        sid="sid",
        sub=user.sub,
        client_id=client.client_id,
        generations=Generations(user=0, client=0, everything=0),
        methods=("pwd", "otp"),
        authenticated_at=NOW,
        expires_at=LATER,
    )
    assert await row_of(db, "sid") == {"gen_user": 0, "ended_at": None}


async def test_a_session_carries_the_three_numbers_of_its_instant(db: Database) -> None:
    user, client = await insert_pair(db)
    numbers = [
        await revocations.raise_generation(db, mark, now=NOW + timedelta(seconds=at), expires_at=LATER)
        for at, mark in enumerate((user_mark(user.sub), client_mark(client.client_id), EVERYTHING))
    ]
    session = await open_session(db, "sid", user, client)
    assert session is not None
    assert session.generations == Generations(user=numbers[0], client=numbers[1], everything=numbers[2])
    assert len(set(numbers)) == 3


async def _disable_user(db: Any, user: User, _: Client) -> None:
    await users.update_disabled(db, user.sub, NOW)


async def _disable_client(db: Any, _: User, client: Client) -> None:
    await clients.update_disabled(db, client.client_id, NOW)


async def _change_password(db: Any, user: User, _: Client) -> None:
    await users.update_password_hash(db, user.sub, old=HASH, new="new")


async def _take_the_password_away(db: Any, user: User, _: Client) -> None:
    await db.execute("UPDATE auth.users SET password_hash = NULL WHERE sub = $1", user.sub)


async def _delete_user(db: Any, user: User, _: Client) -> None:
    await db.execute("DELETE FROM auth.users WHERE sub = $1", user.sub)


async def _delete_client(db: Any, _: User, client: Client) -> None:
    await db.execute("DELETE FROM auth.clients WHERE client_id = $1", client.client_id)


CHANGES = [_disable_user, _disable_client, _change_password, _take_the_password_away, _delete_user, _delete_client]


@pytest.mark.parametrize("change", CHANGES)
async def test_no_session_opens_after_a_change_that_forbids_it(db: Database, change: Any) -> None:
    user, client = await insert_pair(db)
    await change(db, user, client)
    assert await open_session(db, "sid", user, client) is None
    assert await count_of(db) == 0


@pytest.mark.parametrize("change", CHANGES)
async def test_no_session_opens_past_a_change_that_is_being_committed(db: Database, change: Any) -> None:
    """FLT-42. The change is made and not committed when the session is asked for, so its row looks as it did before."""
    user, client = await insert_pair(db)
    async with db.transaction() as tx:
        await change(tx, user, client)
        opening = asyncio.create_task(open_session(db, "sid", user, client))
        await until_somebody_waits(db)
    assert await opening is None
    assert await count_of(db) == 0


@pytest.mark.parametrize("change", CHANGES)
async def test_a_session_opens_past_a_change_that_is_rolled_back(db: Database, change: Any) -> None:
    user, client = await insert_pair(db)
    opening = None
    with pytest.raises(LookupError):
        async with db.transaction() as tx:
            await change(tx, user, client)
            opening = asyncio.create_task(open_session(db, "sid", user, client))
            await until_somebody_waits(db)
            raise LookupError
    assert opening is not None
    assert await opening is not None


async def test_who_ends_the_sessions_of_a_user_misses_none_that_was_opening(db: Database) -> None:
    """The session is inserted and not committed when the others are ended: it would be there a moment later, alive."""
    user, client = await insert_pair(db)

    async def end_all() -> None:
        async with db.transaction() as tx:
            await users.lock_user(tx, user.sub)
            await sessions.end_sessions_of_user(tx, user.sub, LATER)

    async with db.transaction() as tx:
        assert await open_session(tx, "sid", user, client)
        ending = asyncio.create_task(end_all())
        await until_somebody_waits(db)
    await ending
    assert (await row_of(db, "sid"))["ended_at"] == LATER


async def test_a_session_that_opens_while_the_user_is_being_ended_everywhere_has_the_old_number(db: Database) -> None:
    user, client = await insert_pair(db)
    async with db.transaction() as tx:
        await users.lock_user(tx, user.sub)
        await sessions.end_sessions_of_user(tx, user.sub, NOW)
        number = await revocations.raise_generation(tx, user_mark(user.sub), now=NOW, expires_at=LATER)
        opening = asyncio.create_task(open_session(db, "sid", user, client))
        await until_somebody_waits(db)
    session = await opening
    assert session is not None
    assert session.generations.user is not None
    assert session.generations.user < number


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": "usr_nobody"},
        {"client_id": "cli_nobody"},
        {"password_hash": "another"},
        {"password_hash": ""},
        {"password_hash": None},
        {"sub": "%"},
    ],
)
async def test_no_session_opens_for_a_stranger(db: Database, wrong: Row) -> None:
    user, client = await insert_pair(db)
    assert await open_session(db, "sid", user, client, **wrong) is None
    assert await count_of(db) == 0


async def test_a_user_without_a_password_opens_no_session_by_one(db: Database) -> None:
    user, client = await insert_pair(db)
    await _take_the_password_away(db, user, client)
    for text in ("", None):
        assert await open_session(db, "sid", user, client, password_hash=text) is None


# --- Ending


async def test_a_session_ends_once(db: Database) -> None:
    user, client = await insert_pair(db)
    for sid in ("a", "b"):
        await open_session(db, sid, user, client)
    await sessions.end_session(db, "a", NOW)
    await sessions.end_session(db, "a", LATER)
    await sessions.end_session(db, "nobody", NOW)
    assert (await row_of(db, "a"))["ended_at"] == NOW
    assert (await row_of(db, "b"))["ended_at"] is None


async def test_all_sessions_of_a_user_end_but_for_the_one_to_keep(db: Database) -> None:
    user, client = await insert_pair(db)
    other, other_client = await insert_pair(db)
    for sid in ("a", "b", "c"):
        await open_session(db, sid, user, client)
    await open_session(db, "other", other, other_client)
    await sessions.end_sessions_of_user(db, user.sub, NOW, keep="b")
    assert [(await row_of(db, sid))["ended_at"] for sid in ("a", "b", "c", "other")] == [NOW, None, NOW, None]
    await sessions.end_sessions_of_user(db, user.sub, LATER)
    assert [(await row_of(db, sid))["ended_at"] for sid in ("a", "b", "c", "other")] == [NOW, LATER, NOW, None]


async def test_the_session_of_another_user_cannot_be_kept(db: Database) -> None:
    user, client = await insert_pair(db)
    other, _ = await insert_pair(db)
    await open_session(db, "a", user, client)
    await open_session(db, "other", other, client)
    await sessions.end_sessions_of_user(db, user.sub, NOW, keep="other")
    assert (await row_of(db, "a"))["ended_at"] == NOW
    assert (await row_of(db, "other"))["ended_at"] is None


# --- Carrying over


async def test_a_live_session_is_carried_over_a_raised_number(db: Database) -> None:
    user, client = await insert_pair(db)
    await open_session(db, "a", user, client)
    await open_session(db, "b", user, client)
    carried = await sessions.update_user_generation(db, "a", 7, NOW)
    assert carried is not None
    assert carried.generations == Generations(user=7, client=0, everything=0)
    assert (await row_of(db, "a"))["gen_user"] == 7
    assert (await row_of(db, "b"))["gen_user"] == 0


@pytest.mark.parametrize("after", [timedelta(0), timedelta(microseconds=1), timedelta(days=9)])
async def test_a_session_whose_time_is_over_is_not_carried_over(db: Database, after: timedelta) -> None:
    user, client = await insert_pair(db)
    await open_session(db, "a", user, client)
    assert await sessions.update_user_generation(db, "a", 7, LATER + after) is None
    assert (await row_of(db, "a"))["gen_user"] == 0


async def test_a_session_that_has_ended_is_not_carried_over(db: Database) -> None:
    user, client = await insert_pair(db)
    await open_session(db, "a", user, client)
    await sessions.end_session(db, "a", NOW)
    assert await sessions.update_user_generation(db, "a", 7, NOW) is None
    assert await sessions.update_user_generation(db, "nobody", 7, NOW) is None


async def test_a_session_that_ends_at_the_same_moment_is_not_carried_over(db: Database) -> None:
    user, client = await insert_pair(db)
    await open_session(db, "a", user, client)

    async def carry() -> Session | None:
        return await sessions.update_user_generation(db, "a", 7, NOW)

    tx: Transaction
    async with db.transaction() as tx:
        await sessions.end_session(tx, "a", NOW)
        carrying = asyncio.create_task(carry())
        await until_somebody_waits(db)
    assert await carrying is None


# --- Cookies

COOKIE = b"\x02" * 32


async def open_with_cookie(db: Database) -> tuple[User, Client]:
    user, client = await insert_pair(db)
    idle = {"cookie_digest": COOKIE, "idle_until": NOW + timedelta(minutes=10)}
    assert await open_session(db, "sid", user, client, **idle)
    return user, client


async def find(db: Database, minutes: float = 0, digest: bytes = COOKIE) -> Session | None:
    return await sessions.find_live_session(db, digest, NOW + timedelta(minutes=minutes))


async def test_a_cookie_finds_its_session_and_no_other(db: Database) -> None:
    user, _ = await open_with_cookie(db)
    found = await find(db)
    assert found is not None
    assert (found.sid, found.sub, found.idle_until) == ("sid", user.sub, NOW + timedelta(minutes=10))
    assert await find(db, digest=b"\x03" * 32) is None


async def test_a_session_ends_when_nobody_uses_it_and_in_the_end(db: Database) -> None:  # SES-03
    await open_with_cookie(db)
    assert await find(db, 9.99)
    assert await find(db, 10) is None
    await sessions.update_idle(db, "sid", NOW + timedelta(minutes=30), NOW)
    assert await find(db, 29)
    await sessions.update_idle(db, "sid", NOW + timedelta(minutes=20), NOW)
    assert await find(db, 29), "it never ends the sooner"
    await sessions.update_idle(db, "sid", NOW + timedelta(days=1), NOW)
    assert await find(db, 59)
    assert await find(db, 60) is None


@pytest.mark.parametrize("case", ["session", "user", "client", "s", "u", "c", "*"])
async def test_a_cookie_opens_nothing_when_what_bears_its_session_has_ended(db: Database, case: str) -> None:  # SES-04
    user, client = await open_with_cookie(db)
    marks = {"s": "s:sid", "u": user_mark(user.sub), "c": client_mark(client.client_id), "*": EVERYTHING}
    if case in marks:
        await revocations.insert_mark(db, marks[case], now=NOW, expires_at=LATER)
    elif case == "session":
        await sessions.end_session(db, "sid", NOW)
    elif case == "user":
        await users.update_disabled(db, user.sub, NOW)
    else:
        await clients.update_disabled(db, client.client_id, NOW)
    assert await find(db) is None


# --- A user's own


async def test_a_user_ends_their_own_sessions_and_nobody_elses(db: Database) -> None:
    user, client = await insert_pair(db)
    other, _ = await insert_pair(db)
    for sid in ("one", "two", "three"):
        assert await open_session(db, sid, user, client)
    assert await open_session(db, "others", other, client)
    ago, later = NOW - timedelta(hours=1), NOW + timedelta(minutes=5)
    assert await sessions.end_sessions_of(db, user.sub, NOW, since=ago, only="others") == {}
    assert await sessions.end_sessions_of(db, user.sub, NOW, since=ago, only="one") == {"one": True}
    assert await sessions.end_sessions_of(db, user.sub, later, since=ago, only="one") == {"one": False}
    assert await sessions.end_sessions_of(db, user.sub, later, since=NOW, only="one") == {}, "long ago"
    assert await sessions.end_sessions_of(db, user.sub, later, since=ago, but="two") == {"one": False, "three": True}
    ended = {sid: (await row_of(db, sid))["ended_at"] for sid in ("one", "two", "three", "others")}
    assert ended == {"one": NOW, "two": None, "three": later, "others": None}


async def test_another_cookie_opens_a_session_and_the_one_before_does_not(db: Database) -> None:
    user, client = await insert_pair(db)
    session = await open_session(db, "sid", user, client, cookie_digest=b"old", idle_until=LATER)
    await sessions.update_cookie(db, "sid", b"new")
    assert await sessions.find_live_session(db, b"old", NOW) is None
    assert await sessions.find_session(db, b"old") is None
    assert await sessions.find_live_session(db, b"new", NOW) == session
    await sessions.end_session(db, "sid", NOW)
    assert await sessions.find_live_session(db, b"new", NOW) is None
    assert await sessions.find_session(db, b"new") == session


@pytest.mark.parametrize("case", ["ended", "expired", "idle", "session", "user", "client", "everything"])
async def test_a_session_that_is_dead_is_listed_to_nobody(db: Database, case: str) -> None:
    user, client = await insert_pair(db)
    idle = {"cookie_digest": b"x", "idle_until": LATER}
    assert await open_session(db, "sid", user, client, device="Firefox, Linux", address="192.0.2.1", **idle)
    listed, total = await sessions.list_open_sessions(db, user.sub, NOW, first="", limit=10)
    assert ([each.sid for each in listed], total) == (["sid"], 1)
    marks = {"session": "s:sid", "user": user_mark(user.sub), "client": client_mark(client.client_id)}
    match case:
        case "ended":
            await sessions.end_session(db, "sid", NOW)
        case "expired":
            await db.execute("UPDATE auth.sessions SET expires_at = $1", NOW)
        case "idle":
            await db.execute("UPDATE auth.sessions SET idle_until = $1", NOW)
        case _:
            await revocations.insert_mark(db, marks.get(case, EVERYTHING), now=NOW, expires_at=LATER)
    assert await sessions.list_open_sessions(db, user.sub, NOW, first="", limit=10) == ([], 0)

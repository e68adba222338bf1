"""AUD-05: events are added, and never changed; not by the application's role, and not by a slip of their owner."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from authsvc.migrate import grant_to
from authsvc.models import AuditEvent, AuditFilter
from authsvc.protocol.audit import build_seal
from authsvc.tables import security_events
from authsvc.tables.db import Database, Transaction
from tests.tables.rows import NOW

ALL = AuditFilter()
KEY = b"k" * 32


def an_event(**changes: Any) -> AuditEvent:
    event = AuditEvent(
        at=NOW, event="user_created", level="warn", via="http", request_id="r", address="192.0.2.1", sub="usr_1",
        client_id=None, sid=None, details={"n": 1},
    )  # fmt: skip
    return replace(event, **changes)


async def written(db: Database, *events: AuditEvent) -> list[AuditEvent]:
    await security_events.insert_events(db, events)
    return await security_events.list_events(db, ALL, after=0, limit=1000)


async def sealed(db: Database, *events: AuditEvent, **changes: Any) -> None:
    await security_events.insert_events(db, events)
    async with db.transaction() as tx:
        batch = await security_events.list_unsealed(tx, limit=1000)
        last = await security_events.find_last_seal(tx)
        await security_events.insert_seal(tx, replace(build_seal(KEY, last, batch, NOW), **changes), batch)


async def test_events_are_read_as_they_were_written(db: Database) -> None:
    wanted = [an_event(sub=None, address=None), an_event(details={"a": {"b": ["ü", None]}}), an_event(client_id="c")]
    found = await written(db, *wanted)
    assert [replace(each, event_id=0) for each in found] == wanted
    assert [each.event_id for each in found] == sorted(each.event_id for each in found)


@pytest.mark.parametrize(
    ("wanted", "subs"),
    [
        (AuditFilter(), "abc"),
        (AuditFilter(sub="b"), "b"),
        (AuditFilter(client_id="c1"), "a"),
        (AuditFilter(address="192.0.2.9"), "c"),
        (AuditFilter(events=("user_deleted", "nothing")), "b"),
        (AuditFilter(events=()), ""),
        (AuditFilter(since=NOW), "bc"),
        (AuditFilter(until=NOW), "a"),
        (AuditFilter(since=NOW, until=NOW + timedelta(seconds=1)), "b"),
    ],
)
async def test_a_filter_keeps_what_is_wanted(db: Database, wanted: AuditFilter, subs: str) -> None:
    second = timedelta(seconds=1)
    await written(
        db,
        an_event(sub="a", at=NOW - second, client_id="c1"),
        an_event(sub="b", event="user_deleted"),
        an_event(sub="c", at=NOW + second, address="192.0.2.9"),
    )
    assert "".join(str(each.sub) for each in await security_events.list_events(db, wanted, after=0, limit=9)) == subs
    assert "".join(str(each.sub) for each in await security_events.list_last_events(db, wanted, limit=9)) == subs


async def test_pages_follow_on_one_another(db: Database) -> None:
    every = await written(db, *(an_event(sub=str(number)) for number in range(7)))
    first = await security_events.list_events(db, ALL, after=0, limit=4)
    rest = await security_events.list_events(db, ALL, after=first[-1].event_id, limit=4)
    assert first + rest == every
    assert await security_events.list_last_events(db, ALL, limit=2) == every[-2:]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit.security_events SET sub = 'x'",
        "UPDATE audit.security_events SET seal = 1, event = 'x'",
        "DELETE FROM audit.security_events",
        "TRUNCATE audit.security_events",
        "UPDATE audit.seals SET events = 2",
        "DELETE FROM audit.seals",
        "TRUNCATE audit.seals",
    ],
)
async def test_not_even_the_owner_changes_them_by_a_slip(db: Database, statement: str) -> None:
    await sealed(db, an_event(at=await db.fetchval("SELECT now()")))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute(statement)


async def test_a_seal_is_written_once(db: Database) -> None:
    await sealed(db, an_event())
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute("UPDATE audit.security_events SET seal = 2")


async def test_what_is_younger_than_a_month_stays_whatever_is_asked(db: Database) -> None:
    now = await db.fetchval("SELECT now()")
    await sealed(db, an_event(at=now - timedelta(days=27)), sealed_at=now - timedelta(days=27))
    assert await security_events.delete_old_events(db, now, batches=9) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute("DELETE FROM audit.security_events")


async def test_the_oldest_batches_go_first_and_whole(db: Database) -> None:
    for day in range(3):
        at = NOW - timedelta(days=100 - day)
        await sealed(db, an_event(sub=str(day), at=at), an_event(sub=str(day), at=at), sealed_at=at)
    assert await security_events.delete_old_events(db, NOW - timedelta(days=98), batches=9) == 4, "two of the three"
    assert [each.sub for each in await security_events.list_events(db, ALL, after=0, limit=9)] == ["2", "2"]
    assert len(await security_events.list_seals(db, after=0, limit=9)) == 3, "the chain stays whole"


async def test_no_more_batches_go_than_were_asked_for(db: Database) -> None:
    at = NOW - timedelta(days=100)
    for _ in range(3):
        await sealed(db, an_event(at=at), sealed_at=at)
    assert await security_events.delete_old_events(db, NOW, batches=2) == 2
    assert await security_events.delete_old_events(db, NOW, batches=2) == 1


async def test_an_event_that_commits_late_is_sealed_late(db: Database) -> None:
    """Its id is smaller than one that was sealed before it became visible."""
    async with db.transaction() as slow:
        await security_events.insert_events(slow, [an_event(sub="late")])
        await sealed(db, an_event(sub="early"))
    assert [each.sub for each in await security_events.list_unsealed(db, limit=9)] == ["late"]
    assert await security_events.find_oldest_unsealed(db) == NOW


async def test_one_transaction_at_a_time_holds_the_chain(db: Database) -> None:
    async with db.transaction() as other:
        async with db.transaction() as one:
            assert await security_events.try_lock_chain(one)
            assert not await security_events.try_lock_chain(other)
            waiting = asyncio.create_task(security_events.lock_chain(other))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting


# --- The application's role


class _Over(Exception):
    """Nothing of it is to stay."""


@pytest.fixture
async def as_application(db: Database) -> AsyncIterator[Transaction]:
    """A session of a role that has what `authsvc migrate --grant-to` gives, and nothing else."""
    role = "authsvc_application_test"
    await db.execute(f"DROP ROLE IF EXISTS {role}")
    await db.execute(f"CREATE ROLE {role}")
    await grant_to(db, role)
    with suppress(_Over):
        async with db.transaction() as tx:
            await tx.execute(f"SET LOCAL ROLE {role}")
            yield tx
            raise _Over
    await db.execute(f"DROP OWNED BY {role}")
    await db.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit.security_events",
        "TRUNCATE audit.security_events",
        "UPDATE audit.security_events SET sub = 'x'",
        "UPDATE audit.seals SET events = 2",
        "DELETE FROM audit.seals",
        "ALTER TABLE audit.security_events DISABLE TRIGGER keep",
        "DROP TABLE audit.security_events",
        "CREATE TABLE auth.mine (a text)",
    ],
)
async def test_the_applications_role_cannot(as_application: Any, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"permission denied|must be owner"):
        await as_application.execute(statement)


async def test_the_applications_role_can_write_seal_read_and_forget(as_application: Any) -> None:
    await security_events.insert_events(as_application, [an_event()])
    batch = await security_events.list_unsealed(as_application, limit=9)
    await security_events.insert_seal(as_application, build_seal(KEY, None, batch, NOW), batch)
    assert await security_events.find_last_seal(as_application) is not None
    assert await security_events.delete_old_events(as_application, NOW + timedelta(days=1), batches=1) == 1

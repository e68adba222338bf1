"""`auth.cache_mode`, on a real PostgreSQL: one row, of which only who saw it as it is can change it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import asyncpg
import pytest

from authsvc.embedded import Stores
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode, revocations
from authsvc.tables.db import Database, Queries
from tests.stores import fresh_database, run_sql
from tests.tables.emptied import SharedDatabase
from tests.tables.rows import LATER, NOW, database_on

G, W, R = CacheState.POSTGRESQL, CacheState.WARMING, CacheState.TRUSTED

Change = Callable[[Queries, CacheMode], Awaitable[CacheMode | None]]


async def fence(db: Queries, seen: CacheMode) -> CacheMode | None:
    return await cache_mode.fence(db, seen, now=LATER)


async def begin(db: Queries, seen: CacheMode) -> CacheMode | None:
    return await cache_mode.begin_warm_up(db, seen, "nonce", now=LATER)


async def rise(db: Queries, seen: CacheMode) -> CacheMode | None:
    return await cache_mode.rise_above(db, seen, seen.epoch, now=LATER)


async def end(db: Queries, seen: CacheMode) -> CacheMode | None:
    return await cache_mode.end_warm_up(db, seen, now=LATER)


async def mode_of(db: Queries, state: CacheState, *, settled: bool = True) -> CacheMode:
    """The row in this state."""
    await db.execute("UPDATE auth.cache_mode SET state = $1, settled = $2, nonce = 'before'", state.value, settled)
    return await cache_mode.get_mode(db)


async def test_a_new_store_is_out_of_use_and_has_nobody_to_wait_for(db: Database) -> None:
    mode = await cache_mode.get_mode(db)
    assert (mode.state, mode.epoch, mode.nonce, mode.settled) == (G, 1, "", True)
    assert (mode.setbacks, mode.lease_seconds) == (0, 5)
    assert len(mode.deployment) == 36


async def test_there_is_one_row_and_never_another(db: Database) -> None:
    for one_row in (True, False):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await db.execute(
                "INSERT INTO auth.cache_mode SELECT $1, state, epoch, nonce, settled, changed_at, "
                "setbacks, deployment, lease_seconds FROM auth.cache_mode",
                one_row,
            )


def test_an_emptied_database_has_the_rows_that_a_new_one_has(
    stores: Stores, migrated_template: str, shared_database: SharedDatabase
) -> None:
    rows = (
        "SELECT jsonb_agg(to_jsonb(clients) || to_jsonb(mode) - 'deployment' - 'changed_at') "
        "FROM auth.cache_mode mode, auth.clients"
    )
    run_sql(
        shared_database.url,
        "UPDATE auth.cache_mode SET state = 'R', epoch = 7, nonce = 'x', settled = false, "
        "setbacks = 7, lease_seconds = 7, canary = 'x'",
    )
    run_sql(shared_database.url, "UPDATE auth.clients SET name = 'x', scope = '{x}', disabled_at = now()")
    with fresh_database(stores, migrated_template) as fresh_url:
        assert run_sql(shared_database.emptied(), rows) == run_sql(fresh_url, rows)


# --- Compare and set


async def test_a_warm_up_and_a_fence_make_an_epoch_each(db: Database) -> None:
    seen = await cache_mode.get_mode(db)
    warming = await begin(db, seen)
    assert warming == replace(seen, state=W, epoch=2, nonce="nonce", changed_at=LATER)
    trusted = await end(db, warming)
    assert trusted == replace(warming, state=R)
    fenced = await fence(db, trusted)
    assert fenced is not None
    assert fenced == replace(trusted, state=G, epoch=3, nonce=fenced.nonce, settled=False, setbacks=1)
    assert fenced.nonce != trusted.nonce, "each epoch has its own"
    assert await cache_mode.get_mode(db) == fenced


@pytest.mark.parametrize("state", [G, W, R])
@pytest.mark.parametrize("change", [fence, begin, rise])
async def test_of_twenty_who_change_what_they_saw_one_does(
    database_url: str, state: CacheState, change: Change
) -> None:
    async with database_on(database_url, size=20) as db:
        seen = await mode_of(db, state)
        told = await asyncio.gather(*(change(db, seen) for _ in range(20)))
        (changed,) = [mode for mode in told if mode is not None]
        assert changed.epoch == seen.epoch + 1
        assert await cache_mode.get_mode(db) == changed


@pytest.mark.parametrize("state", [G, W, R])
async def test_of_fences_and_warm_ups_at_once_one_wins(database_url: str, state: CacheState) -> None:
    async with database_on(database_url, size=20) as db:
        for _ in range(10):
            seen = await mode_of(db, state)
            told = await asyncio.gather(*(change(db, seen) for change in (fence, begin) * 10))
            assert sum(mode is not None for mode in told) == 1
            assert (await cache_mode.get_mode(db)).epoch == seen.epoch + 1


async def test_of_twenty_ends_of_one_warm_up_one_is(database_url: str) -> None:
    async with database_on(database_url, size=20) as db:
        warming = await mode_of(db, W)
        told = await asyncio.gather(*(end(db, warming) for _ in range(20)))
        assert sum(mode is not None for mode in told) == 1


async def test_a_warm_up_is_ended_or_fenced_and_never_both(database_url: str) -> None:
    """Who fences a warm-up that has just ended is told to look again: what is trusted now gives leases."""
    async with database_on(database_url, size=20) as db:
        wins = set()
        for turn in range(30):
            warming = await mode_of(db, W)
            first, second = (end, fence) if turn % 2 else (fence, end)
            told = await asyncio.gather(first(db, warming), second(db, warming))
            (changed,) = [mode for mode in told if mode is not None]
            wins.add(changed.state)
            assert (await cache_mode.get_mode(db)).state == changed.state
        assert wins == {R, G}


@pytest.mark.parametrize("change", [fence, begin, rise, end])
async def test_who_saw_an_earlier_epoch_or_another_state_changes_nothing(db: Database, change: Change) -> None:
    for state, other in product((G, W, R), (G, W, R)):
        mode = await mode_of(db, state)
        assert await change(db, replace(mode, epoch=mode.epoch - 1)) is None
        assert await change(db, replace(mode, epoch=mode.epoch + 1)) is None
        assert await change(db, replace(mode, nonce="of an epoch that was lost")) is None
        if other is not state and change is not end:
            assert await change(db, replace(mode, state=other)) is None
        assert await cache_mode.get_mode(db) == mode


@pytest.mark.parametrize("state", [G, W, R])
@pytest.mark.parametrize("settled", [True, False])
async def test_an_epoch_that_rises_above_lost_ones_is_out_of_use_and_everybody_waits(
    db: Database, state: CacheState, settled: bool
) -> None:
    mode = await mode_of(db, state, settled=settled)
    risen = await cache_mode.rise_above(db, mode, mode.epoch + 7, now=LATER)
    assert risen is not None
    assert risen == replace(mode, state=G, epoch=mode.epoch + 8, nonce=risen.nonce, settled=False, changed_at=LATER)


@pytest.mark.parametrize("state", [G, R])
async def test_only_a_warm_up_becomes_trusted(db: Database, state: CacheState) -> None:
    mode = await mode_of(db, state)
    assert await end(db, replace(mode, state=W)) is None
    assert await cache_mode.get_mode(db) == mode


# --- Whether anybody has to be waited for


@pytest.mark.parametrize("change", [fence, begin])
@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("state", [G, W, R])
async def test_nobody_is_waited_for_only_after_a_settled_epoch_that_gave_no_lease(
    db: Database, state: CacheState, settled: bool, change: Change
) -> None:
    changed = await change(db, await mode_of(db, state, settled=settled))
    assert changed is not None
    assert changed.settled == (settled and state is not R)


async def test_the_end_of_a_warm_up_settles_nothing_and_unsettles_nothing(db: Database) -> None:
    for settled in (True, False):
        ended = await end(db, await mode_of(db, W, settled=settled))
        assert ended is not None
        assert ended.settled == settled


async def test_only_the_epoch_that_is_now_is_settled(db: Database) -> None:
    mode = await mode_of(db, G, settled=False)
    others = replace(mode, epoch=mode.epoch - 1), replace(mode, epoch=mode.epoch + 1), replace(mode, nonce="lost")
    for other in others:
        await cache_mode.settle(db, other)
        assert await cache_mode.get_mode(db) == mode
    await cache_mode.settle(db, mode)
    assert await cache_mode.get_mode(db) == replace(mode, settled=True)


async def test_who_settles_while_another_fences_settles_the_epoch_before_or_nothing(database_url: str) -> None:
    async with database_on(database_url, size=4) as db:
        for _ in range(30):
            seen = await mode_of(db, R, settled=False)
            await asyncio.gather(fence(db, seen), *(cache_mode.settle(db, seen) for _ in range(3)))
            mode = await cache_mode.get_mode(db)
            assert (mode.epoch, mode.settled) == (seen.epoch + 1, False)


async def test_setbacks_are_counted_by_fences_and_forgotten_in_the_same_epoch_only(db: Database) -> None:
    mode: CacheMode | None = await cache_mode.get_mode(db)
    for number in range(1, 4):
        assert mode is not None
        mode = await fence(db, mode)
        assert mode is not None
        assert mode.setbacks == number
    assert mode is not None
    mode = await begin(db, mode)
    assert mode is not None
    assert mode.setbacks == 3, "a warm-up that has only begun proves nothing"
    await cache_mode.forget_setbacks(db, mode.epoch - 1)
    assert (await cache_mode.get_mode(db)).setbacks == 3
    await cache_mode.forget_setbacks(db, mode.epoch)
    assert (await cache_mode.get_mode(db)).setbacks == 0


# --- What Redis is filled with


async def pages(db: Database, limit: int) -> list[str]:
    """The texts of all pages."""
    found, after = [], ""
    while page := await revocations.read_marks(db, after=after, limit=limit):
        text, after = page
        found.append(text)
    return found


@pytest.mark.parametrize("limit", [1, 7, 100, 101, 1000])
async def test_all_marks_are_read_page_by_page_and_each_once(db: Database, limit: int) -> None:
    marks = [f"{kind}:{number}" for kind in "jJfskuc" for number in range(14)] + ["*", "u:ünï", "c:a b"]
    for number, mark in enumerate(marks):
        await db.execute("INSERT INTO auth.token_blacklist VALUES ($1, $2, now(), now())", mark, number)
    found = await pages(db, limit)
    lines = "".join(found).splitlines()
    assert sorted(zip(lines[::2], lines[1::2], strict=True)) == sorted((m, str(n)) for n, m in enumerate(marks))
    assert [text.count("\n") // 2 for text in found[:-1]] == [limit] * (len(found) - 1)


async def test_of_no_marks_there_is_no_page(db: Database) -> None:
    assert await pages(db, 10) == []


async def test_a_mark_set_while_the_pages_are_read_is_among_them_or_was_set_afterwards(db: Database) -> None:
    """What was committed before the first page was asked for is in one of them, whatever is set meanwhile."""
    before = {f"j:{number}" for number in range(0, 500, 2)}
    for mark in before:
        await revocations.insert_mark(db, mark, now=NOW, expires_at=LATER)

    async def set_more() -> None:
        for number in range(1, 500, 2):
            await revocations.insert_mark(db, f"j:{number}", now=NOW, expires_at=LATER)

    found, _ = await asyncio.gather(pages(db, 10), set_more())
    assert before <= set("".join(found).splitlines()[::2])


async def test_what_was_set_or_raised_since_then_is_listed_and_nothing_older(db: Database) -> None:
    ago = timedelta(seconds=30)
    await revocations.insert_mark(db, "j:old", now=NOW - ago, expires_at=LATER)
    await revocations.insert_mark(db, "j:new", now=NOW, expires_at=LATER)
    await revocations.raise_generation(db, "u:1", now=NOW - 2 * ago, expires_at=LATER)
    assert await revocations.list_recent_marks(db, NOW - ago) == [("j:new", 1)]
    number = await revocations.raise_generation(db, "u:1", now=NOW, expires_at=LATER)
    await revocations.insert_mark(db, "j:old", now=NOW, expires_at=LATER)
    recent = await revocations.list_recent_marks(db, NOW - ago)
    assert sorted(recent) == [("j:new", 1), ("j:old", 1), ("u:1", number)]

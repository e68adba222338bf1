"""The purge: what is over goes, what may still matter stays, and nobody who revokes waits for it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.errors import InvalidGrant
from authsvc.flows import housekeeping
from authsvc.flows.housekeeping import BATCH, PURGES
from authsvc.metrics import PURGED_TABLES
from authsvc.tables import revocations
from tests.flows.workers import Caller, Worker, cheap, count, sql, worker_on
from tests.tables.rows import database_on

DAY = 86_400.0
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)

pytestmark = pytest.mark.usefixtures("no_refresh")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PAUSE_SECONDS", 0)


async def insert_marks(url: str, *expiries: datetime, prefix: str = "j") -> None:
    """Marks that expire then, the nth by the name `<prefix>:<n>`."""
    query = (
        "INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at) "
        "SELECT $1 || ':' || n, 1, at, at FROM unnest($2::timestamptz[]) WITH ORDINALITY AS each (at, n)"
    )
    await sql(url, query, prefix, list(expiries))


async def marks_in(url: str) -> list[str]:
    return list(await sql(url, "SELECT coalesce(array_agg(mark ORDER BY mark), '{}') FROM auth.token_blacklist"))


def test_every_table_that_is_purged_is_measured() -> None:
    assert tuple(each.table for each in PURGES) == PURGED_TABLES


# --- What goes


async def test_marks_go_a_day_after_they_expired(worker: Worker) -> None:
    url, over = worker.settings.database_url, worker.clock.now() - timedelta(days=1)
    await insert_marks(url, over - YEAR, over - SECOND, over, over + SECOND, worker.clock.now() + YEAR)
    await worker.flows.housekeeping.purge()
    assert await marks_in(url) == ["j:3", "j:4", "j:5"]


async def test_the_clock_that_is_behind_says_what_is_over(worker: Worker) -> None:
    """An hour hand that somebody pushed forward deletes nothing."""
    url, real = worker.settings.database_url, datetime.now(UTC)
    await insert_marks(url, real, worker.clock.now())
    await worker.flows.housekeeping.purge()
    assert await marks_in(url) == ["j:1", "j:2"], "PostgreSQL's clock is ahead of the worker's"
    worker.clock.advance(10 * YEAR.total_seconds())
    await worker.flows.housekeeping.purge()
    assert await marks_in(url) == ["j:1"], "the worker's is ahead of PostgreSQL's"


async def test_sessions_and_their_grants_go_a_week_after_they_were_over(database_url: str) -> None:
    async with worker_on(cheap(database_url, session_seconds=3600)) as worker:
        await worker.register()
        kept = await worker.log_in()
        await worker.log_out(await worker.log_in())
        await worker.flows.housekeeping.purge()
        assert (await count(database_url, "sessions"), await count(database_url, "grants")) == (2, 2)
        worker.clock.advance(7 * DAY + 1)
        await worker.flows.housekeeping.purge()
        assert (await count(database_url, "sessions"), await count(database_url, "grants")) == (1, 1)
        assert not await worker.is_let_in(kept)
        worker.clock.advance(3600)
        await worker.flows.housekeeping.purge()
        assert (await count(database_url, "sessions"), await count(database_url, "grants")) == (0, 0)


async def test_a_grant_without_a_session_goes_by_itself_and_only_when_it_is_over(worker: Worker) -> None:
    url = worker.settings.database_url
    await worker.register()
    await worker.log_in()
    await sql(url, "UPDATE auth.grants SET sid = NULL, ended_at = $1", worker.clock.now())
    worker.clock.advance(7 * DAY)
    await worker.flows.housekeeping.purge()
    assert await count(url, "grants") == 1
    worker.clock.advance(1)
    await worker.flows.housekeeping.purge()
    assert (await count(url, "grants"), await count(url, "sessions")) == (0, 1)


async def test_keys_that_verify_nothing_any_more_go(database_url: str) -> None:
    async with worker_on(cheap(database_url, jwks_max_age=30)) as worker:
        await worker.flows.keys.rotate()
        worker.clock.advance(31 * DAY)
        await worker.flows.housekeeping.purge()
        assert await count(database_url, "signing_keys") == 7  # hints may be of any session that lives
        worker.clock.advance(DAY)
        await worker.flows.housekeeping.purge()
        assert await count(database_url, "signing_keys") == 6  # of each algorithm one that signs and the next


# --- What it must not change


async def test_a_used_refresh_token_ends_its_family_however_often_the_purge_has_run(worker: Worker) -> None:
    """RFC 9700 §4.14.2: reuse is recognised by the row of the family, which stays while the family lives."""
    await worker.register()
    login = await worker.open_session()
    first, user_interface = str(login.refresh_token), Caller(login.client_id, None)
    owner = await worker.client()
    _, second = await worker.refresh(user_interface, first)
    worker.clock.advance(10 * DAY)
    await worker.flows.housekeeping.purge()
    with pytest.raises(InvalidGrant):
        await worker.refresh(user_interface, first)
    with pytest.raises(InvalidGrant):
        await worker.refresh(user_interface, second)
    worker.clock.advance(10 * DAY)
    await worker.flows.housekeeping.purge()
    assert await count(worker.settings.database_url, "grants") == 0
    for token in (first, second):
        with pytest.raises(InvalidGrant):
            await worker.refresh(user_interface, token)
        assert not await worker.is_active(owner, token)


# --- Beside revocations


async def test_revocations_during_a_large_purge_are_all_kept(worker: Worker) -> None:
    """Of tokens that nobody has revoked before, and of marks that are being deleted at that moment."""
    url, many = worker.settings.database_url, 100_000
    await sql(
        url,
        "INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at) "
        "SELECT 'u:' || n, 1, $1, $1 FROM generate_series(1, $2::int) n",
        worker.clock.now() - YEAR,
        many,
    )
    owner = await worker.client()
    users = [f"u:{number}" for number in range(1, many, many // 200)]
    now, later = worker.clock.now(), worker.clock.now() + YEAR
    purging = asyncio.create_task(worker.flows.housekeeping.purge())
    async with database_on(url) as db:
        for mark in users:
            assert mark != users[1] or not purging.done(), "it is under way"
            token = await worker.mint(owner)
            await worker.revoke(owner, token)
            assert not await worker.is_active(owner, token)
            assert await revocations.raise_generation(db, mark, now=now, expires_at=later) >= now.timestamp()
        await purging
        assert set(await revocations.find_generations(db, users)) == set(users)
    assert len(await marks_in(url)) == 2 * len(users)


async def test_who_revokes_does_not_wait_for_a_purge(worker: Worker) -> None:
    """Nor for a whole batch of it that has not been committed, unless it sets one of the very marks that go."""
    url = worker.settings.database_url
    await insert_marks(url, *[worker.clock.now() - YEAR] * 10)
    owner = await worker.client()
    token = await worker.mint(owner)
    async with database_on(url) as db, db.transaction() as tx:
        assert len(await revocations.purge_marks(tx, worker.clock.now(), BATCH)) == 10
        async with asyncio.timeout(30):
            await worker.revoke(owner, token)
            assert not await worker.is_active(owner, token)


async def test_a_purge_does_not_wait_for_who_revokes(worker: Worker) -> None:
    """It passes by the mark that is being set anew."""
    url, now = worker.settings.database_url, worker.clock.now()
    await insert_marks(url, *[now - YEAR] * 3)
    async with database_on(url) as db:
        async with db.transaction() as tx:
            await revocations.insert_mark(tx, "j:2", now=now, expires_at=now + YEAR)
            async with asyncio.timeout(30):
                await worker.flows.housekeeping.purge()
        assert await marks_in(url) == ["j:2"]
        await worker.flows.housekeeping.purge()
        assert await marks_in(url) == ["j:2"]


async def test_two_purges_at_once_delete_everything_once(worker: Worker) -> None:
    url = worker.settings.database_url
    await insert_marks(url, *[worker.clock.now() - YEAR] * (3 * BATCH + 1))
    async with worker_on(cheap(url)) as other:
        await asyncio.gather(worker.flows.housekeeping.purge(), other.flows.housekeeping.purge())
    assert await marks_in(url) == []


async def test_one_run_has_an_end(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 10)
    monkeypatch.setattr(housekeeping, "MOST_BATCHES", 2)
    await insert_marks(worker.settings.database_url, *[worker.clock.now() - YEAR] * 25)
    for left in (5, 0):
        await worker.flows.housekeeping.purge()
        assert len(await marks_in(worker.settings.database_url)) == left


async def test_a_batch_is_no_larger_however_postgresql_goes_about_it(database_url: str) -> None:
    """It may look for the rows of a batch once for each row of the table, and pass by those that it has locked."""
    plan = "&enable_hashjoin=off&enable_mergejoin=off&enable_hashagg=off&enable_sort=off&enable_material=off"
    await insert_marks(database_url, *[datetime(2026, 3, 1, tzinfo=UTC) - YEAR] * 25)
    async with database_on(database_url + plan) as db:
        assert len(await revocations.purge_marks(db, datetime(2026, 3, 1, tzinfo=UTC), 10)) == 10
    assert len(await marks_in(database_url)) == 15

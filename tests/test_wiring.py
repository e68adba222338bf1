"""A worker from the outside in: what it starts without, what it leaves behind, and what it says of its readiness."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg
import pytest

from authsvc import migrate as migrations
from authsvc import wiring
from authsvc.embedded import Embedded
from authsvc.errors import ConfigurationError, Unavailable
from authsvc.jobs import runner
from authsvc.jobs.runner import Periodic
from authsvc.migrate import migrate, shipped
from authsvc.protocol.keys import format_master_key
from authsvc.readiness import open_readiness
from authsvc.settings import Settings
from tests.flows.workers import Caller, Worker, cheap, worker_on
from tests.house_of import FakeClock
from tests.stores import KEPT, embedded, passable_directory, prepared
from tests.tables.emptied import SharedDatabase
from tests.tables.line import line_to

ANOTHER_MASTER_KEY = format_master_key(bytes(range(32)))
SOON = 2.0
"""Seconds within which a worker serves again when PostgreSQL is back (FLT-35)."""


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> str:
    return shared_database.emptied()


async def serves(worker: Worker, who: Caller) -> bool:
    try:
        return await worker.is_active(who, await worker.mint(who))
    except Unavailable:
        return False


async def until_it_serves(worker: Worker, who: Caller) -> float:
    """The seconds it took."""
    started = perf_counter()
    async with asyncio.timeout(30):
        while not await serves(worker, who):
            await asyncio.sleep(0.01)
    return perf_counter() - started


# --- PostgreSQL away


@pytest.fixture
def own_stores() -> Iterator[Embedded]:
    with passable_directory() as directory:
        stores = embedded(prepared(directory / "stores"), durable=False)
        try:
            yield stores
        finally:
            stores.stop()


async def test_a_worker_starts_while_postgresql_is_away_and_serves_soon_after_its_return(own_stores: Embedded) -> None:
    # FLT-28, FLT-35
    url = own_stores.start().database_url
    await migrate(url)
    async with worker_on(cheap(url)) as worker:
        who = await worker.client()
        await worker.register()
        token = await worker.mint(who)
    own_stores.stop()

    async with worker_on(cheap(url)) as worker:
        with pytest.raises(Unavailable):
            await worker.is_active(who, token)
        with pytest.raises(Unavailable):
            await worker.mint(who)
        with pytest.raises(Unavailable):
            await worker.log_in()
        with pytest.raises(Unavailable):
            await worker.is_let_in(token)
        own_stores.start()
        assert await until_it_serves(worker, who) < SOON
        assert await worker.is_active(who, token)
        assert await worker.log_in()

        own_stores.stop()
        with pytest.raises(Unavailable):
            await worker.is_active(who, token)
        own_stores.start()
        assert await until_it_serves(worker, who) < SOON


async def test_a_worker_starts_on_a_line_that_hangs_and_serves_soon_after_it_is_free(database_url: str) -> None:
    async with line_to(database_url) as line:
        line.hold()
        started = perf_counter()
        async with worker_on(cheap(line.url, database_timeout_ms=200)) as worker:
            assert perf_counter() - started < 20
            with pytest.raises(Unavailable):
                await worker.client()
            line.resume()
            who = await worker.client()
            assert await until_it_serves(worker, who) < SOON


async def test_a_worker_starts_before_the_schema_is_there_and_serves_soon_after(empty_database_url: str) -> None:
    async with worker_on(cheap(empty_database_url)) as worker:
        with pytest.raises(Unavailable):
            await worker.client()
        await migrate(empty_database_url)
        who = await worker.client()
        assert await until_it_serves(worker, who) < SOON


async def test_a_wrong_master_key_is_noticed_when_postgresql_is_back_too(database_url: str) -> None:
    async with worker_on(cheap(database_url)) as worker:
        who = await worker.client()
    async with line_to(database_url) as line:
        await line.cut()
        async with worker_on(cheap(line.url, master_key=ANOTHER_MASTER_KEY)) as worker:
            await line.restore()
            with pytest.raises(ConfigurationError):
                await worker.flows.keys.refresh()
            with pytest.raises(Unavailable):
                await worker.mint(who)


# --- What is left behind


async def connections_to(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND application_name <> $1"
        )
        return int(await connection.fetchval(query, KEPT))
    finally:
        await connection.close()


async def until_no_connection(database_url: str) -> None:
    async with asyncio.timeout(30):
        while await connections_to(database_url):
            await asyncio.sleep(0.01)


async def test_a_worker_leaves_no_task_and_no_connection_behind(database_url: str) -> None:
    before = asyncio.all_tasks()
    async with worker_on(cheap(database_url)) as worker:
        who = await worker.client()
        assert await serves(worker, who)
        assert await connections_to(database_url) >= 2
    assert asyncio.all_tasks() == before
    await until_no_connection(database_url)


async def test_a_worker_that_ends_in_the_middle_of_its_work_tells_everybody(database_url: str) -> None:
    before = asyncio.all_tasks()
    async with line_to(database_url) as line:
        asked: list[asyncio.Task[bool]] = []
        async with worker_on(cheap(line.url, database_timeout_ms=500)) as worker:
            who = await worker.client()
            token = await worker.mint(who)
            line.hold()
            asked += [asyncio.create_task(worker.is_active(who, token)) for _ in range(700)]
            await asyncio.sleep(0.05)
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        line.resume()
    async with asyncio.timeout(30):
        while asyncio.all_tasks() != before:
            await asyncio.sleep(0.01)


async def test_a_worker_ends_while_a_job_of_its_own_hangs(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cancelling of a query that hangs ends in a timeout of its own, which must not make the job go on."""
    monkeypatch.setattr(wiring, "KEY_REFRESH_SECONDS", 0.01)
    async with line_to(database_url) as line:
        async with worker_on(cheap(line.url, database_timeout_ms=500)) as worker:
            line.hold()
            database = worker.flows.keys._db
            async with asyncio.timeout(30):
                while not database.in_use:
                    await asyncio.sleep(0.001)
            started = perf_counter()
        assert perf_counter() - started < 5
        line.resume()


@pytest.mark.parametrize("master_key", ["", "short", "A" * 43, "!" * 43])
async def test_a_worker_without_a_usable_master_key_does_not_start_and_leaves_nothing(
    database_url: str, master_key: str
) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(ConfigurationError) as caught:
        async with worker_on(cheap(database_url, master_key=master_key)):
            pass
    assert not master_key or master_key not in str(caught.value)
    assert asyncio.all_tasks() == before
    assert await connections_to(database_url) == 0


async def test_a_worker_with_the_wrong_master_key_leaves_no_connection_behind(database_url: str) -> None:
    async with worker_on(cheap(database_url)):
        pass
    before = asyncio.all_tasks()
    with pytest.raises(ConfigurationError):
        async with worker_on(cheap(database_url, master_key=ANOTHER_MASTER_KEY)):
            pass
    assert asyncio.all_tasks() == before
    await until_no_connection(database_url)


async def test_a_worker_reads_the_keys_by_itself(database_url: str) -> None:
    """What was rotated elsewhere signs here a moment later, without anybody asking."""
    clock = FakeClock()
    async with worker_on(cheap(database_url), clock) as here, worker_on(cheap(database_url), clock) as there:
        kid = (await here.flows.keys.rotate()).kid
        async with asyncio.timeout(SOON + 1):
            while there.flows.keys.ring.signer.kid != kid:
                await asyncio.sleep(0.01)


# --- Readiness


async def faults_of(settings: Settings) -> list[str]:
    async with open_readiness(settings) as faults:
        return list(await faults())


async def test_readiness_says_what_is_missing_and_nothing_when_nothing_is(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = cheap(empty_database_url)
    async with open_readiness(settings) as faults:
        assert list(await faults()) == [f"{len(shipped())} migrations are not applied"]
        await migrate(empty_database_url)
        assert list(await faults()) == ["there is no signing key yet"]
        async with worker_on(settings):
            assert list(await faults()) == []
        for _ in range(3):
            assert [list(each) for each in await asyncio.gather(*(faults() for _ in range(20)))] == [[]] * 20
        (tmp_path / "0001_x.sql").write_text("-- migrate:up\nSELECT 1;\n")
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "_folder", lambda: tmp_path)
            assert list(await faults()) == ["migration 0001_x.sql was changed after it had been applied"]
        assert list(await faults()) == []


async def test_readiness_says_that_postgresql_cannot_be_asked_and_when_it_can_again(database_url: str) -> None:
    async with worker_on(cheap(database_url)):
        pass
    async with line_to(database_url) as line, open_readiness(cheap(line.url)) as faults:
        assert list(await faults()) == []
        await line.cut()
        assert list(await faults()) == ["PostgreSQL cannot be asked"]
        await line.restore()
        assert list(await faults()) == []
        line.hold()
        started = perf_counter()
        assert list(await faults()) == ["PostgreSQL cannot be asked"]
        assert perf_counter() - started < 20
        line.resume()
        async with asyncio.timeout(30):
            while await faults():
                await asyncio.sleep(0.01)


async def test_readiness_names_no_host_and_no_secret() -> None:
    for url in ("postgresql://sesame:opensesame@secret.invalid/x", "postgresql://sesame:opensesame@/x?host=/secret"):
        (fault,) = await faults_of(cheap(url))
        assert fault == "PostgreSQL cannot be asked"


# --- Jobs


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level("INFO")
    return lambda: [(record.levelname, record.message) for record in caplog.records]


async def run_through(outcomes: list[Any]) -> None:
    """Run a job once for each outcome, which it raises or, if None, not."""
    done = asyncio.Event()
    left = iter(outcomes)

    async def act() -> None:
        try:
            outcome = next(left)
        except StopIteration:
            done.set()
            await asyncio.sleep(60)
        else:
            if outcome is not None:
                raise outcome

    job = Periodic("a job", 0.001, act)
    job.start()
    async with asyncio.timeout(30):
        await done.wait()
        await job.stop()


async def test_a_job_goes_on_after_whatever_it_raises(log: Callable[[], list[tuple[str, str]]]) -> None:
    await run_through([None, ValueError(), None, KeyError(), ConfigurationError(["x"]), None])
    assert log() == [
        ("ERROR", "a job failed"),
        ("INFO", "a job runs again"),
        ("ERROR", "a job failed"),
        ("ERROR", "a job failed"),
        ("INFO", "a job runs again"),
    ]


async def test_an_outage_is_told_once_and_so_is_its_end(log: Callable[[], list[tuple[str, str]]]) -> None:
    await run_through([None, *[Unavailable()] * 20, None, None, Unavailable(), None])
    away, again = ("WARNING", "a job cannot run while the store is away"), ("INFO", "a job runs again")
    assert log() == [away, again, away, again]


async def test_one_run_of_a_job_ends_before_the_next_begins() -> None:
    running = most = runs = 0

    async def act() -> None:
        nonlocal running, most, runs
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        runs += 1

    job = Periodic("a job", 0.0, act)
    job.start()
    async with asyncio.timeout(30):
        while runs < 5:
            await asyncio.sleep(0.001)
    await job.stop()
    assert most == 1


async def test_a_job_can_be_stopped_before_it_was_started_and_twice() -> None:
    async def act() -> None:
        pass

    job = Periodic("a job", 60, act)
    await job.stop()
    job.start()
    await job.stop()
    await job.stop()


@pytest.mark.parametrize(("first", "expected"), [(0.0, 1), (60.0, 0)])
async def test_a_job_waits_as_long_as_it_is_told_to_before_its_first_run(first: float, expected: int) -> None:
    runs = 0

    async def act() -> None:
        nonlocal runs
        runs += 1

    job = Periodic("a job", 60, act, first=first)
    job.start()
    for _ in range(10):
        await asyncio.sleep(0)
    await job.stop()
    assert runs == expected


async def test_a_job_falls_behind_those_that_begin_with_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    is_over = asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 4:
            is_over.set()
            await asyncio.Event().wait()

    async def act() -> None:
        pass

    monkeypatch.setattr(runner, "pause", pause)
    job = Periodic("a job", 8, act)
    job.start(later=0.25)
    async with asyncio.timeout(30):
        await is_over.wait()
    await job.stop()
    assert pauses == [0, 10, 8, 8]

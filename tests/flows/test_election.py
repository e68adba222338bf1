"""Jobs that one worker does for all: one at a time, when they are due, whatever becomes of who does them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from authsvc.errors import Unavailable
from authsvc.flows.election import Election
from authsvc.jobs.schedule import jobs_of
from authsvc.metrics import TASKS, Metrics
from tests.flows.workers import Worker, count, sql
from tests.house_of import FakeClock
from tests.tables.rows import database_on

EVERY = timedelta(minutes=5)
NAME = "purge"


class Node:
    """An election, and what it counts."""

    def __init__(self, election: Election, registry: CollectorRegistry) -> None:
        self.run = election.run
        self._registry = registry

    def runs(self, outcome: str) -> float | None:
        return self._registry.get_sample_value("authsvc_job_runs_total", {"task": NAME, "outcome": outcome})

    def last_success(self) -> float | None:
        return self._registry.get_sample_value("authsvc_job_last_success_timestamp_seconds", {"task": NAME})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def nodes(database_url: str, clock: FakeClock) -> AsyncIterator[list[Node]]:
    """Two of them, each with connections of its own."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(2):
            db, registry = await stack.enter_async_context(database_on(database_url, size=8)), CollectorRegistry()
            made.append(Node(Election(db, clock, Metrics(registry)), registry))
        yield made


async def nothing() -> None:
    pass


async def test_of_many_at_once_one_runs(nodes: list[Node], clock: FakeClock) -> None:
    running = most = done = 0

    async def act() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    for _ in range(3):
        ran = await asyncio.gather(*(node.run(NAME, EVERY, act) for node in nodes * 8))
        assert ran.count(True) == 1
        clock.advance(EVERY.total_seconds())
    assert (most, done) == (1, 3)


async def test_nobody_waits_for_who_runs(nodes: list[Node]) -> None:
    here, there = nodes

    async def act() -> None:
        async with asyncio.timeout(30):
            assert not await there.run(NAME, EVERY, act)
            assert await there.run("rotate_signing_keys", EVERY, nothing), "another job is free"

    assert await here.run(NAME, EVERY, act)


async def test_a_job_runs_no_more_often_than_it_is_due(nodes: list[Node], clock: FakeClock) -> None:
    here, there = nodes
    assert await here.run(NAME, EVERY, nothing)
    clock.advance(EVERY.total_seconds() - 1)
    assert not await there.run(NAME, EVERY, nothing)
    clock.advance(1)
    assert await there.run(NAME, EVERY, nothing)


async def test_a_clock_that_is_set_back_stops_no_job(nodes: list[Node], clock: FakeClock) -> None:
    here, _ = nodes
    assert await here.run(NAME, EVERY, nothing)
    clock.advance(-86_400)
    assert await here.run(NAME, EVERY, nothing)


async def test_a_job_that_failed_is_due_still(nodes: list[Node], clock: FakeClock) -> None:
    async def fail() -> None:
        raise Unavailable

    here, there = nodes
    with pytest.raises(Unavailable):
        await here.run(NAME, EVERY, fail)
    assert (here.runs("failure"), here.runs("success"), here.last_success()) == (1, 0, 0)
    assert await there.run(NAME, EVERY, nothing)
    assert (there.runs("failure"), there.runs("success")) == (0, 1)
    assert there.last_success() == clock.unix()


async def test_every_worker_knows_when_a_job_last_succeeded(nodes: list[Node], clock: FakeClock) -> None:
    here, there = nodes
    await here.run(NAME, EVERY, nothing)
    clock.advance(1)
    await there.run(NAME, EVERY, nothing)
    assert there.last_success() == here.last_success() == clock.unix() - 1


async def test_a_worker_that_loses_its_connection_leaves_the_job_to_the_next(
    nodes: list[Node], database_url: str
) -> None:
    """Two may then be at it at once, which the jobs bear."""
    here, there = nodes

    async def hang_up() -> None:
        await sql(
            database_url,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        assert await there.run(NAME, EVERY, nothing)

    with pytest.raises(Unavailable):
        await here.run(NAME, EVERY, hang_up)


async def test_every_job_is_measured_and_bears_to_run_at_any_time(worker: Worker) -> None:
    jobs = jobs_of(worker.flows)
    assert tuple(job.name for job in jobs) == TASKS
    for job in jobs:
        await asyncio.gather(job.act(), job.act())
    assert await count(worker.settings.database_url, "signing_keys") == 6

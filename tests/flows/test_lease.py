"""How long a worker may believe Redis: from the question, by a clock that goes on in sleep, and never in doubt about
that clock (FLT-23, FLT-33, FLT-44)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from authsvc.errors import Unavailable
from authsvc.flows.lease import MAX_DRIFT_SECONDS, WAIT_FACTOR, Lease
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode
from authsvc.tables.db import Database
from tests.flows.nodes import Node, node_on
from tests.flows.workers import sql
from tests.house_of import FakeClock, database_away

T = 5.0
SECOND_LOOK = 1.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def node(database_url: str, clock: FakeClock) -> AsyncIterator[Node]:
    async with node_on(database_url, None, clock) as node:
        yield node


async def put(node: Node, state: str, *, settled: bool = True) -> None:
    await node.db.execute(
        "UPDATE auth.cache_mode SET state = $1, epoch = epoch + 1, nonce = 'nonce', settled = $2", state, settled
    )


async def test_nobody_has_a_lease_before_the_first_look(node: Node) -> None:
    await put(node, "R")
    assert node.lease.current() is None


@pytest.mark.parametrize(("state", "gives"), [("R", True), ("W", False), ("G", False)])
@pytest.mark.parametrize("settled", [True, False])
async def test_only_a_trusted_redis_gives_a_lease(node: Node, state: str, gives: bool, settled: bool) -> None:
    await put(node, state, settled=settled)
    await node.lease.renew()
    assert (node.lease.current() is not None) == gives


async def test_a_lease_says_what_redis_is_to_be_asked_by(node: Node) -> None:
    await put(node, "R")
    await node.lease.renew()
    grant, mode = node.lease.current(), await node.mode()
    assert grant is not None
    assert (grant.deployment, grant.nonce) == (mode.deployment, "nonce")


async def test_a_lease_ends_when_it_is_not_renewed(node: Node, clock: FakeClock) -> None:
    await put(node, "R")
    await node.lease.renew()
    clock.advance(T - 0.001)
    assert node.lease.current() is not None
    clock.advance(0.001)
    assert node.lease.current() is None
    await node.lease.renew()
    assert node.lease.current() is not None


class Distant:
    """A database whose answers are long on their way."""

    def __init__(self, db: Database, clock: FakeClock, seconds: float) -> None:
        self._db = db
        self._clock = clock
        self.seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def fetchrow(self, query: str, *args: object) -> Any:
        row = await self._db.fetchrow(query, *args)
        self._clock.advance(self.seconds)
        return row


@pytest.mark.parametrize("late", [1.0, T - 0.001, T, T + 3])
async def test_a_lease_runs_from_the_question_however_late_the_answer_is(
    node: Node, clock: FakeClock, late: float
) -> None:
    await put(node, "R")
    lease = Lease(Distant(node.db, clock, late), clock, node.metrics)  # type: ignore[arg-type]
    await lease.renew()
    assert (lease.current() is not None) == (late < T)
    clock.advance(max(0.0, T - late))
    assert lease.current() is None


async def test_what_is_fenced_gives_no_lease_from_the_next_look_on(node: Node) -> None:
    await put(node, "R")
    await node.lease.renew()
    await put(node, "G", settled=False)
    assert node.lease.current() is not None, "nobody has told it: whoever revokes waits for that"
    await node.lease.renew()
    assert node.lease.current() is None


async def test_while_postgresql_is_away_a_lease_runs_out_and_is_not_renewed(
    node: Node, clock: FakeClock, database_url: str
) -> None:
    await put(node, "R")
    await node.lease.renew()
    async with database_away(database_url):
        clock.advance(T / 2)
        with pytest.raises(Unavailable):
            await node.lease.renew()
        assert node.lease.current() is not None
        clock.advance(T / 2)
        assert node.lease.current() is None
    await node.lease.renew()
    assert node.lease.current() is not None


# --- Clocks


@pytest.mark.parametrize("by", [3600, MAX_DRIFT_SECONDS + 0.01, -MAX_DRIFT_SECONDS - 0.01, -3600])
async def test_a_wall_clock_that_is_set_ends_the_lease_for_two_looks(node: Node, clock: FakeClock, by: float) -> None:
    await put(node, "R")
    await node.lease.renew()
    clock.at += timedelta(seconds=by)
    assert node.lease.current() is None
    await node.lease.renew()
    assert node.lease.current() is None, "the look that finds out gives none"
    clock.advance(SECOND_LOOK)
    await node.lease.renew()
    assert node.lease.current() is not None


async def test_a_machine_that_slept_has_no_lease_when_it_wakes(node: Node, clock: FakeClock) -> None:
    """Both clocks went on: the lease is over by its own end. Did only one of them, they have drifted apart."""
    await put(node, "R")
    await node.lease.renew()
    clock.advance(60)
    assert node.lease.current() is None
    await node.lease.renew()
    clock.elapsed += 2
    assert node.lease.current() is None


async def test_clocks_that_drift_a_little_are_no_reason_for_doubt(node: Node, clock: FakeClock) -> None:
    await put(node, "R")
    for _ in range(20):
        await node.lease.renew()
        clock.advance(SECOND_LOOK)
        clock.at += timedelta(seconds=0.3)
        assert node.lease.current() is not None


# --- What has been in sight for long enough is settled


async def test_an_epoch_is_settled_when_it_has_been_in_sight_for_longer_than_a_lease(
    node: Node, clock: FakeClock
) -> None:
    await node.lease.renew()
    await put(node, "G", settled=False)
    clock.advance(100)
    await node.lease.renew()
    assert not (await node.mode()).settled, "the age of the epoch is nothing: only since when it is in sight"
    clock.advance(T * WAIT_FACTOR - 0.001)
    await node.lease.renew()
    assert not (await node.mode()).settled
    clock.advance(0.001)
    await node.lease.renew()
    assert (await node.mode()).settled


async def test_each_epoch_is_looked_at_anew(node: Node, clock: FakeClock) -> None:
    for state in "GWRGWG":
        await put(node, state, settled=False)
        await node.lease.renew()
        clock.advance(T)
    assert not (await node.mode()).settled
    clock.advance(T * WAIT_FACTOR - T)
    await node.lease.renew()
    assert (await node.mode()).settled


async def test_an_epoch_is_in_sight_from_the_answer_on_and_not_from_the_question(node: Node, clock: FakeClock) -> None:
    """It may have begun just before the answer was given."""
    await put(node, "G", settled=False)
    distant = Distant(node.db, clock, T * 3)
    lease = Lease(distant, clock, node.metrics)  # type: ignore[arg-type]
    await lease.renew()
    distant.seconds = 0
    await lease.renew()
    assert not (await node.mode()).settled


async def test_an_epoch_that_was_fenced_meanwhile_is_not_settled_by_who_saw_the_one_before(
    node: Node, clock: FakeClock
) -> None:
    await put(node, "R", settled=False)
    await node.lease.renew()
    clock.advance(T * 2)
    mode = await node.mode()
    await cache_mode.fence(node.db, mode, now=clock.now())
    await cache_mode.settle(node.db, mode)
    assert not (await node.mode()).settled


# --- PostgreSQL is set back to an earlier state, and workers go on


async def set_back(node: Node, mode: CacheMode) -> None:
    await node.db.execute(
        "UPDATE auth.cache_mode SET state = $1, epoch = $2, nonce = $3, settled = $4",
        mode.state, mode.epoch, mode.nonce, mode.settled,
    )  # fmt: skip


@pytest.mark.parametrize("earlier", ["G", "W", "R"])
@pytest.mark.parametrize("steps", [1, 5])
async def test_an_epoch_that_goes_back_is_put_above_all_that_was_seen_and_outwaited(
    node: Node, clock: FakeClock, earlier: str, steps: int
) -> None:
    """Else whoever revokes would take the epoch of then for settled, while leases of now are out."""
    await put(node, earlier)
    then = await node.mode()
    for _ in range(steps):
        await put(node, "R")
    await node.lease.renew()
    latest = await node.mode()
    await set_back(node, then)
    await node.lease.renew()
    mode = await node.mode()
    assert (mode.state, mode.epoch, mode.settled) == (CacheState.POSTGRESQL, latest.epoch + 1, False)
    assert node.lease.current() is None
    clock.advance(T * WAIT_FACTOR - 0.001)
    await node.lease.renew()
    assert not (await node.mode()).settled
    clock.advance(0.001)
    await node.lease.renew()
    assert (await node.mode()).settled
    assert (await node.mode()).epoch == mode.epoch


async def test_an_epoch_of_the_same_number_that_is_another_one_is_outwaited_too(node: Node, clock: FakeClock) -> None:
    """It was set back, and somebody who had not seen the one before has raised it again."""
    await put(node, "R")
    await node.lease.renew()
    clock.advance(T * 2)
    await node.db.execute("UPDATE auth.cache_mode SET nonce = 'another', state = 'G', settled = false")
    before = await node.mode()
    await node.lease.renew()
    mode = await node.mode()
    assert (mode.epoch, mode.settled) == (before.epoch + 1, False)


async def test_of_many_workers_that_see_it_go_back_one_puts_it_right(database_url: str, clock: FakeClock) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(node_on(database_url, None, clock)) for _ in range(4)]
        for _ in range(3):
            then = await nodes[0].mode()
            for _ in range(5):
                await put(nodes[0], "R")
            latest = await nodes[0].mode()
            for node in nodes:
                await node.lease.renew()
            await set_back(nodes[0], then)
            await asyncio.gather(*(node.lease.renew() for node in nodes))
            assert (await nodes[0].mode()).epoch == latest.epoch + 1


async def test_an_answer_that_was_overtaken_on_its_way_is_not_a_postgresql_that_was_set_back(
    node: Node, clock: FakeClock
) -> None:
    await node.lease.renew()
    held = Held(node.db)
    late = asyncio.create_task(node.lease.look(held))  # type: ignore[arg-type]
    await held.read.wait()
    await put(node, "R")
    await node.lease.renew()
    held.goes_on.set()
    await late
    assert (await node.mode()).state is CacheState.TRUSTED
    assert node.lease.mode == await node.mode()


class Held:
    """A database whose answer is held up until it is let go."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.read, self.goes_on = asyncio.Event(), asyncio.Event()

    async def fetchrow(self, query: str, *args: object) -> Any:
        row = await self._db.fetchrow(query, *args)
        self.read.set()
        await self.goes_on.wait()
        return row


async def test_the_state_is_shown_where_there_is_a_redis(node: Node, clock: FakeClock, database_url: str) -> None:
    await node.lease.renew()
    assert node.registry.get_sample_value("authsvc_cache_state", {"state": "G"}) is None
    lease = Lease(node.db, clock, node.metrics)
    for state in "GWR":
        await sql(database_url, "UPDATE auth.cache_mode SET state = $1", state)
        await lease.renew()
        assert {each: node.counted("cache_state", state=each) for each in "GWR"} == {
            each: float(each == state) for each in "GWR"
        }

"""What was revoked is made known: written to Redis for certain, or Redis is put out of use and outwaited (C1, C5;
FLT-06, FLT-10, FLT-12, FLT-20)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta

import pytest
import redis

from authsvc.caches.revocations import RevocationCache
from authsvc.errors import CacheAway, Unavailable
from authsvc.flows import publication
from authsvc.flows.lease import WAIT_FACTOR
from authsvc.flows.publication import ATTEMPTS, back_off
from authsvc.tables import cache_mode
from tests.flows.nodes import G, Node, R, W, WatchedClock, node_on, nodes_on
from tests.house_of import database_away
from tests.tables.line import redis_line_to

WAIT = 5.0 * WAIT_FACTOR


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "LOOK_SECONDS", 0.001)


@pytest.fixture
def clock() -> WatchedClock:
    return WatchedClock()


@pytest.fixture
async def node(database_url: str, redis_url: str, clock: WatchedClock) -> AsyncIterator[Node]:
    async with node_on(database_url, redis_url, clock, size=20) as node:
        yield node


async def publish(node: Node, mark: str = "j:1") -> None:
    async with asyncio.timeout(20):
        await node.publication.publish(await node.commit(mark))


async def waits(task: "asyncio.Task[None]", clock: WatchedClock) -> bool:
    """Whether it goes on waiting, having looked at the clock a few times more."""
    looked = asyncio.create_task(clock.was_looked_at())
    await asyncio.wait({task, looked}, return_when=asyncio.FIRST_COMPLETED)
    looked.cancel()
    if task.done():
        task.result()
    return not task.done()


async def finds(node: Node, mark: str = "j:1") -> bool:
    return mark in await node.marks.find([mark])


# --- It was written


async def test_what_redis_confirms_is_known_at_once_and_to_everybody_who_asks_redis(
    database_url: str, redis_url: str, clock: WatchedClock
) -> None:
    async with nodes_on(database_url, redis_url, 2, clock) as (here, there):
        await here.fill()
        await there.lease.renew()
        assert not await finds(there)
        await publish(here)
        assert await finds(there)
        assert there.answered_by("redis") == 2
        assert there.answered_by("postgresql") == 0
        assert here.fences == 0


async def test_a_redis_that_is_being_filled_is_written_to_as_well(node: Node) -> None:
    """Else the one who fills it might have passed the place of the mark already."""
    assert node.cache is not None
    warming = await cache_mode.begin_warm_up(node.db, await node.mode(), "nonce", now=node.clock.now())
    assert warming is not None
    assert await node.cache.own(warming.deployment, "nonce")
    await publish(node)
    assert await node.cache.done(warming.deployment, "nonce")
    assert await node.cache.get(warming.deployment, "nonce", ["j:1"]) == {"j:1": 1}
    assert (await node.mode()).state is W


async def test_while_postgresql_answers_alone_redis_is_not_asked(database_url: str, redis_url: str) -> None:
    async with redis_line_to(redis_url) as line, node_on(database_url, line.url, WatchedClock()) as node:
        await publish(node)
        assert line.opened == 0
        assert (await node.mode()).epoch == 1


async def test_the_mode_is_read_when_the_mark_is_committed_whatever_was_seen_before(node: Node) -> None:
    await node.fill()
    marks = await node.commit("j:1")
    await node.db.execute("UPDATE auth.cache_mode SET state = 'G', epoch = epoch + 1, settled = true")
    assert node.lease.current() is not None
    await node.publication.publish(marks)
    assert (await node.mode()).state is G
    assert node.fences == 0


# --- It was not


async def flush(node: Node, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()


async def forget_the_owner(node: Node, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.function_flush()


async def fill_up(node: Node, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.config_set("maxmemory", 1)


async def have_none(node: Node, redis_url: str) -> None:
    node.use(None)


@pytest.fixture
def roomy(redis_url: str) -> Iterator[None]:
    yield
    with redis.Redis.from_url(redis_url) as server:
        server.config_set("maxmemory", 0)


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("lose", [flush, forget_the_owner, fill_up, have_none])
async def test_a_write_that_is_not_confirmed_puts_redis_out_of_use_and_outwaits_every_lease(
    node: Node, redis_url: str, clock: WatchedClock, lose: Callable[[Node, str], Awaitable[None]]
) -> None:
    before = await node.fill()
    await lose(node, redis_url)
    task = asyncio.create_task(publish(node))
    assert await waits(task, clock)
    mode = await node.mode()
    assert (mode.state, mode.epoch, mode.settled, mode.setbacks) == (G, before.epoch + 1, False, 1)
    clock.advance(WAIT - 0.001)
    assert await waits(task, clock)
    clock.advance(0.001)
    await task
    assert node.fences == 1
    assert node.lease.current() is None, "no lease is as old as that"


async def test_a_redis_that_does_not_answer_is_put_out_of_use(database_url: str, redis_url: str) -> None:  # FLT-10
    clock = WatchedClock()
    async with redis_line_to(redis_url) as line, node_on(database_url, line.url, clock) as node:
        await node.fill()
        line.hold()
        task = asyncio.create_task(publish(node))
        assert await waits(task, clock)
        while (await node.mode()).state is not G:
            assert await waits(task, clock)
        clock.advance(WAIT)
        await task


async def test_a_lease_that_was_given_until_the_fence_is_over_when_the_revocation_answers(
    database_url: str, redis_url: str
) -> None:
    """Whoever trusts a Redis that did not get the mark, at any moment until the answer, does so no longer then."""
    clock, slow = WatchedClock(), WatchedClock()
    async with (
        node_on(database_url, redis_url, slow) as reader,
        redis_line_to(redis_url) as line,
        node_on(database_url, line.url, clock) as node,
    ):
        await reader.fill()
        await line.cut()
        await reader.lease.renew()
        task = asyncio.create_task(publish(node))
        assert await waits(task, clock)
        assert not await finds(reader), "it may: nothing has been answered yet"
        for _ in range(11):
            assert await waits(task, clock)
            clock.advance(WAIT / 11)
            slow.advance(WAIT / 11 * 0.95)
        await task
        assert await finds(reader)
        assert reader.answered_by("postgresql") == 1


async def test_who_knows_that_the_epoch_is_settled_does_not_wait_on(database_url: str, redis_url: str) -> None:
    clock, ahead = WatchedClock(), WatchedClock()
    async with node_on(database_url, redis_url, clock) as node, node_on(database_url, None, ahead) as other:
        await node.fill()
        await flush(node, redis_url)
        task = asyncio.create_task(publish(node))
        assert await waits(task, clock)
        await other.lease.renew()
        ahead.advance(WAIT)
        await other.lease.renew()
        assert await waits(task, clock), "it has not looked"
        await node.lease.renew()
        await task


@pytest.mark.parametrize("state", ["R", "W", "G"])
async def test_in_an_epoch_that_is_not_settled_a_confirmed_write_waits_too(
    node: Node, clock: WatchedClock, state: str
) -> None:
    """A lease of an epoch before it is for another Redis, or for what it held then."""
    await node.fill()
    await node.db.execute("UPDATE auth.cache_mode SET settled = false, state = $1", state)
    task = asyncio.create_task(publish(node))
    assert await waits(task, clock)
    clock.advance(WAIT)
    await task
    assert node.fences == 0


async def test_an_epoch_that_has_long_been_in_sight_is_not_waited_for_again(node: Node, clock: WatchedClock) -> None:
    await node.db.execute("UPDATE auth.cache_mode SET settled = false")
    await node.lease.renew()
    clock.advance(WAIT)
    await publish(node)
    assert not (await node.mode()).settled, "nobody has said so: it was its own watch"


async def test_who_waits_holds_nobody_up_and_no_connection(node: Node, redis_url: str, clock: WatchedClock) -> None:
    await node.fill()
    await flush(node, redis_url)
    task = asyncio.create_task(publish(node))
    assert await waits(task, clock)
    assert node.db.in_use == 0
    clock.advance(WAIT)
    await task


# --- Others change the mode as well


async def test_of_many_who_could_not_write_one_fences_and_all_wait(
    node: Node, redis_url: str, clock: WatchedClock
) -> None:
    before = await node.fill()
    await flush(node, redis_url)
    tasks = [asyncio.create_task(publish(node, f"j:{number}")) for number in range(20)]
    while (await node.mode()).state is not G:
        await clock.was_looked_at(1)
    assert all([await waits(task, clock) for task in tasks])
    assert (node.fences, (await node.mode()).epoch) == (1, before.epoch + 1)
    clock.advance(WAIT)
    await asyncio.gather(*tasks)
    assert await node.marks.find([f"j:{number}" for number in range(20)]) == {f"j:{n}": 1 for n in range(20)}


class Overtaken(RevocationCache):
    """Before each answer, which is no, somebody else changes the mode."""

    def __init__(self, node: Node, times: int) -> None:
        assert node.cache is not None
        super().__init__(node.cache._cache)
        self._node = node
        self._times = times
        self.puts = 0

    async def put(self, deployment: str, nonce: str, marks: Mapping[str, int]) -> bool:
        self.puts += 1
        if self.puts > self._times:
            return await super().put(deployment, nonce, marks)
        await self._node.db.execute("UPDATE auth.cache_mode SET epoch = epoch + 1, state = 'R'")
        raise CacheAway


@pytest.mark.parametrize("times", range(1, ATTEMPTS))
async def test_who_is_overtaken_begins_again_with_the_mode_that_is_now(node: Node, times: int) -> None:
    before = await node.fill()
    node.use(cache := Overtaken(node, times))
    await publish(node)
    assert cache.puts == times + 1
    mode = await node.mode()
    assert (mode.state, mode.epoch, node.fences) == (R, before.epoch + times, 0)
    assert await cache.get(mode.deployment, mode.nonce, ["j:1"]) == {"j:1": 1}


async def test_who_is_overtaken_again_and_again_says_so(node: Node) -> None:
    await node.fill()
    node.use(cache := Overtaken(node, 1000))
    with pytest.raises(Unavailable):
        await publish(node)
    assert cache.puts == ATTEMPTS


async def test_nothing_is_made_known_while_postgresql_is_away(node: Node, database_url: str) -> None:
    await node.fill()
    marks = await node.commit("j:1")
    async with database_away(database_url):
        with pytest.raises(Unavailable):
            await node.publication.publish(marks)
    await node.publication.publish(marks)
    assert await finds(node)


# --- How long Redis is left alone


def test_redis_is_left_alone_for_longer_each_time_and_never_for_more_than_a_minute() -> None:
    told = [back_off(setbacks) / timedelta(seconds=1) for setbacks in range(10)]
    assert told == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert back_off(10**6) == timedelta(seconds=60)


async def test_redis_is_left_alone_from_when_the_fence_is_seen(node: Node, clock: WatchedClock) -> None:
    for setbacks in range(9):
        await node.db.execute("UPDATE auth.cache_mode SET setbacks = $1", setbacks)
        fenced = await node.publication.fence(await node.mode())
        assert fenced is not None
        seen = clock.boottime()
        for wait in (0.0, back_off(setbacks).total_seconds() - 0.001):
            clock.elapsed = seen + max(wait, 0)
            assert node.publication.leaves_alone(fenced, seen) == (setbacks > 0)
        clock.elapsed = seen + back_off(setbacks).total_seconds()
        assert not node.publication.leaves_alone(fenced, seen)


async def test_a_revocation_after_postgresql_was_set_back_waits_for_the_leases_that_it_does_not_know_of(
    database_url: str, redis_url: str, clock: WatchedClock
) -> None:
    """The epoch of then is settled and says that nobody trusts Redis; a worker beside it does."""
    async with nodes_on(database_url, redis_url, 2, clock) as (here, there):
        then = await here.mode()
        await here.fill()
        await there.lease.renew()
        await here.db.execute(
            "UPDATE auth.cache_mode SET state = 'G', epoch = $1, nonce = $2, settled = true", then.epoch, then.nonce
        )
        task = asyncio.create_task(publish(here))
        assert await waits(task, clock)
        assert not await finds(there), "it may: nothing has been answered yet"
        clock.advance(WAIT)
        await task
        assert await finds(there)

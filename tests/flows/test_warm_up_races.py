"""Several workers fill Redis at once, die at it, sleep through it, and are right all the same (FLT-20 to FLT-22)."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count

import pytest

from authsvc.caches.revocations import RevocationCache
from authsvc.errors import Unavailable
from authsvc.flows import publication, warm_up
from authsvc.tables import cache_mode
from tests.caches.filled import be_patient
from tests.flows.nodes import Node, R, RunningClock, W, ask, held, nodes_on, set_many
from tests.flows.workers import sql
from tests.house_of import database_away

STEPS = ("sweep", "own", "load", "done")


async def test_of_many_who_would_fill_redis_one_does(nodes: list[Node]) -> None:
    marks = await set_many(nodes[0], 100)
    for _ in range(5):
        await asyncio.gather(*(node.warm_up.run() for node in nodes * 3))
        mode = await nodes[0].mode()
        assert mode.state is R
        assert await held(nodes[0]) == marks
        await nodes[1].publication.fence(mode)
        for node in nodes:
            await node.lease.renew()
        nodes[0].clock.advance(60)
    assert mode.epoch == 10, "one warm-up and one fence each time"


async def test_a_warm_up_that_nobody_works_on_is_taken_over(node: Node) -> None:
    marks = await set_many(node, 10)
    abandoned = await cache_mode.begin_warm_up(node.db, await node.mode(), "abandoned", now=node.clock.now())
    assert abandoned is not None
    mode = await node.fill()
    assert mode.epoch == abandoned.epoch + 1
    assert mode.nonce != "abandoned"
    assert await held(node) == marks


class Slow(RevocationCache):
    """Before one step it falls asleep, until it is woken."""

    def __init__(self, node: Node, step: str) -> None:
        assert node.cache is not None
        super().__init__(node.cache._cache)
        self._step = step
        self.sleeps = asyncio.Event()
        self.wakes = asyncio.Event()

    async def _maybe(self, step: str) -> None:
        if step == self._step:
            self.sleeps.set()
            await self.wakes.wait()

    async def sweep(self, deployment: str, nonce: str) -> None:
        await self._maybe("sweep")
        await super().sweep(deployment, nonce)

    async def own(self, deployment: str, nonce: str) -> bool:
        await self._maybe("own")
        return await super().own(deployment, nonce)

    async def load(self, deployment: str, nonce: str, text: str) -> bool:
        await self._maybe("load")
        return await super().load(deployment, nonce, text)

    async def done(self, deployment: str, nonce: str) -> bool:
        await self._maybe("done")
        done = await super().done(deployment, nonce)
        await self._maybe("flip")
        return done


async def asleep_at(node: Node, step: str) -> tuple[Slow, "asyncio.Task[None]"]:
    """A warm-up of this node that has fallen asleep there."""
    node.use(slow := Slow(node, step))
    task = asyncio.create_task(node.warm_up.run())
    async with asyncio.timeout(20):
        await slow.sleeps.wait()
    return slow, task


EVERY_STEP = pytest.mark.parametrize("step", [*STEPS, "flip"])


@EVERY_STEP
async def test_who_dies_while_filling_redis_leaves_it_to_the_next(nodes: list[Node], step: str) -> None:  # FLT-21
    here, there = nodes[:2]
    marks = await set_many(here, 10)
    _, task = await asleep_at(here, step)
    await there.warm_up.run()
    assert (await there.mode()).state is W, "as long as somebody is at it nobody else is"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await there.fill()
    assert await held(there) == marks


@EVERY_STEP
async def test_who_sleeps_while_filling_redis_and_wakes_much_later_changes_nothing(
    nodes: list[Node], database_url: str, step: str
) -> None:  # FLT-22
    """It lost its connection, and the lock with it; a mark was set since it looked."""
    here, there, third = nodes
    await set_many(here, 10)
    slow, task = await asleep_at(here, step)
    await sql(
        database_url,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    await there.fill()
    await there.publication.publish(await there.commit("j:1"))
    await there.publication.fence(await there.mode())
    there.clock.advance(60)
    mode = await there.fill()
    await third.lease.renew()
    slow.wakes.set()
    await asyncio.gather(task, return_exceptions=True)
    assert await there.mode() == mode, "its compare-and-set failed"
    for node in (there, third):
        assert await node.marks.find(["j:1", "j:none"]) == {"j:1": 1}
    await there.warm_up.run()
    there.clock.advance(60)
    assert (await there.fill()).epoch <= mode.epoch + 2, "at the worst Redis is filled once more"
    assert await there.reader.find(["j:1", "j:none"]) == {"j:1": 1}


async def test_postgresql_gone_in_the_middle_ends_the_warm_up_and_the_next_takes_it_over(
    nodes: list[Node], database_url: str
) -> None:
    here, there = nodes[:2]
    marks = await set_many(here, 10)
    slow, task = await asleep_at(here, "done")
    async with database_away(database_url):
        slow.wakes.set()
        with pytest.raises(Unavailable):
            await task
    assert (await there.mode()).state is W
    await there.fill()
    assert await held(there) == marks


# --- All of it at once


DISTURBANCES = 5


@pytest.mark.timeout(240)
async def test_no_mark_that_was_made_known_is_ever_missing_whatever_becomes_of_redis(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks are set without end while Redis is filled, emptied and put out of use again and again: each time when it
    has been believed for a while. Whoever is asked after a mark was made known knows it, on every node."""
    be_patient(monkeypatch)
    monkeypatch.setattr(publication, "FIRST_BACK_OFF_SECONDS", 0.01)
    monkeypatch.setattr(publication, "LONGEST_BACK_OFF_SECONDS", 0.05)
    monkeypatch.setattr(publication, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(warm_up, "PAGE", 50)
    await sql(database_url, "UPDATE auth.cache_mode SET lease_seconds = 0.7")
    chance = random.Random(22)
    over = asyncio.Event()
    missed: list[str] = []
    numbers = count()
    async with nodes_on(database_url, redis_url, 3, RunningClock()) as nodes:
        await set_many(nodes[0], 300)

        def answered_by(path: str) -> float:
            return sum(node.answered_by(path) for node in nodes)

        async def keep(act: Callable[[], Awaitable[None]], seconds: float) -> None:
            while not over.is_set():
                await act()
                await asyncio.sleep(seconds)

        async def revoke() -> None:
            node, mark = chance.choice(nodes), f"j:{next(numbers)}"
            await node.publication.publish(await node.commit(mark))
            told = [await each.marks.find([mark, "j:none"]) for each in nodes]
            missed.extend(mark for found in told if mark not in found)

        async def disturb() -> None:
            done = 0
            while done < DISTURBANCES or answered_by("postgresql") <= 10:
                done += 1
                goal = answered_by("redis") + 60
                while answered_by("redis") < goal:
                    await asyncio.sleep(0.01)
                ask(redis_url, chance.choice(["FLUSHALL", "FUNCTION FLUSH"]))
            over.set()

        await asyncio.gather(
            disturb(),
            *(keep(node.lease.renew, 0.03) for node in nodes),
            *(keep(node.warm_up.run, 0.02) for node in nodes),
            *(keep(revoke, 0.02) for _ in range(20)),
        )
        assert missed == []
        assert (await nodes[0].mode()).epoch > DISTURBANCES
        async with asyncio.timeout(60):
            while (found := await held(nodes[0])) is None:
                await nodes[0].warm_up.run()
        assert len(found) == 300 + next(numbers)

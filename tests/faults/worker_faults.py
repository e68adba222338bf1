"""What befalls workers and nodes."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tests.faults.servers import send
from tests.faults.stage import Node, Stage


class Missed(Exception):
    """There was nobody to hit."""


@asynccontextmanager
async def stopped(pids: set[int]) -> AsyncIterator[None]:
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


def some_worker(node: Node, chance: random.Random) -> set[int]:
    workers = node.workers()
    return {chance.choice(workers)} if workers else set()


async def a_worker_is_stopped(stage: Stage, chance: random.Random) -> None:
    async with stopped(some_worker(chance.choice(stage.nodes), chance)):
        await asyncio.sleep(2.5 * stage.lease_seconds)


async def a_worker_is_killed(stage: Stage, chance: random.Random) -> None:
    send(some_worker(chance.choice(stage.nodes), chance), signal.SIGKILL)
    await asyncio.sleep(0.5)


async def at_its_word(
    stage: Stage, chance: random.Random, word: str, what: signal.Signals, *, provoked: bool = False
) -> None:
    """Whoever next says this word to Redis is stopped or killed as it says it. `provoked`: Redis is emptied first, so
    that somebody has to fill it."""
    hit: set[int] = set()
    is_hit = asyncio.Event()

    def strike(node: int, port: int) -> None:
        if not hit:
            hit.update(stage.nodes[node].who_connects_from(port))
            send(hit, what)
            is_hit.set()

    try:
        for number, wire in enumerate(stage.wires):
            wire.watch(word.encode(), partial(strike, number))
        if provoked:
            await stage.redis.tell("FLUSHALL", fails=True)
        async with asyncio.timeout(6):
            await is_hit.wait()
        await asyncio.sleep(2.5 * stage.lease_seconds if what is signal.SIGSTOP else 0.5)
    except TimeoutError:
        raise Missed from None
    finally:
        for wire in stage.wires:
            wire.unwatch()
        if what is signal.SIGSTOP:
            send(hit, signal.SIGCONT)


async def workers_are_replaced(stage: Stage, chance: random.Random) -> None:
    """One by one, as by a deployment that changes nothing."""
    node = chance.choice(stage.nodes)
    send([node.process.pid], signal.SIGHUP)
    await asyncio.sleep(stage.a_while)


async def a_node_is_started_anew(stage: Stage, chance: random.Random) -> None:
    node = chance.choice(stage.nodes)
    await node.stop()
    node.start()
    await node.until_ready()

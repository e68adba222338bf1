"""What the network does between the nodes and Redis."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.faults.proxy import Wire
from tests.faults.stage import Stage
from tests.faults.worker_faults import some_worker


@asynccontextmanager
async def on_wires(wires: Sequence[Wire]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for wire in wires:
            wire.heal()


async def bad_wire(
    stage: Stage, chance: random.Random, spoil: Callable[[Wire], None], *, only_one: bool = False
) -> None:
    wires = [chance.choice(stage.wires)] if only_one else stage.wires
    async with on_wires(wires):
        for wire in wires:
            spoil(wire)
        await asyncio.sleep(stage.a_while)


def tears_now_and_then(wire: Wire) -> None:
    wire.tear_chance = 0.03


async def one_reader_is_cut_off(stage: Stage, chance: random.Random) -> None:
    """A single worker; the others of its node go on."""
    node = chance.choice(stage.nodes)
    worker = some_worker(node, chance)
    async with on_wires([node.wire]):
        node.wire.refuse(lambda port: bool(worker & set(node.who_connects_from(port))))
        await asyncio.sleep(stage.a_while)

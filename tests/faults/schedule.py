"""Faults and load together: what is thrown when is decided by a seed, what comes of it is judged by the checker."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import msgspec

from tests.faults.acts import ACTS, OPERATIONS, people
from tests.faults.callers import Clients, World, hang_up
from tests.faults.catalog import CATALOG, Fault
from tests.faults.checker import check, check_stored
from tests.faults.history import Revoking, Told
from tests.faults.stage import Stage
from tests.faults.worker_faults import Missed

CALLERS = 40
PAUSE_SECONDS = 0.08
"""Of one caller between two acts, on average."""
QUIET_SECONDS = (0.3, 1.2)
"""Between two faults, once Redis is trusted again."""
DOUBLE = 0.25
"""How often a second fault is thrown with the first."""
HASTY = 0.4
"""How often the next fault is thrown into the doubt that the last one has left."""
OPERATION_SECONDS = 15.0
TWO_AT_ONCE = "FLT-47 two at once"
CALM_SECONDS = 15.0


class Outcome(msgspec.Struct):
    """What one schedule came to."""

    seed: str
    seconds: float
    thrown: dict[str, int]
    answers: dict[str, int]
    checked: int
    """Introspections of which one of the two answers would have been wrong."""
    revocations: dict[str, list[float]]
    """The milliseconds that each acknowledged one took, in quiet times and in doubt."""
    questions: dict[str, int]
    """How many batches of marks were asked for where, and how many fences there were, in all schedules so far."""
    violations: list[str]
    never_calm: list[str]
    """The faults after which Redis did not come to be trusted again in time."""
    errors_logged: list[str]


class Thrower:
    """Throws faults until the time is over. Remembers when there was doubt."""

    def __init__(self, world: World, chance: random.Random, faults: Sequence[Fault]) -> None:
        self._world, self._stage, self._chance, self._faults = world, world.stage, chance, faults
        self._deck: list[Fault] = []
        self._doubt_since: float | None = None
        self.thrown: Counter[str] = Counter()
        self.doubts: list[tuple[float, float]] = []
        self.never_calm: list[str] = []

    async def run(self, ends: float) -> None:
        while (left := ends - time.monotonic()) > 0:
            await asyncio.sleep(self._chance.uniform(*QUIET_SECONDS) if self._faults else left)
            if self._faults:
                await self.throw(*self._draw())

    async def throw(self, *faults: Fault) -> None:
        """What is broken is mended when this returns; most often Redis has also come to be trusted again."""
        if self._doubt_since is None:
            self._doubt_since = time.monotonic()
        self.thrown.update(f"{fault.id} {fault.name}" for fault in faults)
        if len(faults) > 1:
            self.thrown[TWO_AT_ONCE] += 1
        done = await asyncio.gather(
            *(self._throw_one(fault, at) for at, fault in enumerate(faults)), return_exceptions=True
        )
        for fault, each in zip(faults, done, strict=True):
            if isinstance(each, Missed):
                self.thrown[f"{fault.id} {fault.name}: missed"] += 1
            elif isinstance(each, BaseException) and not isinstance(each, (OSError, asyncpg.PostgresError)):
                raise each
        if self._chance.random() > HASTY and not await self.is_calm():
            self.never_calm.append(" + ".join(fault.name for fault in faults))

    async def is_calm(self) -> bool:
        """Redis is trusted again. A fault a second is more than the back-off is made for: it is cut short."""
        with suppress(OSError, asyncpg.PostgresError, TimeoutError):
            await self._stage.sql("UPDATE auth.cache_mode SET setbacks = 0")
        is_calm = await self._stage.is_trusted_soon(CALM_SECONDS)
        if self._doubt_since is not None:
            self.doubts.append((self._doubt_since, time.monotonic()))
            self._doubt_since = None
        return is_calm

    async def _throw_one(self, fault: Fault, at: int) -> None:
        if at:
            await asyncio.sleep(self._chance.uniform(0, 0.6))
        await fault.throw(self._stage, self._chance)
        await self._world.look_back()

    def _draw(self) -> list[Fault]:
        if not self._deck:
            self._deck = self._chance.sample(list(self._faults), len(self._faults))
        first = self._deck.pop()
        others = [fault for fault in self._faults if not fault.touches & first.touches]
        return [first, self._chance.choice(others)] if others and self._chance.random() < DOUBLE else [first]


async def run_schedule(
    stage: Stage,
    clients: Clients,
    seed: str,
    seconds: float,
    faults: Sequence[Fault] = tuple(CATALOG.values()),
    unsure: Sequence[Revoking] = (),
    *,
    callers: int = CALLERS,
) -> tuple[Outcome, list[Revoking]]:
    """What came of it; and the revocations of whose fate nobody knows, as far as they reach into the next schedule."""
    chance = random.Random(seed)
    world = World(stage, random.Random(f"{seed}/load"), clients)
    world.history.revokings.extend(unsure)
    await people(world)
    thrower = Thrower(world, chance, faults)
    began = time.monotonic()
    ends = began + seconds
    throwing = asyncio.create_task(thrower.run(ends))
    acting = [asyncio.create_task(_act(world, throwing)) for _ in range(callers)]
    acting.append(asyncio.create_task(_operate(world, throwing)))
    try:
        await asyncio.gather(throwing, *acting)
        stored = await settle(world, thrower)
    finally:
        for task in (throwing, *acting):
            task.cancel()
        await asyncio.gather(throwing, *acting, return_exceptions=True)
        hang_up(world)
    history = world.history
    verdict = check(history)
    violations = verdict.violations + check_stored(history, stored, world.all_tokens)
    counted = Counter(f"{each.what} {each.told}" for each in history.readings)
    counted.update(f"{each.what} {each.told}" for each in history.revokings)
    counted.update(f"{each.what} {each.told}" for each in history.others)
    outcome = Outcome(
        seed=seed,
        seconds=time.monotonic() - began,
        thrown=dict(sorted(thrower.thrown.items())),
        answers=dict(sorted(counted.items())),
        checked=verdict.checked,
        revocations=_timed(history.revokings, thrower.doubts),
        questions=dict(sum([await node.asked() for node in stage.nodes], Counter[str]())),
        violations=[f"{each.at - began:8.3f} s {each.rule}: {each.text}" for each in violations],
        never_calm=thrower.never_calm,
        errors_logged=[f"{node.name}: {error}" for node in stage.nodes for error in node.errors()],
    )
    lasting = [
        each
        for each in (*history.revokings, *history.abandoned())
        if each.mark[0] in "*kc" and each.told is not Told.DONE
    ]
    return outcome, lasting


async def settle(world: World, thrower: Thrower) -> dict[str, int]:
    """When all is mended: every dead token once more at each node, and the marks in PostgreSQL."""
    if not await thrower.is_calm():
        thrower.never_calm.append("at the end")
    dead = list(world.dead)
    await asyncio.gather(
        *(world.introspect(dead[at::CALLERS], node) for at in range(CALLERS) for node in world.stage.nodes)
    )
    rows = await world.stage.sql("SELECT mark, generation FROM auth.token_blacklist")
    return {row["mark"]: row["generation"] for row in rows}


async def _act(world: World, until: "asyncio.Task[None]") -> None:
    acts, weights = list(ACTS), list(ACTS.values())
    while not until.done():
        (act,) = world.chance.choices(acts, weights)
        await act(world)
        await asyncio.sleep(world.chance.expovariate(1 / PAUSE_SECONDS))


async def _operate(world: World, until: "asyncio.Task[None]") -> None:
    operations, weights = list(OPERATIONS), list(OPERATIONS.values())
    while not (await asyncio.wait([until], timeout=world.chance.uniform(0, 2 * OPERATION_SECONDS)))[0]:
        (operation,) = world.chance.choices(operations, weights)
        await operation(world)


def _timed(revokings: Sequence[Revoking], doubts: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
    """By the calls alone: a command takes a second to start."""
    found: dict[str, list[float]] = {"quiet": [], "doubt": []}
    for each in revokings:
        if each.told is Told.DONE and not each.what.startswith(("client ", "user ", "token ", "key ")):
            is_doubt = any(begin < each.end and each.begin < end for begin, end in doubts)
            found["doubt" if is_doubt else "quiet"].append(round(1000 * (each.end - each.begin), 2))
    return found

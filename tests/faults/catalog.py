"""Everything that can be done to a stage. Each fault is over, and what it broke mended, when its function returns."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import product

from tests.faults.proxy import Wire
from tests.faults.servers import send
from tests.faults.stage import Stage

A_WHILE = 1.5
"""Longer than the lease of a stage."""


class Part(Enum):
    """What a fault lays hands on: two that share one are not thrown together."""

    REDIS = auto()
    WIRE = auto()
    WORKER = auto()
    POSTGRES = auto()


class Missed(Exception):
    """There was nobody to hit."""


Throw = Callable[[Stage, random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    id: str
    """Of the list of attacks."""
    touches: frozenset[Part]
    throw: Throw


# --- Redis


async def redis_stays_away(stage: Stage, chance: random.Random) -> None:
    await stage.redis.kill()
    await asyncio.sleep(A_WHILE)
    stage.redis.forget()
    await stage.redis.start()


async def redis_comes_back_empty(stage: Stage, chance: random.Random) -> None:
    stage.redis.forget()
    await stage.redis.kill()
    await stage.redis.start()


async def redis_comes_back_with_an_old_snapshot(stage: Stage, chance: random.Random) -> None:
    await stage.redis.tell("SAVE", fails=True)
    await asyncio.sleep(chance.uniform(0.2, 1.0))
    await stage.redis.kill()
    await stage.redis.start()


async def redis_loads_an_old_snapshot_while_it_lives(stage: Stage, chance: random.Random) -> None:
    await stage.redis.tell("SAVE", fails=True)
    await asyncio.sleep(chance.uniform(0.2, 1.0))
    await stage.redis.tell("DEBUG", "RELOAD", "NOSAVE", fails=True)


async def told(stage: Stage, chance: random.Random, command: Sequence[str | int]) -> None:
    await stage.redis.tell(*command, fails=True)


async def the_hash_is_deleted(stage: Stage, chance: random.Random) -> None:
    for key in await stage.redis.tell("KEYS", "authsvc:rev:*", fails=True) or ():
        await stage.redis.tell("DEL", key, fails=True)


async def memory_is_full(stage: Stage, chance: random.Random, policy: str) -> None:
    await stage.redis.tell("CONFIG", "SET", "maxmemory-policy", policy, fails=True)
    await stage.redis.tell("CONFIG", "SET", "maxmemory", "100kb", fails=True)
    await asyncio.sleep(A_WHILE)
    await stage.redis.tell("CONFIG", "SET", "maxmemory", "0", fails=True)


async def redis_is_paused(stage: Stage, chance: random.Random, milliseconds: int, what: str) -> None:
    await stage.redis.tell("CLIENT", "PAUSE", milliseconds, what, fails=True)
    await asyncio.sleep(milliseconds / 1000)


async def redis_is_stopped(stage: Stage, chance: random.Random) -> None:
    async with stopped(stage.redis.processes()):
        await asyncio.sleep(2.0)


async def nodes_see_two_masters(stage: Stage, chance: random.Random) -> None:
    """A replica that lags is promoted while its master lives: one node goes on with the old, the other with the new."""
    replica = stage.replica
    await replica.start()
    try:
        await replica.tell("REPLICAOF", "127.0.0.1", stage.redis.port)
        for _ in range(100):
            if b"master_link_status:up" in (await replica.tell("INFO", "replication", fails=True) or b""):
                break
            await asyncio.sleep(0.05)
        await stage.redis.tell("CLIENT", "KILL", "TYPE", "REPLICA", fails=True)
        await replica.tell("REPLICAOF", "127.0.0.1", "1")  # it hears nothing any more
        await asyncio.sleep(0.3)
        wire = chance.choice(stage.wires)
        wire.target = replica.port
        wire.tear()
        await asyncio.sleep(0.5)
        await replica.tell("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(A_WHILE)
    finally:
        for wire in stage.wires:
            wire.target = stage.redis.port
        await replica.kill()
        replica.forget()


# --- The wires to Redis


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
        await asyncio.sleep(A_WHILE)


def tears_now_and_then(wire: Wire) -> None:
    wire.tear_chance = 0.03


# --- Workers


@asynccontextmanager
async def stopped(pids: set[int]) -> AsyncIterator[None]:
    send(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send(pids, signal.SIGCONT)


def some_worker(stage: Stage, chance: random.Random) -> set[int]:
    workers = chance.choice(stage.nodes).workers()
    return {chance.choice(workers)} if workers else set()


async def a_worker_is_stopped(stage: Stage, chance: random.Random) -> None:
    async with stopped(some_worker(stage, chance)):
        await asyncio.sleep(2.5 * stage.lease_seconds)


async def a_worker_is_killed(stage: Stage, chance: random.Random) -> None:
    send(some_worker(stage, chance), signal.SIGKILL)
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


# --- PostgreSQL


async def postgres_restarts(stage: Stage, chance: random.Random, how: signal.Signals) -> None:
    await stage.postgres.end(how)
    await stage.postgres.start()


async def postgres_crashes(stage: Stage, chance: random.Random) -> None:
    await stage.postgres.crash()
    await stage.postgres.start()


async def the_postmaster_is_killed(stage: Stage, chance: random.Random) -> None:
    await stage.postgres.behead()
    await stage.postgres.start()


async def postgres_is_stopped(stage: Stage, chance: random.Random) -> None:
    pids = stage.postgres.processes()
    async with stopped(pids):
        await asyncio.sleep(2.0)


async def sessions_are_terminated(stage: Stage, chance: random.Random) -> None:
    await stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'authsvc %'")


R, W, P, N = (frozenset({part}) for part in (Part.REDIS, Part.WORKER, Part.POSTGRES, Part.WIRE))
STOP, KILL = signal.SIGSTOP, signal.SIGKILL


def _made() -> Iterator[Fault]:
    yield Fault("Redis stays away", "FLT-01", R, redis_stays_away)
    yield Fault("Redis comes back empty", "FLT-02", R, redis_comes_back_empty)
    yield Fault("Redis comes back with an old snapshot", "FLT-03", R, redis_comes_back_with_an_old_snapshot)
    yield Fault("FLUSHALL", "FLT-04", R, partial(told, command=("FLUSHALL",)))
    yield Fault("DEL of the hash", "FLT-04", R, the_hash_is_deleted)
    yield Fault("FUNCTION FLUSH", "FLT-04", R, partial(told, command=("FUNCTION", "FLUSH")))
    yield Fault("memory full, allkeys-lru", "FLT-05", R, partial(memory_is_full, policy="allkeys-lru"))
    yield Fault("memory full, noeviction", "FLT-06", R, partial(memory_is_full, policy="noeviction"))
    for clients, ms in product(("ALL", "WRITE"), (200, 2000)):
        yield Fault(
            f"CLIENT PAUSE {ms} {clients}", "FLT-07", R, partial(redis_is_paused, milliseconds=ms, what=clients)
        )
    yield Fault("Redis is stopped", "FLT-07", R, redis_is_stopped)
    for ms in (5, 50, 500):
        slow = partial(Wire.slow, seconds=ms / 1000)
        yield Fault(f"Redis is {ms} ms away", "FLT-08", N, partial(bad_wire, spoil=slow))
    yield Fault("wires tear now and then", "FLT-08", N, partial(bad_wire, spoil=tears_now_and_then))
    spoilt = {"cut": Wire.cut, "black hole": Wire.swallow, "half open": Wire.deafen}
    for name, spoil in spoilt.items():
        yield Fault(f"wires: {name}", "FLT-08", N, partial(bad_wire, spoil=spoil))
        yield Fault(f"one wire: {name}", "FLT-10", N, partial(bad_wire, spoil=spoil, only_one=True))
    yield Fault("two masters", "FLT-12", R | N, nodes_see_two_masters)
    yield Fault("an old snapshot is loaded alive", "FLT-13", R, redis_loads_an_old_snapshot_while_it_lives)
    yield Fault("DEBUG RELOAD", "FLT-13", R, partial(told, command=("DEBUG", "RELOAD")))
    yield Fault("a worker is killed", "FLT-20", W, a_worker_is_killed)
    yield Fault("a revoker is killed", "FLT-20", W | N, partial(at_its_word, word="rev_put", what=KILL))
    yield Fault("a revoker is stopped", "FLT-22", W | N, partial(at_its_word, word="rev_put", what=STOP))
    for what, number in ((KILL, 21), (STOP, 22)):
        for word in ("rev_own", "rev_load", "rev_done"):
            throw = partial(at_its_word, word=word, what=what, provoked=True)
            yield Fault(f"the warmer gets {what.name} at {word}", f"FLT-{number}", W | N | R, throw)
    yield Fault("a worker is stopped", "FLT-23", W, a_worker_is_stopped)
    yield Fault("a reader is stopped", "FLT-24", W | N, partial(at_its_word, word="rev_get", what=STOP))
    yield Fault("PostgreSQL restarts, fast", "FLT-34", P, partial(postgres_restarts, how=signal.SIGINT))
    yield Fault("PostgreSQL restarts, immediate", "FLT-34", P, partial(postgres_restarts, how=signal.SIGQUIT))
    yield Fault("PostgreSQL crashes", "FLT-34", P, postgres_crashes)
    yield Fault("the postmaster is killed", "FLT-34", P, the_postmaster_is_killed)
    yield Fault("PostgreSQL is stopped", "FLT-36", P, postgres_is_stopped)
    yield Fault("all sessions are terminated", "FLT-37", P, sessions_are_terminated)


CATALOG = {fault.name: fault for fault in _made()}

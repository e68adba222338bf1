"""Everything that can be done to a stage. Each fault is over, and what it broke mended, when its function returns."""

import random
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import product

from tests.faults.postgres_faults import (
    postgres_crashes,
    postgres_is_stopped,
    postgres_restarts,
    postgres_stays_away,
    sessions_are_terminated,
    the_postmaster_is_killed,
    the_standby_is_gone,
    waiting_commits_are_ended,
)  # fmt: skip
from tests.faults.proxy import Wire
from tests.faults.redis_faults import (
    it_follows_nobody,
    it_is_busy,
    it_is_loading,
    it_permits_nothing,
    it_wants_a_password,
    memory_is_full,
    nodes_see_two_masters,
    redis_comes_back_empty,
    redis_comes_back_with_an_old_snapshot,
    redis_is_paused,
    redis_is_stopped,
    redis_loads_an_old_snapshot_while_it_lives,
    redis_stays_away,
    the_address_leads_to_another_deployment,
    the_hash_is_deleted,
    the_hash_is_something_else,
    told,
)  # fmt: skip
from tests.faults.stage import Stage
from tests.faults.wire_faults import bad_wire, one_reader_is_cut_off, tears_now_and_then
from tests.faults.worker_faults import (
    a_node_is_started_anew,
    a_worker_is_killed,
    a_worker_is_stopped,
    at_its_word,
    workers_are_replaced,
)  # fmt: skip


class Part(Enum):
    """What a fault lays hands on: two that share one are not thrown together."""

    REDIS = auto()
    WIRE = auto()
    WORKER = auto()
    POSTGRES = auto()


Throw = Callable[[Stage, random.Random], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    id: str
    """Of the list of attacks; of two when there is a stroke between them."""
    touches: frozenset[Part]
    throw: Throw


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
    yield Fault("LOADING", "FLT-09", R, it_is_loading)
    yield Fault("READONLY", "FLT-09", R, partial(it_follows_nobody, tells_old=True))
    yield Fault("MASTERDOWN", "FLT-09", R, partial(it_follows_nobody, tells_old=False))
    yield Fault("NOAUTH", "FLT-09", R, it_wants_a_password)
    yield Fault("NOPERM", "FLT-09", R, it_permits_nothing)
    yield Fault("BUSY", "FLT-09", R, it_is_busy)
    yield Fault("WRONGTYPE", "FLT-09", R, the_hash_is_something_else)
    spoilt = {"cut": Wire.cut, "black hole": Wire.swallow, "half open": Wire.deafen}
    for name, spoil in spoilt.items():
        yield Fault(f"wires: {name}", "FLT-08", N, partial(bad_wire, spoil=spoil))
        yield Fault(f"one wire: {name}", "FLT-10", N, partial(bad_wire, spoil=spoil, only_one=True))
    yield Fault("one reader is cut off", "FLT-11", N | W, one_reader_is_cut_off)
    yield Fault("two masters", "FLT-12", R | N, nodes_see_two_masters)
    yield Fault("an old snapshot is loaded alive", "FLT-13", R, redis_loads_an_old_snapshot_while_it_lives)
    yield Fault("DEBUG RELOAD", "FLT-13", R, partial(told, command=("DEBUG", "RELOAD")))
    yield Fault("another deployment's Redis", "FLT-14", R | N, the_address_leads_to_another_deployment)
    yield Fault("a worker is killed", "FLT-20/FLT-26", W, a_worker_is_killed)
    yield Fault("a revoker is killed", "FLT-20", W | N, partial(at_its_word, word="rev_put", what=KILL))
    yield Fault("a revoker is stopped", "FLT-22", W | N, partial(at_its_word, word="rev_put", what=STOP))
    for what, number in ((KILL, 21), (STOP, 22)):
        for word in ("rev_own", "rev_load", "rev_done"):
            throw = partial(at_its_word, word=word, what=what, provoked=True)
            yield Fault(f"the warmer gets {what.name} at {word}", f"FLT-{number}", W | N | R, throw)
    yield Fault("a worker is stopped", "FLT-23", W, a_worker_is_stopped)
    yield Fault("a reader is stopped", "FLT-24", W | N, partial(at_its_word, word="rev_get", what=STOP))
    yield Fault("workers are replaced", "FLT-25", W, workers_are_replaced)
    yield Fault("a node is started anew", "FLT-25", W | P, a_node_is_started_anew)
    yield Fault("the standby is gone", "FLT-30", P, the_standby_is_gone)
    for function in ("pg_cancel_backend", "pg_terminate_backend"):
        throw = partial(waiting_commits_are_ended, function=function)
        yield Fault(f"commits get {function}", "FLT-31", P, throw)
    yield Fault("PostgreSQL restarts, fast", "FLT-34", P, partial(postgres_restarts, how=signal.SIGINT))
    yield Fault("PostgreSQL restarts, immediate", "FLT-34", P, partial(postgres_restarts, how=signal.SIGQUIT))
    yield Fault("PostgreSQL crashes", "FLT-34", P, postgres_crashes)
    yield Fault("the postmaster is killed", "FLT-34", P, the_postmaster_is_killed)
    yield Fault("PostgreSQL stays away", "FLT-35", P, postgres_stays_away)
    yield Fault("PostgreSQL is stopped", "FLT-36", P, postgres_is_stopped)
    yield Fault("all sessions are terminated", "FLT-37", P, sessions_are_terminated)


CATALOG = {fault.name: fault for fault in _made()}

"""Argon2id on threads of its own, with a short queue: a storm of logins is shed, not endured."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import get_native_id
from time import perf_counter
from typing import TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import HashingError, InvalidHashError, VerificationError, VerifyMismatchError

from authsvc.adapters.processors import count_processors
from authsvc.errors import Unavailable
from authsvc.logs import get_logger
from authsvc.metrics import Metrics

Result = TypeVar("Result")
log = get_logger(__name__)

MAX_MEMORY_KIB = 1_048_576
MAX_PASSES = 20
MAX_LANES = 8
SLOW_SECONDS = 1.0
NICENESS = 5
"""Of the threads that hash, above that of the process: a third of the weight. More would starve logins on a machine
that others use too."""


@dataclass(frozen=True, slots=True)
class HashCost:
    memory_kib: int
    passes: int


class Hasher:
    """Hashes and verifies passwords. At most `threads` at once, `queue` more may wait, the rest is refused.

    More threads than processors give no more logins and hurt everything else on the loop; argon2 releases the GIL.
    """

    def __init__(self, cost: HashCost, *, threads: int, queue: int, metrics: Metrics) -> None:
        threads = threads or max(1, count_processors() - 1)
        self._cost = cost
        self._argon2 = PasswordHasher(time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=1)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2", initializer=_step_back)
        self._room = threads + queue
        self._queue = queue
        self._metrics = metrics
        self._decoy = ""

    async def open(self) -> None:
        """Make the hash that stands in for a user who does not exist, at today's cost; say what it cost (PWS-07)."""
        started = perf_counter()
        self._decoy = await self.hash(os.urandom(16))
        took = perf_counter() - started
        tell = log.warning if took > SLOW_SECONDS else log.info
        tell("a password hash takes", milliseconds=round(took * 1000), threads=self._room - self._queue)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def check_room(self) -> None:
        """Refuse early, before any other work is done for a login that could not be finished.

        Raises:
            Unavailable: the queue is full.
        """
        if self._room <= 0:
            raise Unavailable("too many logins at once", retry_after=1)

    async def hash(self, password: bytes) -> str:
        """A PHC string with a salt of its own.

        Raises:
            Unavailable: the queue is full.
        """
        return await self._run(lambda: self._argon2.hash(password))

    async def hash_if_idle(self, password: bytes) -> str | None:
        """As `hash`, where a thread is free for it at once, and memory; else None."""
        with suppress(HashingError):
            return await self.hash(password) if self._room > self._queue else None
        return None

    def is_weaker(self, stored: str) -> bool:
        """Whether less work went into a usable hash than goes into one of today (PWS-04)."""
        cost = extract_parameters(stored)
        return cost.memory_cost * cost.time_cost < self._cost.memory_kib * self._cost.passes

    async def verify(self, password: bytes, stored: str | None) -> bool:
        """Whether the password is the stored one. One hash of the same cost is computed whatever `stored` is: None (no
        such user, no password), garbage, or a hash that would cost more than policy allows (ATK-44).

        Raises:
            Unavailable: the queue is full.
        """
        usable = stored if stored is not None and _is_within_policy(stored) else None
        if stored is not None and usable is None:
            log.error("a stored password hash is unusable")
        matches = await self._run(lambda: self._matches(usable or self._decoy, password))
        return matches and usable is not None

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._argon2.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError, ValueError):  # ValueError: letters that no hash has
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        self.check_room()
        self._room -= 1
        self._metrics.password_hash_queue_depth.inc()
        loop = asyncio.get_running_loop()

        def timed() -> Result:
            started = perf_counter()
            try:
                return work()
            finally:
                self._metrics.password_hash_duration.observe(perf_counter() - started)

        def leave(_: "Future[Result]") -> None:
            # When the thread is done, not when the request is: an impatient client must not make room for another hash.
            with suppress(RuntimeError):  # the loop is closed, and nobody counts any more
                loop.call_soon_threadsafe(self._leave)

        future = self._executor.submit(timed)
        future.add_done_callback(leave)
        return await asyncio.wrap_future(future)

    def _leave(self) -> None:
        self._room += 1
        self._metrics.password_hash_queue_depth.dec()


def _step_back() -> None:
    """Where a processor is wanted by a hash and by the loop, the loop has it: the one takes all that it is given for a
    tenth of a second, the other some microseconds at a time."""
    with suppress(OSError):  # only Linux knows a thread by this number
        os.setpriority(os.PRIO_PROCESS, get_native_id(), min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))


def _is_within_policy(stored: str) -> bool:
    try:
        cost = extract_parameters(stored)
    except InvalidHashError:
        return False
    return (
        cost.type.name == "ID"
        and cost.memory_cost <= MAX_MEMORY_KIB
        and cost.time_cost <= MAX_PASSES
        and cost.parallelism <= MAX_LANES
    )

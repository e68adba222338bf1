"""Argon2id on threads of its own: how many at once, who waits, who is refused, and what is never computed (PWS-*,
ATK-43 to ATK-45)."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc.adapters.hasher import NICENESS, HashCost, Hasher
from authsvc.errors import Unavailable
from authsvc.metrics import Metrics

CHEAP = HashCost(memory_kib=8, passes=1)
REAL = HashCost(memory_kib=19_456, passes=2)
SALT_AND_TAG = "c29tZXNhbHRzb21lc2FsdA$uW4hkbxS8ltU5i9eZ1HVdYpIqQjQVNtZdqRlDfSyVwY"


class Slow:
    """Instead of Argon2: a computation that ends when it is told to."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.begun = 0
        self.go = threading.Semaphore(0)

    def hash(self, password: bytes) -> str:
        with self.lock:
            self.now += 1
            self.begun += 1
            self.most = max(self.most, self.now)
        assert self.go.acquire(timeout=20)
        with self.lock:
            self.now -= 1
        return password.decode()


@asynccontextmanager
async def hasher_on(cost: HashCost = CHEAP, *, threads: int = 2, queue: int = 100) -> AsyncIterator[Hasher]:
    hasher = Hasher(cost, threads=threads, queue=queue, metrics=Metrics(CollectorRegistry()))
    await hasher.open()
    try:
        yield hasher
    finally:
        hasher.close()


@asynccontextmanager
async def slow_hasher(*, threads: int, queue: int) -> AsyncIterator[tuple[Hasher, Slow]]:
    async with hasher_on(threads=threads, queue=queue) as hasher:
        slow: Any = Slow()
        hasher._argon2 = slow
        try:
            yield hasher, slow
        finally:
            slow.go.release(1000)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


# --- What is computed


async def test_a_hash_is_argon2id_of_the_cost_that_was_asked_for() -> None:  # PWS-01, PWS-02
    async with hasher_on(REAL) as hasher:
        stored = await hasher.hash(b"a password")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        _, _, _, _, salt, tag = stored.split("$")
        assert len(salt) == 22, "16 bytes"
        assert len(tag) == 43, "32 bytes"
        assert await hasher.hash(b"a password") != stored
        assert await hasher.verify(b"a password", stored)
        assert not await hasher.verify(b"another", stored)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"A" * 72 + b"x", b"A" * 72 + b"y"),
        (b"a\0b", b"a\0c"),
        (b"a\0b", b"a"),
        (b"a", b"a "),
        (b"a", b"A"),
        (b"", b"\0"),
        (b"x" * 1024, b"x" * 1023),
    ],
)
async def test_every_byte_of_a_password_counts(one: bytes, other: bytes) -> None:  # ATK-45, PWS-06
    async with hasher_on() as hasher:
        stored = await hasher.hash(one)
        assert await hasher.verify(one, stored)
        assert not await hasher.verify(other, stored)


async def test_a_hash_of_another_cost_within_policy_is_verified() -> None:
    async with hasher_on(HashCost(memory_kib=64, passes=3)) as then, hasher_on() as now:
        stored = await then.hash(b"a password")
        assert await now.verify(b"a password", stored)
        assert not await now.verify(b"another", stored)


# --- What is not computed

UNUSABLE = {
    "4 GiB": f"$argon2id$v=19$m=4194304,t=2,p=1${SALT_AND_TAG}",
    "2^32 KiB": f"$argon2id$v=19$m=4294967295,t=2,p=1${SALT_AND_TAG}",
    "more than 2^64": f"$argon2id$v=19$m={2**70},t=2,p=1${SALT_AND_TAG}",
    "a billion passes": f"$argon2id$v=19$m=8,t=1000000000,p=1${SALT_AND_TAG}",
    "many lanes": f"$argon2id$v=19$m=65536,t=1,p=255${SALT_AND_TAG}",
    "argon2i": f"$argon2i$v=19$m=8,t=1,p=1${SALT_AND_TAG}",
    "argon2d": f"$argon2d$v=19$m=8,t=1,p=1${SALT_AND_TAG}",
    "bcrypt": "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
    "plain text": "a password",
    "empty": "",
    "no hash": "$argon2id$v=19$m=8,t=1,p=1$",
    "words for numbers": f"$argon2id$v=19$m=x,t=y,p=z${SALT_AND_TAG}",
    "no parameters": f"$argon2id$v=19$${SALT_AND_TAG}",
    "letters that no hash has": f"$argon2id$v=19$m=8,t=1,p=1${SALT_AND_TAG}ü",
    "digits that no hash has": f"$argon2id$v=19$m=１９４５６,t=1,p=1${SALT_AND_TAG}",
    "a lone surrogate": f"$argon2id$v=19$m=8,t=1,p=1${SALT_AND_TAG}\ud800",
    "negative": f"$argon2id$v=19$m=-8,t=1,p=1${SALT_AND_TAG}",
    "nothing at all": f"$argon2id$v=19$m=0,t=0,p=0${SALT_AND_TAG}",
}


@pytest.mark.parametrize("stored", UNUSABLE.values(), ids=UNUSABLE)
async def test_a_stored_hash_that_is_unusable_lets_nobody_in(stored: str) -> None:  # ATK-44
    async with hasher_on() as hasher:
        for password in (b"a password", b"", stored.encode("utf-8", "surrogatepass")):
            assert not await hasher.verify(password, stored)


@pytest.mark.parametrize(
    "stored", [UNUSABLE[name] for name in ("4 GiB", "2^32 KiB", "more than 2^64", "a billion passes", "many lanes")]
)
async def test_a_stored_hash_above_policy_is_never_handed_to_argon2(
    stored: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # ATK-44
    async with hasher_on() as hasher:
        computed: list[str] = []

        class Spy:
            def verify(self, stored: str, password: bytes) -> bool:
                computed.append(stored)
                return True

        monkeypatch.setattr(hasher, "_argon2", Spy())
        assert not await hasher.verify(b"a password", stored), "even where the stand-in matches"
        assert computed == [hasher._decoy], "one hash, of today's cost"
        assert [record.message for record in caplog.records] == ["a stored password hash is unusable"]
        assert stored not in caplog.text


async def test_nobody_is_let_in_by_the_stand_in_for_who_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hasher_on() as hasher:
        hasher._decoy = await hasher.hash(b"guessed")
        for stored in (None, "", "plain", UNUSABLE["4 GiB"]):
            assert not await hasher.verify(b"guessed", stored)


async def test_the_stand_in_costs_what_a_hash_costs() -> None:  # LOG-02
    async with hasher_on(REAL) as hasher:
        assert hasher._decoy.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        stored = await hasher.hash(b"a password")
        times: dict[bool, float] = {True: 9.0, False: 9.0}
        for _ in range(5):
            for known in times:
                started = perf_counter()
                await hasher.verify(b"another", stored if known else None)
                times[known] = min(times[known], perf_counter() - started)
        assert 0.3 < times[True] / times[False] < 3


# --- What it costs


async def test_what_a_hash_costs_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:  # PWS-07
    caplog.set_level("INFO")
    async with hasher_on() as hasher:
        assert [record.message for record in caplog.records] == ["a password hash takes"]
        assert caplog.records[0].levelname == "INFO"
        counted = next(iter(hasher._metrics.password_hash_duration.collect())).samples
        assert next(sample.value for sample in counted if sample.name.endswith("_count")) == 1


@pytest.mark.parametrize(
    ("then", "weaker"),
    [
        (HashCost(memory_kib=64, passes=3), False),
        (HashCost(memory_kib=96, passes=2), False),
        (HashCost(memory_kib=64, passes=4), False),
        (HashCost(memory_kib=95, passes=2), True),
        (HashCost(memory_kib=64, passes=2), True),
        (CHEAP, True),
    ],
)
async def test_a_hash_is_weaker_when_less_work_went_into_it(then: HashCost, weaker: bool) -> None:  # PWS-04
    async with hasher_on(then) as before, hasher_on(HashCost(memory_kib=64, passes=3)) as now:
        assert now.is_weaker(await before.hash(b"a password")) is weaker


async def test_what_can_wait_is_computed_only_where_a_thread_is_free() -> None:
    async with slow_hasher(threads=2, queue=5) as (hasher, slow):
        running = [asyncio.create_task(hasher.hash_if_idle(b"%d" % number)) for number in range(2)]
        await until(lambda: slow.now == 2)
        assert await hasher.hash_if_idle(b"a third") is None
        hasher.check_room()
        slow.go.release(2)
        assert await asyncio.gather(*running) == ["0", "1"]
        assert slow.begun == 2


# --- How many


async def test_so_many_are_computed_so_many_wait_and_the_rest_is_refused_at_once() -> None:  # ATK-43, PWS-05
    async with slow_hasher(threads=2, queue=3) as (hasher, slow):
        tasks = [asyncio.create_task(hasher.hash(b"%d" % number)) for number in range(5)]
        await until(lambda: slow.now == 2)
        started = perf_counter()
        for _ in range(200):
            with pytest.raises(Unavailable) as caught:
                await hasher.hash(b"one too many")
            with pytest.raises(Unavailable):
                await hasher.verify(b"one too many", None)
            with pytest.raises(Unavailable):
                hasher.check_room()
        assert perf_counter() - started < 20
        assert caught.value.retry_after >= 1
        slow.go.release(5)
        assert await asyncio.gather(*tasks) == ["0", "1", "2", "3", "4"]
        assert (slow.most, slow.begun) == (2, 5)
        await until(lambda: hasher._room == 5)
        hasher.check_room()


async def test_an_impatient_caller_keeps_the_place_until_the_thread_has_ended() -> None:  # ATK-43
    """Else whoever hangs up at once could have any number computed at the same time."""
    async with slow_hasher(threads=1, queue=0) as (hasher, slow):
        for _ in range(3):
            task = asyncio.create_task(hasher.hash(b"impatient"))
            await until(lambda: slow.now == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(Unavailable):
                await hasher.hash(b"next")
            slow.go.release()
            await until(lambda: hasher._room == 1)
        assert slow.most == 1


async def test_who_hangs_up_in_the_queue_gives_the_place_back_and_nothing_is_computed() -> None:
    async with slow_hasher(threads=1, queue=2) as (hasher, slow):
        first = asyncio.create_task(hasher.hash(b"first"))
        await until(lambda: slow.now == 1)
        queued = [asyncio.create_task(hasher.hash(b"queued")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            hasher.check_room()
        for task in queued:
            task.cancel()
        await asyncio.gather(*queued, return_exceptions=True)
        await until(lambda: hasher._room == 2)
        last = asyncio.create_task(hasher.hash(b"last"))
        slow.go.release(2)
        assert list(await asyncio.gather(first, last)) == ["first", "last"]
        assert slow.begun == 2


async def test_a_storm_of_impatient_callers_loses_no_place() -> None:
    async with hasher_on(threads=2, queue=10) as hasher:

        async def call(number: int) -> None:
            await asyncio.sleep(number % 20 / 2000)
            try:
                async with asyncio.timeout(number % 7 / 5000 or None):
                    await hasher.hash(b"a password")
            except (TimeoutError, Unavailable):
                pass

        await asyncio.gather(*(call(number) for number in range(500)))
        await until(lambda: hasher._room == 12)
        assert await hasher.hash(b"a password")


async def test_a_computation_that_fails_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hasher_on(threads=1, queue=0) as hasher:
        with monkeypatch.context() as patch:
            patch.setattr(hasher, "_argon2", None)
            for _ in range(3):
                with pytest.raises(AttributeError):
                    await hasher.hash(b"a password")
                await until(lambda: hasher._room == 1)
        assert await hasher.hash(b"a password")


async def test_the_loop_turns_while_hashes_are_computed() -> None:
    async with hasher_on(REAL, threads=1) as hasher:
        tasks = [asyncio.create_task(hasher.hash(b"a password")) for _ in range(3)]
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turns += 1
        assert turns > 100


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
async def test_hashes_give_way_to_all_else_in_the_process() -> None:
    class Looking:
        """Instead of Argon2: how nice the thread is."""

        def hash(self, password: bytes) -> str:
            return str(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    looking: Any = Looking()
    async with hasher_on(threads=1) as hasher:
        hasher._argon2 = looking
        loops = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert int(await hasher.hash(b"")) == min(loops + NICENESS, 19)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == loops


async def test_without_a_number_of_threads_one_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, threads in [(8, 7), (2, 1), (1, 1)]:
        monkeypatch.setattr("authsvc.adapters.hasher.count_processors", lambda processors=processors: processors)
        hasher = Hasher(CHEAP, threads=0, queue=5, metrics=Metrics(CollectorRegistry()))
        assert hasher._room == threads + 5
        hasher.close()


def test_a_hash_that_outlives_the_loop_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A worker stops while somebody logs in: no traceback is left in the log."""
    slow: Any = Slow()
    hasher = Hasher(CHEAP, threads=1, queue=1, metrics=Metrics(CollectorRegistry()))

    async def serve() -> None:
        hasher._argon2 = slow
        asyncio.get_running_loop().create_task(hasher.hash(b"a password"), name="left behind")
        await until(lambda: slow.now == 1)
        hasher.close()

    asyncio.run(serve())
    slow.go.release()
    hasher._executor.shutdown(wait=True)
    assert caplog.records == []

"""Redis, as something that may be away: briefly waited for, left alone while it does not answer, found again."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from authsvc.caches import redis
from authsvc.caches.breaker import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS
from authsvc.caches.redis import CONNECTIONS, TIMEOUT_SECONDS, Cache
from authsvc.errors import CacheAway, ConfigurationError
from authsvc.metrics import Metrics
from tests.house_of import FakeClock
from tests.tables.line import Line, redis_line_to

OP = "spend_attempts"


@dataclass
class Asked:
    """A cache, and what it has been through."""

    cache: Cache
    clock: FakeClock
    registry: CollectorRegistry
    slowest: float = field(default=0.0)

    async def get(self, key: str = "x") -> bytes | str | None:
        """What stands under the key, or CacheAway."""
        started = time.monotonic()
        try:
            return await self.cache.call(OP, lambda: self.cache.client.get(key))
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)

    async def fail(self, times: int = FAILURES) -> None:
        for _ in range(times):
            with pytest.raises(CacheAway):
                await self.get()

    @property
    def errors(self) -> float | None:
        return self.registry.get_sample_value("authsvc_redis_errors_total", {"op": OP})

    @property
    def is_open(self) -> bool:
        return bool(self.registry.get_sample_value("authsvc_redis_breaker_open"))


@asynccontextmanager
async def cache_on(url: str) -> AsyncIterator[Asked]:
    clock, registry = FakeClock(), CollectorRegistry()
    cache = Cache(url, clock, Metrics(registry))
    try:
        yield Asked(cache, clock, registry)
    finally:
        await cache.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage: what is not about the timeout has a long one."""
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)


@pytest.fixture
def impatience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    async with redis_line_to(redis_url) as line:
        yield line


@pytest.fixture
async def asked(line: Line) -> AsyncIterator[Asked]:
    async with cache_on(line.url) as asked:
        yield asked


async def test_what_is_asked_is_answered_and_nothing_is_counted(asked: Asked) -> None:
    await asked.cache.call(OP, lambda: asked.cache.client.set("x", "1"))
    assert await asked.get() == b"1"
    assert asked.errors == 0


async def test_a_server_that_is_away_is_noticed_at_once_and_then_left_alone(asked: Asked, line: Line) -> None:
    await line.cut()
    await asked.fail()
    assert asked.is_open
    assert asked.errors == FAILURES
    await asked.fail(50)
    assert asked.errors == FAILURES, "it was not asked again"


@pytest.mark.usefixtures("impatience")
async def test_a_server_that_hangs_is_waited_for_no_longer_than_the_timeout(asked: Asked, line: Line) -> None:
    await asked.get()
    line.hold()
    await asked.fail()
    assert TIMEOUT_SECONDS * 0.9 <= asked.slowest < TIMEOUT_SECONDS * 5
    asked.slowest = 0
    await asked.fail(50)
    assert asked.slowest < TIMEOUT_SECONDS / 2, "and nobody after them waits at all"


@pytest.mark.usefixtures("impatience")
async def test_a_crowd_waits_together_for_a_server_that_hangs_and_not_one_after_the_other(
    asked: Asked, line: Line
) -> None:
    line.hold()
    answers = await asyncio.gather(*(asked.get() for _ in range(CONNECTIONS * 20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {CacheAway}
    assert asked.slowest < TIMEOUT_SECONDS * 5
    assert asked.errors is not None
    assert asked.errors < CONNECTIONS + FAILURES


@pytest.mark.usefixtures("impatience")
async def test_a_server_that_hangs_before_the_first_word_is_no_different(asked: Asked, line: Line) -> None:
    line.hold()
    await asked.fail()
    assert asked.slowest < TIMEOUT_SECONDS * 5


@pytest.mark.usefixtures("impatience")
async def test_an_answer_that_comes_too_late_is_nobody_elses(asked: Asked, line: Line) -> None:
    for key in ("a", "b"):
        await asked.cache.call(OP, lambda key=key: asked.cache.client.set(key, key))  # type: ignore[misc]
    line.hold()
    with pytest.raises(CacheAway):
        await asked.get("a")
    line.resume()
    assert [await asked.get("b") for _ in range(5)] == [b"b"] * 5


async def test_a_process_that_stood_still_does_not_take_that_for_an_outage(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next to revoke would put Redis out of use, for everybody."""
    async with cache_on(redis_url) as asked:
        await asyncio.gather(*(asked.get() for _ in range(CONNECTIONS)))
        monkeypatch.setattr(redis, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
        for _ in range(3):
            calls = [asyncio.create_task(asked.get()) for _ in range(CONNECTIONS)]
            for _ in range(5):
                await asyncio.sleep(0)
            time.sleep(TIMEOUT_SECONDS * 3)
            assert await asyncio.gather(*calls) == [None] * CONNECTIONS
        assert (asked.errors, asked.is_open) == (0, False)


async def test_with_its_turn_a_call_has_one_deadline_and_what_its_turn_took_is_no_fault_of_the_server(
    asked: Asked,
) -> None:
    over = asyncio.Event()
    crowd = [asyncio.create_task(asked.cache.call(OP, over.wait)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0)
    began = asyncio.Event()

    async def ask() -> None:
        began.set()
        await asyncio.Event().wait()

    asyncio.get_running_loop().call_later(0.1, over.set)
    with pytest.raises(CacheAway):
        await asked.cache.call(OP, ask, seconds=0.3, with_turn=True)
    assert began.is_set(), "it had its turn"
    assert asked.errors == 0, "and less than the time that the server is given"
    with pytest.raises(CacheAway):
        await asked.cache.call(OP, ask, seconds=0.1, with_turn=True)
    assert asked.errors == 1, "as nobody was before it this time"
    await asyncio.gather(*crowd)


async def test_when_it_is_back_one_call_finds_out_and_all_may_ask_again(asked: Asked, line: Line) -> None:
    await line.cut()
    await asked.fail()
    await line.restore()
    await asked.fail(1)
    asked.clock.advance(FIRST_PAUSE_SECONDS)
    assert await asked.get() is None
    assert not asked.is_open
    await asyncio.gather(*(asked.get() for _ in range(50)))


async def test_a_look_finds_it_back_before_a_call_has_to(asked: Asked, line: Line) -> None:
    """However long it was away: the pause between calls that try it grows, and a look comes every second."""
    await line.cut()
    await asked.fail()
    for _ in range(5):
        asked.clock.advance(LONGEST_PAUSE_SECONDS)
        await asked.fail(1)
        await asked.cache.look()
        assert asked.is_open
    errors = asked.errors
    await line.restore()
    await asked.fail(1)
    await asked.cache.look()
    assert not asked.is_open
    assert await asked.get() is None
    assert asked.errors == errors, "nobody waited for nothing"


@pytest.mark.usefixtures("impatience")
async def test_a_look_at_one_that_hangs_is_short_and_changes_nothing(asked: Asked, line: Line) -> None:
    line.hold()
    await asked.fail()
    started = time.monotonic()
    await asked.cache.look()
    assert time.monotonic() - started < TIMEOUT_SECONDS * 5
    assert asked.is_open


async def test_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(
    asked: Asked, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        await line.cut()
        await asyncio.gather(*(asked.fail(5) for _ in range(5)))
        asked.clock.advance(FIRST_PAUSE_SECONDS)
        await asked.fail(3)
        await line.restore()
        asked.clock.advance(FIRST_PAUSE_SECONDS * 2)
        await asked.get()
    told = [record.levelno for record in caplog.records if record.name == "authsvc.caches.redis"]
    assert told == [logging.WARNING, logging.INFO] * 2


async def test_an_error_for_an_answer_is_no_answer(asked: Asked) -> None:
    await asked.cache.call(OP, lambda: asked.cache.client.set("x", "1"))
    with pytest.raises(CacheAway):
        await asked.cache.call(OP, lambda: asked.cache.client.incr("x", "no number"))  # type: ignore[arg-type]
    assert asked.errors == 1


async def test_a_crowd_shares_a_bounded_number_of_connections(asked: Asked, line: Line) -> None:
    answers = await asyncio.gather(*(asked.get() for _ in range(CONNECTIONS * 50)), return_exceptions=True)
    assert set(answers) == {None}
    assert 1 < line.opened <= CONNECTIONS


async def test_who_is_no_longer_waited_for_leaves_the_connection_to_others(asked: Asked, line: Line) -> None:
    line.hold()
    tasks = [asyncio.create_task(asked.get()) for _ in range(CONNECTIONS)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    line.resume()
    assert await asked.get() is None
    assert asked.errors == 0, "that says nothing of Redis"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame@127.0.0.1:70000",
        "redis://:sesame@127.0.0.1:x",
        "redis://:sesame@127.0.0.1?nonsense=1",
        "rediss://:sesame@127.0.0.1?ssl_ca_certs=/nowhere",
        "rediss://:sesame@127.0.0.1?ssl_ca_certs=/dev/null",
        "redis+sentinel://:sesame@127.0.0.1",
        "redis+sentinel://:sesame@127.0.0.1/",
        "redis+sentinel://:sesame@/service",
        "redis+sentinel://:sesame@127.0.0.1,/service",
        "redis+sentinel://:sesame@127.0.0.1:x/service",
        "redis+sentinel://:sesame@127.0.0.1/service/x",
        "redis+sentinel://:sesame@127.0.0.1/service/0?nonsense=1",
        "redis+sentinel://:sesame@127.0.0.1/service/0?sentinel_nonsense=1",
        "rediss+sentinel://:sesame@127.0.0.1/service/0?ssl_ca_certs=/nowhere",
        "unix+sentinel://:sesame@127.0.0.1/service",
        "sesame+sentinel://127.0.0.1/service",
    ],
)
def test_a_url_that_no_connection_can_be_made_of_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="AUTHSVC_REDIS_URL") as caught:
        Cache(url, FakeClock(), Metrics(CollectorRegistry()))
    assert "sesame" not in str(caught.value)

"""The Redis fast path of one node, without the flows above it: its lease, what it publishes, how it fills Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from authsvc.caches.redis import Cache
from authsvc.caches.revocations import RevocationCache
from authsvc.entropy import SystemEntropy
from authsvc.flows.coalescer import Coalescer
from authsvc.flows.lease import Lease
from authsvc.flows.mark_reader import MarkReader
from authsvc.flows.publication import Publication
from authsvc.flows.warm_up import WarmUp
from authsvc.metrics import Metrics
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode, revocations
from authsvc.tables.db import Database
from tests.house_of import FakeClock
from tests.tables.rows import database_on

G, W, R = CacheState.POSTGRESQL, CacheState.WARMING, CacheState.TRUSTED


class WatchedClock(FakeClock):
    """A clock that knows how often it was looked at."""

    looks = 0

    def boottime(self) -> float:
        self.looks += 1
        return self.elapsed

    async def was_looked_at(self, times: int = 3) -> None:
        goal = self.looks + times
        async with asyncio.timeout(20):
            while self.looks < goal:
                await asyncio.sleep(0.001)


class RunningClock(FakeClock):
    """A clock that goes on by itself from where it was put."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def _passed(self) -> float:
        return time.monotonic() - self._began

    def now(self) -> datetime:
        return self.at + timedelta(seconds=self._passed())

    def unix(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return self.elapsed + self._passed()

    def boottime(self) -> float:
        return self.monotonic()


@dataclass
class Node:
    db: Database
    clock: FakeClock
    metrics: Metrics
    registry: CollectorRegistry
    cache: RevocationCache | None
    lease: Lease

    def __post_init__(self) -> None:
        self.use(self.cache)

    def use(self, cache: RevocationCache | None) -> None:
        """From now on this one: for tests of what a Redis may do at the worst moment."""
        self.cache = cache
        self.publication = Publication(self.db, cache, self.lease, self.clock, self.metrics)
        self.reader = MarkReader(
            lambda marks: revocations.find_generations(self.db, marks), cache, self.lease, self.metrics
        )
        self.marks = Coalescer(
            self.reader.find, shortcut=self.reader, in_flight=2, timeout=30, observe=lambda size: None
        )
        if cache is not None:
            self.warm_up = WarmUp(
                self.db, cache, self.publication, self.lease, self.clock, SystemEntropy(), self.metrics
            )

    async def mode(self) -> CacheMode:
        return await cache_mode.get_mode(self.db)

    async def fill(self) -> CacheMode:
        """Redis is filled and trusted, and this node holds a lease."""
        await self.warm_up.run()
        await self.lease.renew()
        mode = await self.mode()
        assert mode.state is R
        return mode

    async def commit(self, mark: str, number: int = 1) -> Mapping[str, int]:
        """Set a mark, and tell nobody yet."""
        now = self.clock.now()
        await self.db.execute(
            "INSERT INTO auth.token_blacklist VALUES ($1, $2, $3, $3) ON CONFLICT (mark) DO UPDATE SET generation = $2",
            mark,
            number,
            now,
        )
        return {mark: number}

    def counted(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"authsvc_{name}", labels)
        assert value is not None
        return value

    def answered_by(self, path: str) -> float:
        return self.counted("mark_questions_total", path=path)

    @property
    def fences(self) -> float:
        return self.counted("cache_fences_total")


@asynccontextmanager
async def node_on(database_url: str, redis_url: str | None, clock: FakeClock, *, size: int = 6) -> AsyncIterator[Node]:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    async with database_on(database_url, size=size) as db:
        cache = None if redis_url is None else Cache(redis_url, clock, metrics)
        try:
            marks = None if cache is None else RevocationCache(cache)
            yield Node(db, clock, metrics, registry, marks, Lease(db, clock, metrics, has_redis=cache is not None))
        finally:
            if cache is not None:
                await cache.close()


@asynccontextmanager
async def nodes_on(database_url: str, redis_url: str, many: int, clock: FakeClock) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(node_on(database_url, redis_url, clock)) for _ in range(many)]


def ask(redis_url: str, *command: Any) -> Any:
    with redis.Redis.from_url(redis_url) as server:
        return server.execute_command(*command)


async def set_many(node: Node, many: int) -> dict[str, int]:
    """Marks that are only in PostgreSQL, and were set long ago."""
    for first in range(1, many + 1, 20_000):  # what a statement may take is limited
        await node.db.execute(
            "INSERT INTO auth.token_blacklist "
            "SELECT 'u:' || n, n, to_timestamp(0), now() FROM generate_series($1::int, $2::int) n",
            first,
            min(first + 19_999, many),
        )
    return {f"u:{number}": number for number in range(1, many + 1)}


async def held(node: Node) -> dict[str, int] | None:
    """All that PostgreSQL has, as Redis tells it."""
    assert node.cache is not None
    marks = [row["mark"] for row in await node.db.fetch("SELECT mark FROM auth.token_blacklist")]
    mode = await node.mode()
    found = await node.cache.get(mode.deployment, mode.nonce, marks)
    return None if found is None else dict(found)

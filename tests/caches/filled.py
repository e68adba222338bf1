"""A Redis that was filled as a warm-up does it, for tests that look at what becomes of it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from authsvc.caches import redis, revocations
from authsvc.caches.redis import Cache
from authsvc.caches.revocations import PREFIX, RevocationCache
from authsvc.metrics import Metrics
from tests.house_of import FakeClock

US, NONCE = "deployment", "nonce"
KEY = f"{PREFIX}{US}:{NONCE}"
MARKS = {"j:1": 1, "u:1": 1_700_000_000}


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage: what is not about time has as much of it as it wants."""
    monkeypatch.setattr(redis, "TIMEOUT_SECONDS", 30)
    monkeypatch.setattr(revocations, "READ_SECONDS", 30)
    monkeypatch.setattr(revocations, "LOAD_SECONDS", 30)


@asynccontextmanager
async def cache_on(url: str, kind: type[RevocationCache] = RevocationCache) -> AsyncIterator[RevocationCache]:
    cache = Cache(url, FakeClock(), Metrics(CollectorRegistry()))
    try:
        yield kind(cache)
    finally:
        await cache.close()


def packed(marks: Iterable[tuple[str, int]] = MARKS.items()) -> str:
    """As PostgreSQL puts a page together."""
    return "".join(f"{mark}\n{number}\n" for mark, number in marks)


async def fill(
    cache: RevocationCache, marks: Iterable[tuple[str, int]] = MARKS.items(), *, us: str = US, nonce: str = NONCE
) -> None:
    assert await cache.own(us, nonce)
    assert await cache.load(us, nonce, packed(marks))
    assert await cache.done(us, nonce)


async def refuses(cache: RevocationCache, *, us: str = US, nonce: str = NONCE) -> bool:
    """Whether it neither tells a mark nor takes one, whatever it holds."""
    asked = await cache.get(us, nonce, ["j:1"])
    put = await cache.put(us, nonce, {"j:9": 1})
    assert (asked is None) == (not put), "it does the one and refuses the other"
    return asked is None

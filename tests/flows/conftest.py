"""A whole service for each test, on a database that is empty."""

from collections.abc import AsyncIterator

import pytest

from authsvc import wiring
from authsvc.adapters.hasher import Hasher
from tests.caches.filled import be_patient
from tests.flows.nodes import Node, nodes_on
from tests.flows.workers import Worker, cheap, worker_on, workers_on
from tests.house_of import FakeClock, House, house_on, settings_for
from tests.tables.emptied import SharedDatabase


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> str:
    return shared_database.emptied()


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(database_url)) as house:
        yield house


@pytest.fixture
async def workers(
    request: pytest.FixtureRequest, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Worker]]:
    """Two workers of one deployment; `with_and_without_redis` has the test run with Redis, too."""
    if getattr(request, "param", "postgresql") == "postgresql":
        async with workers_on(cheap(database_url)) as workers:
            yield workers
        return
    be_patient(monkeypatch)
    monkeypatch.setattr(wiring, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(wiring, "WARM_UP_SECONDS", 0.05)
    async with workers_on(cheap(database_url, redis_url=request.getfixturevalue("redis_url"))) as workers:
        for worker in workers:
            await worker.until_redis_answers()
        before = [worker.answered_by("postgresql") for worker in workers]
        yield workers
        assert all(worker.answered_by("redis") > 1 for worker in workers), "Redis has answered"
        assert [worker.answered_by("postgresql") for worker in workers] == before, "and nobody else"


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    """A worker that is alone."""
    async with worker_on(cheap(database_url)) as worker:
        yield worker


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stored hashes that passwords were held against."""
    seen: list[str] = []
    matches = Hasher._matches

    def watched(self: Hasher, stored: str, password: bytes) -> bool:
        seen.append(stored)
        return matches(self, stored, password)

    monkeypatch.setattr(Hasher, "_matches", watched)
    return seen


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def nodes(
    database_url: str, redis_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[Node]]:
    """Three nodes of the Redis fast path under one clock."""
    be_patient(monkeypatch)
    async with nodes_on(database_url, redis_url, 3, clock) as nodes:
        yield nodes


@pytest.fixture
def node(nodes: list[Node]) -> Node:
    return nodes[0]


@pytest.fixture
def no_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads the signing keys when it starts and when it is told to, but not every second."""
    monkeypatch.setattr(wiring, "KEY_REFRESH_SECONDS", 3600)

"""What every test may ask for. PostgreSQL and Valkey are real, shared by the run; what is in them is the test's own.

A coroutine is a test like any other: it needs no mark.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import pytest
import redis

from authsvc.embedded import Stores
from authsvc.migrate import migrate
from tests import overheard
from tests.stores import fresh_database, running_stores, write_to_memory
from tests.tables.emptied import SharedDatabase, shared_database_of


def pytest_configure(config: pytest.Config) -> None:
    write_to_memory()
    config.option.anyio_mode = "auto"
    overheard.listen()
    # No example is wrong because the machine was busy.
    hypothesis.settings.register_profile("authsvc", deadline=None)
    hypothesis.settings.load_profile("authsvc")


_FIRST = (
    *("tests/test_guard.py", "tests/journeys/test_serve.py", "tests/faults/"),
    *("tests/test_supervisor.py", "tests/journeys/test_key_drills.py", "tests/deploy/test_prometheus.py"),
    *("tests/test_embedded.py", "tests/benchmarks/", "tests/journeys/test_dev.py"),
    *("tests/journeys/test_audit.py", "tests/soak/", "tests/deploy/", "tests/journeys/", "tests/test_tls.py"),
    *("tests/oidf/", "tests/flows/"),
)
"""What takes longest, so that of the processes that share the run none works long at the end alone. The first of each
line mostly waits, and leaves the processors to the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return next((at for at, path in enumerate(_FIRST) if item.nodeid.startswith(path)), len(_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The loop that the service runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def stores() -> Iterator[Stores]:
    """The servers of this run. A test that stops, kills or fills them starts its own."""
    with running_stores(durable=False) as stores, overheard.listening_to(stores):
        yield stores


@pytest.fixture(scope="session")
def migrated_template(stores: Stores) -> Iterator[str]:
    """The name of a database with the whole schema and nothing in it. No session may be open on it."""
    with fresh_database(stores) as url:
        asyncio.run(migrate(url))
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="session")
def shared_database(stores: Stores, migrated_template: str) -> Iterator[SharedDatabase]:
    """For tests that take one after the other the same database, emptied."""
    with shared_database_of(stores, migrated_template) as shared:
        yield shared


@pytest.fixture
def database_url(stores: Stores, migrated_template: str) -> Iterator[str]:
    """A database with the schema, of this test alone."""
    with fresh_database(stores, migrated_template) as url:
        yield url


@pytest.fixture
def empty_database_url(stores: Stores) -> Iterator[str]:
    """A database without the schema, of this test alone."""
    with fresh_database(stores) as url:
        yield url


@pytest.fixture
def redis_url(stores: Stores) -> str:
    """A Valkey with no key and no function in it."""
    with redis.Redis.from_url(stores.redis_url) as server:
        server.flushall()
        server.function_flush()
    return stores.redis_url

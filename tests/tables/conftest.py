"""An empty database, and a pool on it, for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest

from authsvc.embedded import Stores
from authsvc.tables.db import Database
from tests.stores import fresh_database
from tests.tables.emptied import emptied
from tests.tables.rows import database_on


@pytest.fixture(scope="package")
def shared_database_url(stores: Stores, migrated_template: str) -> Iterator[str]:
    with fresh_database(stores, migrated_template) as url:
        yield url


@pytest.fixture
def database_url(shared_database_url: str) -> str:
    return emptied(shared_database_url)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with database_on(database_url) as db:
        yield db

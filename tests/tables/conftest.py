"""An empty database, and a pool on it, for each test."""

from collections.abc import AsyncIterator

import pytest

from authsvc.tables.db import Database
from tests.tables.emptied import SharedDatabase
from tests.tables.rows import database_on


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> str:
    return shared_database.emptied()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with database_on(database_url) as db:
        yield db

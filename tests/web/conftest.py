"""A whole service for each test, or one for all tests of a file."""

from collections.abc import AsyncIterator, Iterator

import pytest

from authsvc.embedded import Stores
from tests.house_of import CHEAP_HASHES, House, house_on, settings_for
from tests.stores import fresh_database
from tests.tables.emptied import SharedDatabase


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> str:
    return shared_database.emptied()


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(database_url, **CHEAP_HASHES)) as house:
        yield house


@pytest.fixture(scope="module")
def shared_database_url(stores: Stores, migrated_template: str) -> Iterator[str]:
    with fresh_database(stores, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
async def shared(shared_database_url: str) -> AsyncIterator[House]:
    """One service for all tests of a file that leave alone what the others rely on: clock, keys, `everything`."""
    async with house_on(settings_for(shared_database_url, **CHEAP_HASHES)) as house:
        yield house

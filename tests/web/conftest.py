"""A whole service for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.house_of import House, house_on, settings_for


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(database_url)) as house:
        yield house

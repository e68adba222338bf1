"""`auth.used_assertions`, on a real PostgreSQL: one statement, one winner."""

import asyncio
from datetime import timedelta

from authsvc.tables import used_assertions
from authsvc.tables.db import Database
from tests.tables.rows import NOW, database_on, until_somebody_waits

SECOND = timedelta(seconds=1)


async def use(db: Database, digest: bytes = b"one") -> bool:
    return await used_assertions.use_assertion(db, digest, NOW)


async def test_an_assertion_is_used_once(db: Database) -> None:
    assert await use(db)
    assert not await use(db)
    assert await use(db, b"two")


async def test_of_many_at_once_one_wins(database_url: str) -> None:
    async with database_on(database_url) as here, database_on(database_url) as there:
        for number in range(20):
            digest = number.to_bytes(32, "big")
            won = await asyncio.gather(*(use(db, digest) for db in (here, there) * 4))
            assert sum(won) == 1


async def test_who_comes_second_waits_for_who_came_first_and_follows_if_they_failed(database_url: str) -> None:
    async with database_on(database_url) as db:
        for goes_through in (True, False):
            digest = b"%d" % goes_through
            try:
                async with db.transaction() as tx:
                    assert await used_assertions.use_assertion(tx, digest, NOW)
                    second = asyncio.create_task(use(db, digest))
                    await until_somebody_waits(db)
                    if not goes_through:
                        raise KeyError
            except KeyError:
                pass
            assert await second is not goes_through


async def test_what_is_over_is_forgotten_a_few_at_a_time(db: Database) -> None:
    for number in range(5):
        await used_assertions.use_assertion(db, b"%d" % number, NOW + number * SECOND)
    assert await used_assertions.purge_assertions(db, NOW + 3 * SECOND, 2) == 2
    assert await used_assertions.purge_assertions(db, NOW + 3 * SECOND, 2) == 1
    assert not await use(db, b"3")
    assert await use(db, b"0")

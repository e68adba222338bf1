"""`auth.sealed_secrets`, on a real PostgreSQL."""

import asyncio

from authsvc.tables import sealed_secrets
from authsvc.tables.db import Database
from tests.tables.rows import NOW, database_on


async def test_a_secret_comes_back_as_it_went_in(db: Database) -> None:
    sealed = bytes(range(256))
    assert await sealed_secrets.find_secret(db, "a") is None
    await sealed_secrets.insert_secret(db, "a", sealed, "key", NOW)
    assert await sealed_secrets.find_secret(db, "a") == sealed
    assert await sealed_secrets.find_secret(db, "b") is None


async def test_of_ten_who_insert_a_secret_at_once_the_first_stays(database_url: str) -> None:
    async with database_on(database_url, size=10) as db:
        await asyncio.gather(*(sealed_secrets.insert_secret(db, "a", b"%d" % n, "key", NOW) for n in range(10)))
        kept = await sealed_secrets.find_secret(db, "a")
        assert kept in {b"%d" % n for n in range(10)}
        await sealed_secrets.insert_secret(db, "a", b"late", "key", NOW)
        assert await sealed_secrets.find_secret(db, "a") == kept
        assert await db.fetchval("SELECT count(*) FROM auth.sealed_secrets") == 1

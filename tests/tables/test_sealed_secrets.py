"""`auth.sealed_secrets`, on a real PostgreSQL."""

import asyncio
from dataclasses import replace

from authsvc.models import SealedRow
from authsvc.tables import sealed_secrets
from authsvc.tables.db import Database
from tests.tables.rows import NOW, database_on, until_somebody_waits

A = SealedRow("a", bytes(range(256)), "key")


async def test_a_secret_comes_back_as_it_went_in(db: Database) -> None:
    assert await sealed_secrets.find_secret(db, "a") is None
    await sealed_secrets.insert_secret(db, A, NOW)
    assert await sealed_secrets.find_secret(db, "a") == A
    assert await sealed_secrets.find_secret(db, "b") is None


async def test_of_ten_who_insert_a_secret_at_once_the_first_stays(database_url: str) -> None:
    rows = [replace(A, sealed=b"%d" % n) for n in range(10)]
    async with database_on(database_url, size=10) as db:
        await asyncio.gather(*(sealed_secrets.insert_secret(db, row, NOW) for row in rows))
        kept = await sealed_secrets.find_secret(db, "a")
        assert kept in rows
        await sealed_secrets.insert_secret(db, replace(A, sealed=b"late"), NOW)
        assert await sealed_secrets.find_secret(db, "a") == kept
        assert await db.fetchval("SELECT count(*) FROM auth.sealed_secrets") == 1


async def test_a_secret_is_sealed_anew_and_no_other(db: Database) -> None:
    other, anew = replace(A, name="b"), SealedRow("a", b"anew", "another key")
    for row in (A, other):
        await sealed_secrets.insert_secret(db, row, NOW)
    await sealed_secrets.update_secret(db, anew)
    assert await sealed_secrets.find_secret(db, "a") == anew
    assert await sealed_secrets.find_secret(db, "b") == other


async def test_who_locks_the_secrets_holds_up_writers_and_no_reader(db: Database) -> None:
    await sealed_secrets.insert_secret(db, A, NOW)
    anew = replace(A, sealed=b"anew")
    async with db.transaction() as tx:
        assert await sealed_secrets.lock_secrets(tx) == [A]
        writer = asyncio.create_task(sealed_secrets.update_secret(db, anew))
        await until_somebody_waits(db)
        assert await sealed_secrets.find_secret(db, "a") == A
    await writer
    assert await sealed_secrets.find_secret(db, "a") == anew

"""`auth.jobs`, on a real PostgreSQL: one at a time, and when each last succeeded."""

import asyncio

import asyncpg

from authsvc.tables import jobs
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, database_on


async def test_of_ten_who_try_at_once_one_gets_the_lock_and_nobody_waits(database_url: str) -> None:
    async with database_on(database_url, size=10) as db:
        everybody_has_tried = asyncio.Barrier(10)

        async def has_got_it() -> bool:
            async with db.transaction() as tx:
                got = await jobs.try_lock_job(tx, "a")
                await everybody_has_tried.wait()
                return got

        async with asyncio.timeout(30):
            tries = await asyncio.gather(*(has_got_it() for _ in range(10)))
        assert tries.count(True) == 1
        async with db.transaction() as tx:
            assert await jobs.try_lock_job(tx, "a"), "it ends with the transaction"


async def test_each_job_has_a_lock_of_its_own(db: Database) -> None:
    async with db.transaction() as tx, db.transaction() as other:
        assert await jobs.try_lock_job(tx, "a")
        assert await jobs.try_lock_job(other, "b")
        assert not await jobs.try_lock_job(other, "a")


async def test_who_loses_the_connection_loses_the_lock(database_url: str, db: Database) -> None:
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN")
    assert await holder.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('auth.jobs'), hashtext('a'))")
    async with db.transaction() as tx:
        assert not await jobs.try_lock_job(tx, "a")
    holder.terminate()
    async with asyncio.timeout(30):
        while True:
            async with db.transaction() as tx:
                if await jobs.try_lock_job(tx, "a"):
                    break


async def test_the_last_success_of_each_job_is_kept(db: Database) -> None:
    assert await jobs.find_success(db, "a") is None
    await jobs.upsert_success(db, "a", NOW)
    await jobs.upsert_success(db, "b", NOW)
    await jobs.upsert_success(db, "a", LATER)
    assert await jobs.find_success(db, "a") == LATER
    assert await jobs.find_success(db, "b") == NOW

"""`auth.jobs`: when each of the jobs that one worker does for all last succeeded."""

from datetime import datetime

from authsvc.tables.db import Queries


async def try_lock_job(db: Queries, name: str) -> bool:
    """Until the transaction ends nobody else gets this lock. False when somebody has it: nobody waits. Who loses his
    connection loses the lock, too."""
    return bool(await db.fetchval("SELECT pg_try_advisory_xact_lock(hashtext('auth.jobs'), hashtext($1::text))", name))


async def find_success(db: Queries, name: str) -> datetime | None:
    found: datetime | None = await db.fetchval("SELECT succeeded_at FROM auth.jobs WHERE name = $1", name)
    return found


async def upsert_success(db: Queries, name: str, now: datetime) -> None:
    await db.execute(
        "INSERT INTO auth.jobs (name, succeeded_at) VALUES ($1, $2) "
        "ON CONFLICT (name) DO UPDATE SET succeeded_at = excluded.succeeded_at",
        name,
        now,
    )

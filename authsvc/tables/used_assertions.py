"""`auth.used_assertions`: which assertions of clients have been here."""

from datetime import datetime

from authsvc.tables.db import Queries, deleted


async def use_assertion(db: Queries, digest: bytes, expires_at: datetime) -> bool:
    """Remember it until it is over anyway. One statement, one winner: False for who comes second."""
    row = await db.fetchrow(
        "INSERT INTO auth.used_assertions (digest, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING digest",
        digest,
        expires_at,
    )
    return row is not None


async def purge_assertions(db: Queries, before: datetime, limit: int) -> int:
    """Forget those that were over before that. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT digest FROM auth.used_assertions "
            "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) "
            "DELETE FROM auth.used_assertions WHERE digest IN (SELECT digest FROM gone)",
            before,
            limit,
        )
    )

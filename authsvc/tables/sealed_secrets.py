"""`auth.sealed_secrets`: what only the holder of the master key can read."""

from datetime import datetime

from authsvc.tables.db import Queries


async def find_secret(db: Queries, name: str) -> bytes | None:
    """As it is kept: sealed."""
    sealed: bytes | None = await db.fetchval("SELECT sealed FROM auth.sealed_secrets WHERE name = $1", name)
    return sealed


async def insert_secret(db: Queries, name: str, sealed: bytes, master_key_id: str, now: datetime) -> None:
    """Of several at once the first stays."""
    await db.execute(
        "INSERT INTO auth.sealed_secrets (name, sealed, master_key_id, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (name) DO NOTHING",
        name,
        sealed,
        master_key_id,
        now,
    )

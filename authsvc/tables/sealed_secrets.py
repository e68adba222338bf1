"""`auth.sealed_secrets`: what only the holder of the master key can read."""

from datetime import datetime

from authsvc.models import SealedRow
from authsvc.tables.db import Queries, Row

_COLUMNS = "name, sealed, master_key_id"


async def find_secret(db: Queries, name: str) -> SealedRow | None:
    """As it is kept: sealed."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.sealed_secrets WHERE name = $1", name)
    return None if row is None else _secret(row)


async def lock_secrets(db: Queries) -> list[SealedRow]:
    """All of them. Until the transaction ends nobody else changes one of these."""
    return [_secret(row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM auth.sealed_secrets FOR UPDATE")]


async def insert_secret(db: Queries, secret: SealedRow, now: datetime) -> None:
    """Of several at once the first stays."""
    await db.execute(
        f"INSERT INTO auth.sealed_secrets ({_COLUMNS}, created_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (name) DO NOTHING",
        secret.name,
        secret.sealed,
        secret.master_key_id,
        now,
    )


async def update_secret(db: Queries, secret: SealedRow) -> None:
    """The same, sealed anew."""
    await db.execute(
        "UPDATE auth.sealed_secrets SET sealed = $2, master_key_id = $3 WHERE name = $1",
        secret.name,
        secret.sealed,
        secret.master_key_id,
    )


def _secret(row: Row) -> SealedRow:
    return SealedRow(name=row["name"], sealed=row["sealed"], master_key_id=row["master_key_id"])

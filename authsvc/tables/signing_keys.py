"""`auth.signing_keys`."""

from datetime import datetime

from authsvc.models import SigningKey
from authsvc.tables.db import Queries, Row

_COLUMNS = "kid, algorithm, public_jwk, sealed_private, master_key_id, created_at, signs_from, verifies_until"


async def lock_keys(db: Queries) -> None:
    """Until the transaction ends nobody else changes the key set; readers are not held up."""
    await db.execute("LOCK TABLE auth.signing_keys IN SHARE ROW EXCLUSIVE MODE")


async def list_keys(db: Queries) -> list[SigningKey]:
    return [_key(row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM auth.signing_keys ORDER BY created_at, kid")]


async def insert_key(db: Queries, key: SigningKey) -> None:
    await db.execute(
        f"INSERT INTO auth.signing_keys ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        key.kid,
        key.algorithm,
        key.public_jwk,
        key.sealed_private,
        key.master_key_id,
        key.created_at,
        key.signs_from,
        key.verifies_until,
    )


async def update_signs_from(db: Queries, kid: str, signs_from: datetime) -> None:
    await db.execute("UPDATE auth.signing_keys SET signs_from = $2 WHERE kid = $1", kid, signs_from)


async def update_verifies_until(db: Queries, kid: str, verifies_until: datetime) -> None:
    await db.execute("UPDATE auth.signing_keys SET verifies_until = $2 WHERE kid = $1", kid, verifies_until)


async def delete_key(db: Queries, kid: str) -> bool:
    """False when there is no such key."""
    return await db.fetchrow("DELETE FROM auth.signing_keys WHERE kid = $1 RETURNING kid", kid) is not None


def _key(row: Row) -> SigningKey:
    return SigningKey(**dict(row))

"""`auth.signing_keys`."""

from datetime import datetime

from authsvc.models import SigningKey
from authsvc.tables.db import Queries, Row, deleted

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


async def update_times(db: Queries, kid: str, *, signs_from: datetime | None, verifies_until: datetime | None) -> None:
    await db.execute(
        "UPDATE auth.signing_keys SET signs_from = $2, verifies_until = $3 WHERE kid = $1",
        kid,
        signs_from,
        verifies_until,
    )


async def update_sealed(db: Queries, kid: str, *, sealed_private: bytes, master_key_id: str) -> None:
    await db.execute(
        "UPDATE auth.signing_keys SET sealed_private = $2, master_key_id = $3 WHERE kid = $1",
        kid,
        sealed_private,
        master_key_id,
    )


async def delete_key(db: Queries, kid: str) -> bool:
    """False when there is no such key."""
    return await db.fetchrow("DELETE FROM auth.signing_keys WHERE kid = $1 RETURNING kid", kid) is not None


async def purge_keys(db: Queries, before: datetime, limit: int) -> int:
    """Delete keys whose time was over before that. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT kid FROM auth.signing_keys WHERE verifies_until < $1 "
            "LIMIT $2 FOR UPDATE SKIP LOCKED) DELETE FROM auth.signing_keys WHERE kid IN (SELECT kid FROM gone)",
            before,
            limit,
        )
    )


def _key(row: Row) -> SigningKey:
    return SigningKey(**dict(row))

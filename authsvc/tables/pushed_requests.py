"""`auth.pushed_requests`."""

from datetime import datetime

from authsvc.tables.db import Queries, deleted


async def insert_request(
    db: Queries,
    *,
    digest: bytes,
    client_id: str,
    parameters: dict[str, list[str]],
    is_signed: bool,
    now: datetime,
    expires_at: datetime,
) -> None:
    await db.execute(
        "INSERT INTO auth.pushed_requests (digest, client_id, parameters, is_signed, created_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6)",
        digest,
        client_id,
        parameters,
        is_signed,
        now,
        expires_at,
    )


async def find_request(
    db: Queries, digest: bytes, *, client_id: str, now: datetime
) -> tuple[dict[str, list[str]], bool] | None:
    """The parameters, and whether they were signed. None when there is none of this client's that is still good."""
    row = await db.fetchrow(
        "SELECT parameters, is_signed FROM auth.pushed_requests "
        "WHERE digest = $1 AND client_id = $2 AND expires_at > $3 AND consumed_at IS NULL",
        digest,
        client_id,
        now,
    )
    return None if row is None else (row["parameters"], row["is_signed"])


async def consume_request(db: Queries, digest: bytes, *, client_id: str, now: datetime) -> bool:
    """It gets its one answer. One statement, one winner: False for who comes second. Its user may have taken their
    time, so it may have expired since it was found."""
    row = await db.fetchrow(
        "UPDATE auth.pushed_requests SET consumed_at = $3 "
        "WHERE digest = $1 AND client_id = $2 AND consumed_at IS NULL RETURNING digest",
        digest,
        client_id,
        now,
    )
    return row is not None


async def purge_requests(db: Queries, before: datetime, limit: int) -> int:
    """Delete those that expired before that, answered or not. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT digest FROM auth.pushed_requests "
            "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) "
            "DELETE FROM auth.pushed_requests WHERE digest IN (SELECT digest FROM gone)",
            before,
            limit,
        )
    )

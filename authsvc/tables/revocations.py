"""`auth.token_blacklist`: the marks."""

from collections.abc import Collection
from datetime import datetime

from authsvc.tables.db import Queries


async def find_generations(db: Queries, marks: Collection[str]) -> dict[str, int]:
    """The marks among these that are present, with their numbers. One index probe for each."""
    rows = await db.fetch("SELECT mark, generation FROM auth.token_blacklist WHERE mark = ANY($1)", list(marks))
    return {row["mark"]: row["generation"] for row in rows}


async def insert_mark(db: Queries, mark: str, *, now: datetime, expires_at: datetime) -> None:
    """As `insert_marks`, of one."""
    await insert_marks(db, (mark,), now=now, expires_at=expires_at)


async def insert_marks(db: Queries, marks: Collection[str], *, now: datetime, expires_at: datetime) -> None:
    """Make marks present. Idempotent; a mark never comes to expire sooner."""
    await db.execute(
        "INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at) "
        "SELECT mark, 1, $2, $3 FROM unnest($1::text[]) AS mark "
        "ON CONFLICT (mark) DO UPDATE SET created_at = excluded.created_at, "
        "expires_at = greatest(token_blacklist.expires_at, excluded.expires_at)",
        sorted(marks),
        now,
        expires_at,
    )


async def raise_generation(db: Queries, mark: str, *, now: datetime, expires_at: datetime) -> int:
    """Raise the number of a mark: everything minted under a smaller one is dead.

    At least the unix second, so that a restored backup cannot fall behind the tokens that are out.
    """
    return int(
        await db.fetchval(
            "INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at) "
            "VALUES ($1, extract(epoch FROM $2::timestamptz)::bigint, $2, $3) "
            "ON CONFLICT (mark) DO UPDATE SET "
            "generation = greatest(token_blacklist.generation + 1, excluded.generation), "
            "created_at = excluded.created_at, "
            "expires_at = greatest(token_blacklist.expires_at, excluded.expires_at) "
            "RETURNING generation",
            mark,
            now,
            expires_at,
        )
    )


async def read_marks(db: Queries, *, after: str, limit: int) -> tuple[str, str] | None:
    """A page of all marks, in their order, as one text: each mark and its number on lines of their own. With the last
    mark of the page. None when there are no more. A million rows would take Python longer than PostgreSQL."""
    row = await db.fetchrow(
        "SELECT string_agg(mark || E'\\n' || generation || E'\\n', '') AS text, max(mark) AS last FROM "
        "(SELECT mark, generation FROM auth.token_blacklist WHERE mark > $1 ORDER BY mark LIMIT $2) AS page",
        after,
        limit,
    )
    return None if row["last"] is None else (row["text"], row["last"])


async def list_recent_marks(db: Queries, since: datetime) -> list[tuple[str, int]]:
    """What was set or raised since then."""
    rows = await db.fetch("SELECT mark, generation FROM auth.token_blacklist WHERE created_at > $1", since)
    return [(row["mark"], row["generation"]) for row in rows]


async def purge_marks(db: Queries, before: datetime, limit: int) -> dict[str, int]:
    """Delete marks that expired before that. Which ones, with their numbers.

    A mark that is being set at this moment is passed by; who sets one that is being deleted makes it anew.
    """
    rows = await db.fetch(
        "WITH gone AS MATERIALIZED (SELECT mark FROM auth.token_blacklist "
        "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) "
        "DELETE FROM auth.token_blacklist WHERE mark IN (SELECT mark FROM gone) RETURNING mark, generation",
        before,
        limit,
    )
    return {row["mark"]: row["generation"] for row in rows}

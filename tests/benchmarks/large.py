"""Stores with much in them, filled in minutes: users, their sessions and grants, and the marks of a busy year."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import asyncpg


@dataclass(frozen=True, slots=True)
class Size:
    users: int = 1_000_000
    """Each has a session with a grant."""
    marks: int = 10_000_000
    live_marks: int = 1_000_000
    """Whose time is not over. The others are not over for so long that they would be purged meanwhile."""


LARGE = Size()
# The marks go in in their order, which is how their index is filled fastest; and were set long enough ago not to be
# sent to Redis again and again.
_STEPS = {
    "users": """
        INSERT INTO auth.users (sub, email, email_canonical, email_verified, claims, created_at)
        SELECT 'large-' || n, n || '@large.example', n || '@large.example', true, '{}', now()
          FROM generate_series(1, $1::int) n""",
    "sessions": """
        INSERT INTO auth.sessions (sid, sub, client_id, gen_user, gen_client, gen_everything, methods, authenticated_at,
                                   expires_at)
        SELECT 'large-' || n, 'large-' || n, 'first-party', 0, 0, 0, '{pwd}', now(), now() + interval '14 days'
          FROM generate_series(1, $1::int) n""",
    "grants": """
        INSERT INTO auth.grants (grant_id, sub, client_id, sid, scope, audience, gen_user, gen_client, gen_everything,
                                 methods, authenticated_at, place, idle_until, expires_at)
        SELECT 'large-' || n, 'large-' || n, 'first-party', 'large-' || n, '{profile,email}', '{https://id.example}',
               0, 0, 0, '{pwd}', now(), 0, now() + interval '14 days', now() + interval '14 days'
          FROM generate_series(1, $1::int) n""",
    "marks": """
        INSERT INTO auth.token_blacklist (mark, generation, created_at, expires_at)
        SELECT mark, 1, now() - interval '2 hours', now() + interval '1 hour' * (CASE WHEN is_live THEN 12 ELSE -1 END)
          FROM (SELECT 'j:' || left(md5(n::text), 22) AS mark, n <= $2::int AS is_live
                  FROM generate_series(1, $1::int) n ORDER BY 1) AS marks""",
}


def fill(database_url: str, say: Callable[[str], None], size: Size = LARGE) -> None:
    """Fill a database that has the schema. Its statistics are up to date and it is on disk when this returns."""
    asyncio.run(_fill(database_url, say, size))


async def _fill(database_url: str, say: Callable[[str], None], size: Size) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        # No key is looked up that was just written; and a crash in the middle costs nothing.
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        await connection.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '512MB'")
        for what, statement in _STEPS.items():
            started = perf_counter()
            counts = (size.marks, size.live_marks) if what == "marks" else (size.users,)
            await connection.execute(statement, *counts)
            say(f"{counts[0]} {what} in {perf_counter() - started:.0f} s")
        for table in ("users", "sessions", "grants", "token_blacklist"):
            await connection.execute(f"VACUUM (ANALYZE) auth.{table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()

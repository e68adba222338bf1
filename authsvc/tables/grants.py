"""`auth.grants`: families of tokens."""

from datetime import datetime

from authsvc.models import Generations, Grant
from authsvc.tables.db import Queries, Row, deleted

_COLUMNS = (
    "grant_id, sub, client_id, sid, scope, audience, gen_user, gen_client, gen_everything, methods, authenticated_at, "
    "place, rotated_at, idle_until, expires_at, ended_at, claims, opened_in"
)

# All that lets a grant live at $2: itself, its session, its user, its client, and every mark that could kill it.
_IS_LIVE = """
    g.ended_at IS NULL AND g.idle_until > $2 AND g.expires_at > $2
    AND EXISTS (SELECT FROM auth.users u WHERE u.sub = g.sub AND u.disabled_at IS NULL)
    AND EXISTS (SELECT FROM auth.clients c WHERE c.client_id = g.client_id AND c.disabled_at IS NULL)
    AND (g.sid IS NULL OR EXISTS (
        SELECT FROM auth.sessions s WHERE s.sid = g.sid AND s.ended_at IS NULL AND s.expires_at > $2))
    AND NOT EXISTS (
        SELECT FROM auth.token_blacklist b
         WHERE b.mark IN ('f:' || g.grant_id, 's:' || g.sid)
            OR (b.mark = 'u:' || g.sub AND b.generation > g.gen_user)
            OR (b.mark = 'c:' || g.client_id AND b.generation > g.gen_client)
            OR (b.mark = '*' AND b.generation > g.gen_everything))
"""


async def insert_grant(db: Queries, grant: Grant) -> None:
    await db.execute(
        f"INSERT INTO auth.grants ({_COLUMNS}) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, NULL, $16, $17)",
        grant.grant_id,
        grant.sub,
        grant.client_id,
        grant.sid,
        list(grant.scope),
        list(grant.audience),
        grant.generations.user,
        grant.generations.client,
        grant.generations.everything,
        list(grant.methods),
        grant.authenticated_at,
        grant.place,
        grant.rotated_at,
        grant.idle_until,
        grant.expires_at,
        grant.claims,
        grant.opened_in,
    )


async def find_grant(db: Queries, grant_id: str) -> Grant | None:
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.grants WHERE grant_id = $1", grant_id)
    return None if row is None else _grant(row)


async def find_live_grant(db: Queries, grant_id: str, now: datetime) -> Grant | None:
    """The grant, if nothing has ended it."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.grants g WHERE g.grant_id = $1 AND {_IS_LIVE}", grant_id, now)
    return None if row is None else _grant(row)


async def rotate_grant(db: Queries, grant_id: str, *, place: int, now: datetime, idle_until: datetime) -> Grant | None:
    """Consume the refresh token at `place`: the next one lives. One statement, one winner; None for everybody else, and
    when the grant is not live."""
    row = await db.fetchrow(
        f"UPDATE auth.grants g SET place = g.place + 1, rotated_at = $2, idle_until = least($4, g.expires_at) "
        f"WHERE g.grant_id = $1 AND g.place = $3 AND {_IS_LIVE} RETURNING {_COLUMNS}",
        grant_id,
        now,
        place,
        idle_until,
    )
    return None if row is None else _grant(row)


async def lock_grant(db: Queries, grant_id: str) -> None:
    """Until the transaction ends nobody else changes the grant."""
    await db.execute("SELECT FROM auth.grants WHERE grant_id = $1 FOR UPDATE", grant_id)


async def end_grant(db: Queries, grant_id: str, now: datetime) -> None:
    await db.execute("UPDATE auth.grants SET ended_at = $2 WHERE grant_id = $1 AND ended_at IS NULL", grant_id, now)


async def end_grants_of(db: Queries, sub: str, client_id: str, now: datetime, *, since: datetime) -> dict[str, bool]:
    """End all that this user gave this client. What it is, with what has ended since then; and whether it is by this
    that it has."""
    rows = await db.fetch(
        """
        WITH theirs AS (
            SELECT grant_id, ended_at FROM auth.grants
             WHERE sub = $1 AND client_id = $2 AND (ended_at IS NULL OR ended_at > $4)
             ORDER BY grant_id FOR UPDATE)
        UPDATE auth.grants g SET ended_at = coalesce(theirs.ended_at, $3) FROM theirs
         WHERE g.grant_id = theirs.grant_id
        RETURNING g.grant_id, theirs.ended_at IS NULL AS is_new
        """,
        sub,
        client_id,
        now,
        since,
    )
    return {row["grant_id"]: row["is_new"] for row in rows}


async def list_offline_grants(db: Queries, sub: str, now: datetime) -> dict[str, tuple[frozenset[str], datetime]]:
    """By client, what a user's live grants let it do that outlive sessions, and since when."""
    rows = await db.fetch(
        f"""
        SELECT g.client_id, min(g.authenticated_at) AS since,
               array_remove(array_agg(DISTINCT each), NULL) AS scope
          FROM auth.grants g LEFT JOIN LATERAL unnest(g.scope) each ON true
         WHERE g.sub = $1 AND g.sid IS NULL AND {_IS_LIVE}
         GROUP BY g.client_id
        """,
        sub,
        now,
    )
    return {row["client_id"]: (frozenset(row["scope"]), row["since"]) for row in rows}


async def update_user_generation(db: Queries, sid: str, generation: int) -> None:
    """Carry the grants of a session over a raised number of its user."""
    await db.execute("UPDATE auth.grants SET gen_user = $2 WHERE sid = $1 AND ended_at IS NULL", sid, generation)


async def purge_grants(db: Queries, before: datetime, limit: int) -> int:
    """Delete grants that ended or expired before that. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT grant_id FROM auth.grants "
            "WHERE least(ended_at, expires_at) < $1 ORDER BY least(ended_at, expires_at) LIMIT $2 "
            "FOR UPDATE SKIP LOCKED) DELETE FROM auth.grants WHERE grant_id IN (SELECT grant_id FROM gone)",
            before,
            limit,
        )
    )


def _grant(row: Row) -> Grant:
    return Grant(
        grant_id=row["grant_id"],
        sub=row["sub"],
        client_id=row["client_id"],
        sid=row["sid"],
        scope=tuple(row["scope"]),
        audience=tuple(row["audience"]),
        generations=Generations(user=row["gen_user"], client=row["gen_client"], everything=row["gen_everything"]),
        methods=tuple(row["methods"]),
        authenticated_at=row["authenticated_at"],
        place=row["place"],
        rotated_at=row["rotated_at"],
        idle_until=row["idle_until"],
        expires_at=row["expires_at"],
        claims=row["claims"],
        opened_in=row["opened_in"],
    )

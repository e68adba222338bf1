"""`auth.sessions`."""

from datetime import datetime

from authsvc.models import Generations, OpenSession, Session
from authsvc.tables.db import Queries, Row, deleted

_COLUMNS = (
    "sid, sub, client_id, gen_user, gen_client, gen_everything, methods, authenticated_at, expires_at, idle_until"
)


# All that lets a session live at $2: itself, its user, its client, and every mark that could kill it.
_IS_LIVE = """
    s.ended_at IS NULL AND s.expires_at > $2
    AND EXISTS (SELECT FROM auth.users u WHERE u.sub = s.sub AND u.disabled_at IS NULL)
    AND EXISTS (SELECT FROM auth.clients c WHERE c.client_id = s.client_id AND c.disabled_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM auth.token_blacklist b
         WHERE b.mark = 's:' || s.sid
            OR (b.mark = 'u:' || s.sub AND b.generation > s.gen_user)
            OR (b.mark = 'c:' || s.client_id AND b.generation > s.gen_client)
            OR (b.mark = '*' AND b.generation > s.gen_everything))
"""


async def insert_session(
    db: Queries,
    *,
    sid: str,
    sub: str,
    client_id: str,
    password_hash: str,
    user_mark: str,
    client_mark: str,
    everything_mark: str,
    methods: tuple[str, ...],
    now: datetime,
    expires_at: datetime,
    cookie_digest: bytes | None = None,
    idle_until: datetime | None = None,
    device: str | None = None,
    address: str | None = None,
) -> Session | None:
    """Open a session, in one statement with all that allows it: user and client live, the password still the verified
    one, and the numbers of that same instant. None when one of these no longer holds.

    Waits for whoever is changing the user or the client at this moment, and goes by what they leave."""
    row = await db.fetchrow(
        f"""
        INSERT INTO auth.sessions ({_COLUMNS}, cookie_digest, device, address)
        SELECT $1, u.sub, c.client_id,
               coalesce((SELECT generation FROM auth.token_blacklist WHERE mark = $5), 0),
               coalesce((SELECT generation FROM auth.token_blacklist WHERE mark = $6), 0),
               coalesce((SELECT generation FROM auth.token_blacklist WHERE mark = $7), 0),
               $8, $9, $10, $11, $12, $13, $14
          FROM auth.users u, auth.clients c
         WHERE u.sub = $2 AND u.disabled_at IS NULL AND u.password_hash = $4
           AND c.client_id = $3 AND c.disabled_at IS NULL
           FOR SHARE OF u, c
        RETURNING {_COLUMNS}
        """,
        sid,
        sub,
        client_id,
        password_hash,
        user_mark,
        client_mark,
        everything_mark,
        list(methods),
        now,
        expires_at,
        idle_until,
        cookie_digest,
        device,
        address,
    )
    return None if row is None else _session(row)


async def find_live_session(db: Queries, cookie_digest: bytes, now: datetime) -> Session | None:
    """The session that this cookie opens, in one statement with all that lets it live: itself, its user, its client,
    and every mark that could kill it."""
    row = await db.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM auth.sessions s
         WHERE s.cookie_digest = $1 AND s.idle_until > $2 AND {_IS_LIVE}
        """,
        cookie_digest,
        now,
    )
    return None if row is None else _session(row)


async def find_session(db: Queries, cookie_digest: bytes) -> Session | None:
    """The session of this cookie, whatever has become of it."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.sessions WHERE cookie_digest = $1", cookie_digest)
    return None if row is None else _session(row)


async def list_open_sessions(
    db: Queries, sub: str, now: datetime, *, first: str, limit: int
) -> tuple[list[OpenSession], int]:
    """The live sessions of a user: one of their choice, then those that were used last. And how many there are in all.

    One without a cookie lives by its tokens, and so as long as its grant does."""
    rows = await db.fetch(
        f"""
        SELECT s.sid, s.client_id, c.name AS client_name, s.device, s.address, s.authenticated_at AS since,
               used.seen_at, count(*) OVER () AS total
          FROM auth.sessions s
          JOIN auth.clients c ON c.client_id = s.client_id
         CROSS JOIN LATERAL (
               SELECT greatest(s.seen_at, max(g.rotated_at)) AS seen_at,
                      bool_or(g.ended_at IS NULL AND g.idle_until > $2 AND g.expires_at > $2) AS has_grant
                 FROM auth.grants g WHERE g.sid = s.sid) used
         WHERE s.sub = $1 AND {_IS_LIVE}
           AND CASE WHEN s.idle_until IS NULL THEN used.has_grant ELSE s.idle_until > $2 END
         ORDER BY s.sid = $3 DESC, coalesce(used.seen_at, s.authenticated_at) DESC, s.sid
         LIMIT $4
        """,
        sub,
        now,
        first,
        limit,
    )
    listed = [OpenSession(**{name: row[name] for name in OpenSession.__slots__}) for row in rows]
    return listed, rows[0]["total"] if rows else 0


async def update_idle(db: Queries, sid: str, idle_until: datetime, now: datetime) -> None:
    """Somebody uses it. It never ends the sooner for it."""
    await db.execute(
        "UPDATE auth.sessions SET idle_until = least($2, expires_at), seen_at = $3 WHERE sid = $1 AND idle_until < $2",
        sid,
        idle_until,
        now,
    )


async def update_cookie(db: Queries, sid: str, cookie_digest: bytes) -> None:
    """Another cookie opens it from now on, and the one before nothing."""
    await db.execute("UPDATE auth.sessions SET cookie_digest = $2 WHERE sid = $1", sid, cookie_digest)


async def end_sessions_of(
    db: Queries, sub: str, now: datetime, *, since: datetime, only: str | None = None, but: str | None = None
) -> dict[str, bool]:
    """End sessions of this user, and of nobody else: one, or all but one. Which they are, with those that have ended
    since then; and whether it is by this that they have."""
    rows = await db.fetch(
        """
        WITH theirs AS (
            SELECT sid, ended_at FROM auth.sessions
             WHERE sub = $1 AND (ended_at IS NULL OR ended_at > $3)
               AND ($4::text IS NULL OR sid = $4) AND sid IS DISTINCT FROM $5
             ORDER BY sid FOR UPDATE)
        UPDATE auth.sessions s SET ended_at = coalesce(theirs.ended_at, $2) FROM theirs WHERE s.sid = theirs.sid
        RETURNING s.sid, theirs.ended_at IS NULL AS is_new
        """,
        sub,
        now,
        since,
        only,
        but,
    )
    return {row["sid"]: row["is_new"] for row in rows}


async def end_session(db: Queries, sid: str, now: datetime) -> bool:
    """Whether it is by this that it has ended."""
    row = await db.fetchrow(
        "UPDATE auth.sessions SET ended_at = $2 WHERE sid = $1 AND ended_at IS NULL RETURNING sid", sid, now
    )
    return row is not None


async def end_sessions_of_user(db: Queries, sub: str, now: datetime, *, keep: str | None = None) -> list[str]:
    """End every session of the user, but for the one named. Which have ended by this."""
    rows = await db.fetch(
        "UPDATE auth.sessions SET ended_at = $2 WHERE sub = $1 AND ended_at IS NULL AND sid IS DISTINCT FROM $3 "
        "RETURNING sid",
        sub,
        now,
        keep,
    )
    return [row["sid"] for row in rows]


async def update_user_generation(db: Queries, sid: str, generation: int, now: datetime) -> Session | None:
    """Carry a live session over a raised number. None when it has ended."""
    row = await db.fetchrow(
        f"UPDATE auth.sessions SET gen_user = $2 WHERE sid = $1 AND ended_at IS NULL AND expires_at > $3 "
        f"RETURNING {_COLUMNS}",
        sid,
        generation,
        now,
    )
    return None if row is None else _session(row)


async def purge_sessions(db: Queries, before: datetime, limit: int) -> int:
    """Delete sessions that ended or expired before that. How many there were.

    The grants of a session go with it; none of them can be live.
    """
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT sid FROM auth.sessions "
            "WHERE least(ended_at, expires_at) < $1 ORDER BY least(ended_at, expires_at) LIMIT $2 "
            "FOR UPDATE SKIP LOCKED) DELETE FROM auth.sessions WHERE sid IN (SELECT sid FROM gone)",
            before,
            limit,
        )
    )


def _session(row: Row) -> Session:
    return Session(
        sid=row["sid"],
        sub=row["sub"],
        client_id=row["client_id"],
        generations=Generations(user=row["gen_user"], client=row["gen_client"], everything=row["gen_everything"]),
        methods=tuple(row["methods"]),
        authenticated_at=row["authenticated_at"],
        expires_at=row["expires_at"],
        idle_until=row["idle_until"],
    )

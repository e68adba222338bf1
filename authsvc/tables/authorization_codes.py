"""`auth.authorization_codes`."""

from datetime import datetime

from authsvc.models import AuthorizationCode, Generations, JsonObject
from authsvc.tables.db import Queries, Row, deleted

_COLUMNS = (
    "digest, client_id, sub, sid, redirect_uri, scope, resources, code_challenge, nonce, claims, gen_user, gen_client, "
    "gen_everything, methods, authenticated_at, session_ends_at, expires_at, consumed_at, grant_id"
)


async def insert_code(
    db: Queries,
    *,
    digest: bytes,
    client_id: str,
    sid: str,
    redirect_uri: str | None,
    scope: tuple[str, ...],
    resources: tuple[str, ...],
    code_challenge: str | None,
    nonce: str | None,
    claims: JsonObject | None,
    by_consent: bool,
    now: datetime,
    expires_at: datetime,
) -> bool:
    """Write a code down, in one statement with all that allows it: session, user and client live, and the numbers are
    those of that instant. With `by_consent` the user's consent is remembered still: who takes it back waits for this,
    or this for them. False when one of these no longer holds."""
    row = await db.fetchrow(
        f"""
        INSERT INTO auth.authorization_codes (
               digest, client_id, sub, sid, redirect_uri, scope, resources, code_challenge, nonce, claims, gen_user,
               gen_client, gen_everything, methods, authenticated_at, session_ends_at, created_at, expires_at)
        SELECT $1, c.client_id, s.sub, s.sid, $4, $5, $6, $7, $8, $9, s.gen_user,
               coalesce((SELECT generation FROM auth.token_blacklist WHERE mark = 'c:' || c.client_id), 0),
               s.gen_everything, s.methods, s.authenticated_at, s.expires_at, $10, $11
          FROM auth.sessions s, auth.users u, auth.clients c{", auth.consents a" if by_consent else ""}
         WHERE s.sid = $3 AND s.ended_at IS NULL AND s.expires_at > $10
           AND u.sub = s.sub AND u.disabled_at IS NULL
           AND c.client_id = $2 AND c.disabled_at IS NULL
           AND NOT EXISTS (
               SELECT FROM auth.token_blacklist b
                WHERE b.mark = 's:' || s.sid
                   OR (b.mark = 'u:' || s.sub AND b.generation > s.gen_user)
                   OR (b.mark = '*' AND b.generation > s.gen_everything))
           {"AND a.sub = s.sub AND a.client_id = c.client_id AND a.scope @> $5" if by_consent else ""}
           FOR SHARE OF s, u, c{", a" if by_consent else ""}
        RETURNING digest
        """,
        digest,
        client_id,
        sid,
        redirect_uri,
        list(scope),
        list(resources),
        code_challenge,
        nonce,
        claims,
        now,
        expires_at,
    )
    return row is not None


async def end_codes_of(db: Queries, sub: str, client_id: str, now: datetime) -> None:
    """Nobody redeems what this user was to give this client. Waits for who is doing it at this moment."""
    await db.execute(
        "UPDATE auth.authorization_codes SET consumed_at = $3 "
        "WHERE sub = $1 AND client_id = $2 AND consumed_at IS NULL",
        sub,
        client_id,
        now,
    )


async def find_code(db: Queries, digest: bytes) -> AuthorizationCode | None:
    """Whatever has become of it."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.authorization_codes WHERE digest = $1", digest)
    return None if row is None else _code(row)


async def consume_code(
    db: Queries, digest: bytes, *, client_id: str, grant_id: str, now: datetime
) -> AuthorizationCode | None:
    """Redeem a code for this grant. One statement, one winner; None for everybody else, and when the code, or one of
    those that it is of, lives no more."""
    row = await db.fetchrow(
        f"""
        UPDATE auth.authorization_codes a SET consumed_at = $4, grant_id = $3
         WHERE a.digest = $1 AND a.client_id = $2 AND a.consumed_at IS NULL AND a.expires_at > $4
           AND EXISTS (SELECT FROM auth.users u WHERE u.sub = a.sub AND u.disabled_at IS NULL)
           AND EXISTS (SELECT FROM auth.clients c WHERE c.client_id = a.client_id AND c.disabled_at IS NULL)
           AND EXISTS (
               SELECT FROM auth.sessions s WHERE s.sid = a.sid AND s.ended_at IS NULL AND s.expires_at > $4)
           AND NOT EXISTS (
               SELECT FROM auth.token_blacklist b
                WHERE b.mark = 's:' || a.sid
                   OR (b.mark = 'u:' || a.sub AND b.generation > a.gen_user)
                   OR (b.mark = 'c:' || a.client_id AND b.generation > a.gen_client)
                   OR (b.mark = '*' AND b.generation > a.gen_everything))
        RETURNING {_COLUMNS}
        """,
        digest,
        client_id,
        grant_id,
        now,
    )
    return None if row is None else _code(row)


async def purge_codes(db: Queries, before: datetime, limit: int) -> int:
    """Delete codes that expired before that, redeemed or not. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT digest FROM auth.authorization_codes "
            "WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) "
            "DELETE FROM auth.authorization_codes WHERE digest IN (SELECT digest FROM gone)",
            before,
            limit,
        )
    )


def _code(row: Row) -> AuthorizationCode:
    return AuthorizationCode(
        digest=row["digest"],
        client_id=row["client_id"],
        sub=row["sub"],
        sid=row["sid"],
        redirect_uri=row["redirect_uri"],
        scope=tuple(row["scope"]),
        resources=tuple(row["resources"]),
        code_challenge=row["code_challenge"],
        nonce=row["nonce"],
        claims=row["claims"],
        generations=Generations(user=row["gen_user"], client=row["gen_client"], everything=row["gen_everything"]),
        methods=tuple(row["methods"]),
        authenticated_at=row["authenticated_at"],
        session_ends_at=row["session_ends_at"],
        expires_at=row["expires_at"],
        consumed_at=row["consumed_at"],
        grant_id=row["grant_id"],
    )

"""`auth.logout_notices`: what clients are yet to be told, each in the order in which it was written."""

from collections.abc import Collection
from datetime import datetime

from authsvc.models import LogoutNotice
from authsvc.tables.db import Queries, deleted


async def insert_notices(db: Queries, sids: Collection[str], now: datetime) -> int:
    """One for each client that was given a code or a grant in one of these sessions and wants to be told. To be called
    when the sessions have ended, in the same transaction: until then they may get another client. How many."""
    rows = await db.fetch(
        """
        INSERT INTO auth.logout_notices (client_id, sub, sid, created_at, due_at)
        SELECT c.client_id, s.sub, had.known_as, $2, $2
          FROM auth.sessions s
         CROSS JOIN LATERAL (
               SELECT g.client_id, s.sid AS known_as FROM auth.grants g WHERE g.sid = s.sid
               UNION
               SELECT g.client_id, s.sid FROM auth.grants g WHERE g.opened_in = s.sid
               UNION
               SELECT a.client_id, s.sid FROM auth.authorization_codes a WHERE a.sid = s.sid
               UNION
               SELECT i.client_id, i.known_as FROM auth.inherited_clients i WHERE i.sid = s.sid) had
          JOIN auth.clients c ON c.client_id = had.client_id
         WHERE s.sid = ANY($1) AND c.backchannel_logout_uri IS NOT NULL AND c.disabled_at IS NULL
         ORDER BY c.client_id, had.known_as
        RETURNING notice_id
        """,
        list(sids),
        now,
    )
    return len(rows)


async def claim_notices(db: Queries, now: datetime, *, until: datetime, limit: int) -> list[LogoutNotice]:
    """Of each client the first that is not given up, where it is due; until then nobody else gets it. Who has not
    settled it by then may be gone: it is due again."""
    rows = await db.fetch(
        """
        WITH RECURSIVE firsts AS (
            (SELECT client_id, notice_id FROM auth.logout_notices WHERE given_up_at IS NULL
              ORDER BY client_id, notice_id LIMIT 1)
            UNION ALL
            SELECT next.client_id, next.notice_id FROM firsts CROSS JOIN LATERAL (
                SELECT n.client_id, n.notice_id FROM auth.logout_notices n
                 WHERE n.given_up_at IS NULL AND n.client_id > firsts.client_id
                 ORDER BY n.client_id, n.notice_id LIMIT 1) next),
        due AS MATERIALIZED (
            SELECT n.notice_id FROM auth.logout_notices n JOIN firsts USING (notice_id)
             WHERE n.given_up_at IS NULL AND n.due_at <= $1
             ORDER BY n.due_at LIMIT $3 FOR UPDATE OF n SKIP LOCKED)
        UPDATE auth.logout_notices n SET due_at = $2, attempts = n.attempts + 1
          FROM due, auth.clients c
         WHERE n.notice_id = due.notice_id AND c.client_id = n.client_id
        RETURNING n.notice_id, n.client_id, n.sub, n.sid, n.created_at, n.attempts, n.answered,
                  CASE WHEN c.disabled_at IS NULL THEN c.backchannel_logout_uri END AS uri,
                  c.id_token_signed_response_alg AS algorithm,
                  coalesce((SELECT b.generation FROM auth.token_blacklist b WHERE b.mark = 'c:' || c.client_id), 0)
                      AS generation
        """,
        now,
        until,
        limit,
    )
    return [LogoutNotice(**{name: row[name] for name in LogoutNotice.__slots__}) for row in rows]


async def delete_notice(db: Queries, notice_id: int) -> None:
    """The client has been told, or wants it no more."""
    await db.execute("DELETE FROM auth.logout_notices WHERE notice_id = $1", notice_id)


async def postpone_notice(db: Queries, notice: LogoutNotice, due_at: datetime, *, answered: int) -> None:
    """Try it again then. `answered`: how many tries the client has answered by now. Nothing, where somebody else has
    tried it since: whoever was late has nothing to say."""
    await db.execute(
        "UPDATE auth.logout_notices SET due_at = $3, answered = $4 WHERE notice_id = $1 AND attempts = $2",
        notice.notice_id,
        notice.attempts,
        due_at,
        answered,
    )


async def give_up_notice(db: Queries, notice: LogoutNotice, now: datetime) -> None:
    """It is kept, for the operator to see. As `postpone_notice` where somebody else has tried it since."""
    await db.execute(
        "UPDATE auth.logout_notices SET given_up_at = $3 WHERE notice_id = $1 AND attempts = $2",
        notice.notice_id,
        notice.attempts,
        now,
    )


async def count_waiting(db: Queries) -> tuple[int, datetime | None]:
    """How many are yet to be told, and since when the oldest waits."""
    row = await db.fetchrow(
        "SELECT count(*) AS many, min(created_at) AS oldest FROM auth.logout_notices WHERE given_up_at IS NULL"
    )
    assert row is not None  # noqa: S101 - there is always one
    return row["many"], row["oldest"]


async def purge_notices(db: Queries, before: datetime, limit: int) -> int:
    """Delete those that were given up before that. How many there were."""
    return deleted(
        await db.execute(
            "WITH gone AS MATERIALIZED (SELECT notice_id FROM auth.logout_notices "
            "WHERE given_up_at < $1 ORDER BY given_up_at LIMIT $2 FOR UPDATE SKIP LOCKED) "
            "DELETE FROM auth.logout_notices WHERE notice_id IN (SELECT notice_id FROM gone)",
            before,
            limit,
        )
    )

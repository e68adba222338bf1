"""`auth.inherited_clients`: clients that know a browser by the name of a session which another one has replaced."""

from collections.abc import Collection
from datetime import datetime

from authsvc.tables.db import Queries

MOST_NAMES = 20
"""By which a client knows a session beside its own, the newest. Whoever logs in a thousand times in one browser has
clients told of twenty sessions, and not of a thousand."""


async def inherit_clients(db: Queries, old: str, new: str) -> None:
    """The clients of one session are those of another from now on, and go on to know it by the name that they know. To
    be called when the old one has ended: until then it may get another client."""
    await db.execute(
        """
        INSERT INTO auth.inherited_clients (sid, client_id, known_as)
        SELECT $2, ranked.client_id, ranked.known_as FROM (
            SELECT had.client_id, had.known_as,
                   row_number() OVER (
                       PARTITION BY had.client_id ORDER BY s.authenticated_at DESC NULLS LAST, had.known_as) AS place
              FROM (SELECT g.client_id, $1 AS known_as FROM auth.grants g WHERE g.sid = $1
                    UNION
                    SELECT g.client_id, $1 FROM auth.grants g WHERE g.opened_in = $1
                    UNION
                    SELECT a.client_id, $1 FROM auth.authorization_codes a WHERE a.sid = $1
                    UNION
                    SELECT i.client_id, i.known_as FROM auth.inherited_clients i WHERE i.sid = $1) had
              LEFT JOIN auth.sessions s ON s.sid = had.known_as) ranked
         WHERE ranked.place <= $3
        ON CONFLICT DO NOTHING
        """,
        old,
        new,
        MOST_NAMES,
    )


async def list_names(db: Queries, sid: str, client_id: str) -> frozenset[str]:
    """By which other names a client knows a session."""
    rows = await db.fetch(
        "SELECT known_as FROM auth.inherited_clients WHERE sid = $1 AND client_id = $2", sid, client_id
    )
    return frozenset(row["known_as"] for row in rows)


async def list_replaced(db: Queries, sids: Collection[str], since: datetime) -> list[str]:
    """The sessions that these have replaced since then, where a client was in them: it may have tokens of theirs."""
    rows = await db.fetch(
        "SELECT DISTINCT i.known_as FROM auth.inherited_clients i JOIN auth.sessions s ON s.sid = i.known_as "
        "WHERE i.sid = ANY($1) AND s.ended_at > $2",
        list(sids),
        since,
    )
    return [row["known_as"] for row in rows]

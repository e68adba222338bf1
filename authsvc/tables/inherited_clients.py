"""`auth.inherited_clients`: clients that know a browser by the name of a session which another one has replaced."""

from authsvc.tables.db import Queries


async def inherit_clients(db: Queries, old: str, new: str) -> None:
    """The clients of one session are those of another from now on, and go on to know it by the name that they know. To
    be called when the old one has ended: until then it may get another client."""
    await db.execute(
        """
        INSERT INTO auth.inherited_clients (sid, client_id, known_as)
        SELECT $2, g.client_id, $1 FROM auth.grants g WHERE g.sid = $1
        UNION
        SELECT $2, g.client_id, $1 FROM auth.grants g WHERE g.opened_in = $1
        UNION
        SELECT $2, a.client_id, $1 FROM auth.authorization_codes a WHERE a.sid = $1
        UNION
        SELECT $2, i.client_id, i.known_as FROM auth.inherited_clients i WHERE i.sid = $1
        ON CONFLICT DO NOTHING
        """,
        old,
        new,
    )


async def list_names(db: Queries, sid: str, client_id: str) -> frozenset[str]:
    """By which other names a client knows a session."""
    rows = await db.fetch(
        "SELECT known_as FROM auth.inherited_clients WHERE sid = $1 AND client_id = $2", sid, client_id
    )
    return frozenset(row["known_as"] for row in rows)

"""`auth.consents`."""

from datetime import datetime

from authsvc.models import Consent
from authsvc.tables.db import Queries, Row


async def find_consent(db: Queries, sub: str, client_id: str) -> Consent | None:
    row = await db.fetchrow(
        "SELECT scope, resources, claims FROM auth.consents WHERE sub = $1 AND client_id = $2", sub, client_id
    )
    return None if row is None else _consent(row)


async def add_consent(db: Queries, sub: str, client_id: str, consent: Consent, now: datetime) -> None:
    """What is allowed now comes to what was allowed before."""
    await db.execute(
        """
        INSERT INTO auth.consents AS c (sub, client_id, scope, resources, claims, granted_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        ON CONFLICT (sub, client_id) DO UPDATE SET
            scope = ARRAY(SELECT DISTINCT unnest(c.scope || EXCLUDED.scope) ORDER BY 1),
            resources = ARRAY(SELECT DISTINCT unnest(c.resources || EXCLUDED.resources) ORDER BY 1),
            claims = ARRAY(SELECT DISTINCT unnest(c.claims || EXCLUDED.claims) ORDER BY 1),
            updated_at = EXCLUDED.updated_at
        """,
        sub,
        client_id,
        sorted(consent.scope),
        sorted(consent.resources),
        sorted(consent.claims),
        now,
    )


async def list_consents(db: Queries, sub: str) -> dict[str, tuple[Consent, datetime]]:
    """By client, what a user has allowed, and since when."""
    rows = await db.fetch(
        "SELECT client_id, scope, resources, claims, granted_at FROM auth.consents WHERE sub = $1", sub
    )
    return {row["client_id"]: (_consent(row), row["granted_at"]) for row in rows}


async def delete_consent(db: Queries, sub: str, client_id: str) -> bool:
    """False when there is none. Waits for who is writing down a code that rests on it."""
    row = await db.fetchrow(
        "DELETE FROM auth.consents WHERE sub = $1 AND client_id = $2 RETURNING client_id", sub, client_id
    )
    return row is not None


def _consent(row: Row) -> Consent:
    return Consent(frozenset(row["scope"]), frozenset(row["resources"]), frozenset(row["claims"]))

"""`auth.consents`."""

from datetime import datetime

from authsvc.models import Consent
from authsvc.tables.db import Queries


async def find_consent(db: Queries, sub: str, client_id: str) -> Consent | None:
    row = await db.fetchrow(
        "SELECT scope, resources, claims FROM auth.consents WHERE sub = $1 AND client_id = $2", sub, client_id
    )
    if row is None:
        return None
    return Consent(frozenset(row["scope"]), frozenset(row["resources"]), frozenset(row["claims"]))


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

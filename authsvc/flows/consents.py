"""What users have allowed clients: remembered, and looked up."""

from authsvc.clock import Clock
from authsvc.flows.audit import Audit
from authsvc.models import Consent, Session
from authsvc.protocol.audit import Event
from authsvc.tables import consents
from authsvc.tables.db import Database


class Consents:
    def __init__(self, db: Database, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._clock = clock

    async def find(self, session: Session, client_id: str) -> Consent | None:
        """Raises Unavailable."""
        return await consents.find_consent(self._db, session.sub, client_id)

    async def remember(self, session: Session, client_id: str, consent: Consent) -> None:
        """Raises Unavailable."""
        event = self._audit.build(
            Event.CONSENT_GRANTED, sub=session.sub, client_id=client_id, sid=session.sid, scope=sorted(consent.scope)
        )
        async with self._db.transaction() as tx:
            await consents.add_consent(tx, session.sub, client_id, consent, self._clock.now())
            await self._audit.record(tx, event)

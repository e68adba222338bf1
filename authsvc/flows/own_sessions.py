"""Where users are logged in: they see it, and end it (SES-06)."""

from authsvc.clock import Clock
from authsvc.flows.revocations import Revocations
from authsvc.models import OpenSession, Session
from authsvc.tables import sessions
from authsvc.tables.db import Database

MOST_LISTED = 100


class OwnSessions:
    def __init__(self, db: Database, revocations: Revocations, clock: Clock) -> None:
        self._db = db
        self._revocations = revocations
        self._clock = clock

    async def list_open(self, session: Session) -> tuple[list[OpenSession], int]:
        """The sessions of this session's user, itself first, and then those that were used last; not more than
        `MOST_LISTED`. And how many there are in all.

        Raises:
            Unavailable: the store cannot be asked.
        """
        now = self._clock.now()
        return await sessions.list_open_sessions(self._db, session.sub, now, first=session.sid, limit=MOST_LISTED)

    async def end(self, session: Session, sid: str) -> bool:
        """End a session of this session's user: every token of it is dead when this returns. False when they have none
        of that name.

        Raises:
            Unavailable: it may still be live; try again.
        """
        async with self._revocations.revoke() as revoking:
            return await revoking.sessions_of(session.sub, only=sid)

    async def end_others(self, session: Session) -> None:
        """End every session of this session's user but this one. What clients hold that outlives sessions is not ended
        by it: see `Connections`.

        Raises:
            Unavailable: they may still be live; try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.sessions_of(session.sub, but=session.sid)

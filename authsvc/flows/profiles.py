"""The claims about a user: changed by themselves or by an operator, in one transaction with the record of it."""

from authsvc.clock import Clock
from authsvc.errors import NotFound
from authsvc.flows.audit import Audit
from authsvc.logs import get_logger
from authsvc.models import JsonObject, User
from authsvc.protocol.audit import Event
from authsvc.protocol.claims import change_claims
from authsvc.tables import users
from authsvc.tables.db import Database

log = get_logger(__name__)


class Profiles:
    def __init__(self, db: Database, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._clock = clock

    async def change(self, sub: str, changes: JsonObject, *, by_user: bool) -> User:
        """Apply a JSON merge patch to what is kept about a user. Of two at once neither is lost.

        Raises:
            InvalidValue: as `change_claims`.
            NotFound: there is no such user.
            Unavailable: the store cannot be asked.
        """
        async with self._db.transaction() as tx:
            await users.lock_user(tx, sub)
            user = await users.find_user(tx, sub)
            if user is None:
                raise NotFound("there is no such user")
            claims = change_claims(user.claims, changes, by_user=by_user)
            if claims == user.claims:
                return user
            changed = await users.update_claims(tx, sub, claims, self._clock.now())
            # Which of them, and nothing of what they say: the record outlives what it tells of.
            names = sorted(name for name in claims | user.claims if claims.get(name) != user.claims.get(name))
            await self._audit.record(tx, self._audit.build(Event.USER_UPDATED, sub=sub, claims=names))
        log.info("claims changed", sub=sub)
        return changed

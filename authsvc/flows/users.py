"""What operators do with users. Whoever is disabled or deleted is out everywhere when the call returns."""

from authsvc.clock import Clock
from authsvc.errors import InvalidValue, NotFound
from authsvc.flows.audit import Audit
from authsvc.flows.revocations import Revocations
from authsvc.models import User
from authsvc.protocol.audit import Event
from authsvc.protocol.emails import canonical_email
from authsvc.tables import users
from authsvc.tables.db import Database


class Users:
    def __init__(self, db: Database, revocations: Revocations, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._revocations = revocations
        self._clock = clock

    async def get(self, name: str) -> User:
        """A user by `sub` or e-mail address.

        Raises:
            NotFound: there is none.
        """
        user = await users.find_user(self._db, name)
        if user is None and "@" in name:
            try:
                user = await users.find_user_by_email(self._db, canonical_email(name))
            except InvalidValue:
                user = None
        if user is None:
            raise NotFound("there is no such user")
        return user

    async def list_page(self, *, after: str, limit: int) -> list[User]:
        """The users whose `sub` comes after this one, in that order. Raises Unavailable."""
        return await users.list_users(self._db, after=after, limit=limit)

    async def disable(self, sub: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await users.update_disabled(revoking.tx, sub, self._clock.now()):
                raise NotFound("there is no such user")
            await revoking.user(sub)
            revoking.note(Event.USER_UPDATED, sub=sub, disabled=True)

    async def enable(self, sub: str) -> None:
        """Let the user log in again; what was revoked stays revoked. Raises NotFound, Unavailable."""
        async with self._db.transaction() as tx:
            if not await users.update_disabled(tx, sub, None):
                raise NotFound("there is no such user")
            await self._audit.record(tx, self._audit.build(Event.USER_UPDATED, sub=sub, disabled=False))

    async def delete(self, sub: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            await revoking.user(sub)
            if not await users.delete_user(revoking.tx, sub):
                raise NotFound("there is no such user")
            revoking.note(Event.USER_DELETED, sub=sub)

    async def revoke_tokens(self, sub: str) -> None:
        """End every session and kill every token of the user. Raises Unavailable."""
        async with self._revocations.revoke() as revoking:
            await revoking.user(sub)

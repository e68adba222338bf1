"""What operators do with users. Whoever is disabled or deleted is out everywhere when the call returns."""

from authsvc.clock import Clock
from authsvc.errors import InvalidValue, NotFound, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.profiles import Profiles
from authsvc.flows.revocations import Revocations
from authsvc.models import JsonObject, User
from authsvc.protocol.audit import Event
from authsvc.protocol.emails import canonical_email
from authsvc.tables import users
from authsvc.tables.db import Database

ATTEMPTS = 5
"""At deleting somebody whom others enable meanwhile."""


class Users:
    def __init__(self, db: Database, revocations: Revocations, profiles: Profiles, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._revocations = revocations
        self._profiles = profiles
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

    async def change_claims(self, sub: str, changes: JsonObject) -> User:
        """Change what is kept about a user, by a JSON merge patch. Raises InvalidValue, NotFound, Unavailable."""
        return await self._profiles.change(sub, changes, by_user=False)

    async def disable(self, sub: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await users.update_disabled(revoking.tx, sub, revoking.now):
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
        """Out everywhere first, and gone when that is known: a user who is not there has no token that lives, and who
        was told to try again finds one who is still there (C5).

        Raises:
            NotFound: there is no such user.
            Unavailable: try again; until then the user may be disabled only.
        """
        for _ in range(ATTEMPTS):
            await self.disable(sub)
            async with self._db.transaction() as tx:
                if await users.delete_user(tx, sub):
                    await self._audit.record(tx, self._audit.build(Event.USER_DELETED, sub=sub))
                    return
        raise Unavailable("somebody enables the user again and again")

    async def revoke_tokens(self, sub: str) -> None:
        """End every session and kill every token of the user. Raises Unavailable."""
        async with self._revocations.revoke() as revoking:
            await revoking.user(sub)

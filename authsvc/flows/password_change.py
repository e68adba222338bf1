"""A new password of somebody who is logged in: the same limits, audit, time and ends wherever it is typed."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from authsvc.errors import InvalidPassword, InvalidToken, PasswordFault
from authsvc.flows.audit import Audit
from authsvc.flows.limits import Limits
from authsvc.flows.passwords import Passwords
from authsvc.flows.revocations import Revocations
from authsvc.models import User
from authsvc.protocol.accounts import PasswordChangeRequest
from authsvc.protocol.audit import Event
from authsvc.protocol.passwords import prepare
from authsvc.protocol.revocation import user_mark
from authsvc.tables import grants, sessions, users
from authsvc.tables.db import Database, Transaction

Carried = TypeVar("Carried")


class PasswordChange:
    def __init__(
        self, db: Database, revocations: Revocations, passwords: Passwords, limits: Limits, audit: Audit
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._passwords = passwords
        self._limits = limits
        self._audit = audit

    @property
    def min_length(self) -> int:
        return self._passwords.min_length

    async def change(
        self,
        sub: str,
        sid: str,
        request: PasswordChangeRequest,
        carry_on: Callable[[Transaction], Awaitable[Carried]],
    ) -> tuple[User, Carried]:
        """Change the password. Every other session ends, and every token dies; this session goes on with what
        `carry_on` makes of it, in the same transaction.

        Raises:
            InvalidPassword: the current password is wrong, or the new one is not acceptable.
            InvalidToken: the session has ended in the meantime.
            TooManyAttempts: the current password was wrong too often (PWR-09).
            Unavailable: too many hashes at once, or the store cannot be asked.
        """
        current = prepare(request.current_password, pointer="/current_password")
        user = await self._find(sub)
        new = self._passwords.prepare_new(request.new_password, email=user.email_canonical, pointer="/new_password")
        await self._verify_current(user, current, sid)
        new_hash = await self._passwords.hash(new)
        carried = await self._exchange(user, sid, new_hash, carry_on)
        if carried is None:  # as at login: once more tells a password that was changed from one that was hashed anew
            user = await self._find(sub)
            await self._verify_current(user, current, sid)
            carried = await self._exchange(user, sid, new_hash, carry_on)
            if carried is None:
                raise InvalidToken("the account was changed by somebody else at the same moment")
        return user, carried[0]

    async def _find(self, sub: str) -> User:
        user = await users.find_user(self._db, sub)
        if user is None or user.disabled_at is not None:
            raise InvalidToken("the user is gone")
        return user

    async def _verify_current(self, user: User, current: bytes, sid: str) -> None:
        try:
            async with self._limits.own_password(user.sub):
                if not await self._passwords.verify(current, user.password_hash):
                    raise InvalidPassword(
                        "the current password is wrong", pointer="/current_password", fault=PasswordFault.WRONG
                    )
        except InvalidPassword:
            self._audit.observe(
                self._audit.build(Event.AUTHN_PASSWORD_CHANGE_FAIL, sub=user.sub, sid=sid, reason="password")
            )
            # An earlier call, which could not be made known, may have changed it. Counted as an attempt all the same.
            await self._revocations.make_known_again(user_mark(user.sub))
            raise

    async def _exchange(
        self, user: User, sid: str, new_hash: str, carry_on: Callable[[Transaction], Awaitable[Carried]]
    ) -> tuple[Carried] | None:
        """None when the hash that was verified is not stored any more."""
        async with self._revocations.revoke() as revoking:
            if not await users.update_password_hash(
                revoking.tx, user.sub, old=user.password_hash or "", new=new_hash, changed_at=revoking.now
            ):
                return None
            revoking.note(Event.AUTHN_PASSWORD_CHANGE, sub=user.sub, sid=sid)
            generation = await revoking.user(user.sub, keep_session=sid)
            if await sessions.update_user_generation(revoking.tx, sid, generation, revoking.now) is None:
                raise InvalidToken("the session has ended")
            await grants.update_user_generation(revoking.tx, sid, generation)
            return (await carry_on(revoking.tx),)

"""The password of a login, wherever it is typed: one hash is computed whoever it is (LOG-01, LOG-02), and limits, audit
and time are the same."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from authsvc.errors import InvalidCredentials, InvalidValue, TooManyAttempts, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.limits import Limits
from authsvc.flows.passwords import Passwords
from authsvc.metrics import Metrics
from authsvc.models import User
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.emails import canonical_email
from authsvc.tables import users
from authsvc.tables.db import Database

FIRST_PARTY_CLIENT_ID = "first-party"
"""The built-in public client of logins that name none; the first migration makes it."""

Opened = TypeVar("Opened")


class PasswordLogin:
    def __init__(self, db: Database, passwords: Passwords, limits: Limits, audit: Audit, metrics: Metrics) -> None:
        self._db = db
        self._passwords = passwords
        self._limits = limits
        self._audit = audit
        self._metrics = metrics

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens in the block as one login."""
        try:
            yield
        except InvalidCredentials:
            self._metrics.logins["password", "failure"].inc()
            raise
        except TooManyAttempts:
            self._metrics.logins["password", "limited"].inc()
            raise
        except Unavailable:
            self._metrics.logins["password", "shed"].inc()
            raise
        self._metrics.logins["password", "success"].inc()

    def check_room(self) -> None:
        """Refuse early, before any other work is done for a login that could not be finished. Raises Unavailable."""
        self._passwords.check_room()

    async def open(
        self,
        email: str,
        prepared: bytes,
        address: Address | None,
        open_session: Callable[[User], Awaitable[Opened | None]],
    ) -> tuple[User, Opened]:
        """Whose password this is, and what `open_session` opens for them: in one statement with the proof that what was
        verified is stored still, or None.

        Raises:
            InvalidCredentials: unknown address, wrong password, disabled user: the same for all.
            TooManyAttempts: at this account, or from this address; also with the right password (LOG-08).
            Unavailable: too many logins at once, or the store cannot be asked.
        """
        canonical = _canonical(email)
        async with self._limits.login(canonical or email, address):
            user = await self._verify(canonical, prepared)
        opened = await open_session(user)
        if opened is None:
            # What was verified is not stored any more: disabled, deleted, a new password, or, by another login of this
            # moment, the same password hashed anew. Once more tells them apart.
            user = await self._verify(canonical, prepared)
            opened = await open_session(user)
            if opened is None:
                raise InvalidCredentials
        return user, opened

    async def bring_up_to_date(self, user: User, prepared: bytes) -> None:
        """What is left to do when the login is done: see `Passwords.bring_up_to_date`."""
        await self._passwords.bring_up_to_date(user, prepared)

    async def _verify(self, email: str | None, prepared: bytes) -> User:
        user = None if email is None else await users.find_user_by_email(self._db, email)
        matches = await self._passwords.verify(prepared, None if user is None else user.password_hash)
        if user is None or user.disabled_at is not None or not matches:
            reason = "unknown" if user is None else "disabled" if matches else "password"
            sub = None if user is None else user.sub
            self._audit.observe(self._audit.build(Event.AUTHN_LOGIN_FAIL, sub=sub, reason=reason))
            raise InvalidCredentials
        return user


def _canonical(email: str) -> str | None:
    """None for what no user's address can be; which those are is nobody's business here."""
    try:
        return canonical_email(email)
    except InvalidValue:
        return None

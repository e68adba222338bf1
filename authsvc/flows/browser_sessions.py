"""Sessions that a browser holds by a cookie: opened at a login, each time with a new cookie (SES-01), found while all
that bears them lives, ended."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id, mint_secret
from authsvc.flows.audit import Audit
from authsvc.flows.password_change import PasswordChange
from authsvc.flows.password_login import FIRST_PARTY_CLIENT_ID
from authsvc.flows.revocations import Revocations
from authsvc.logs import get_logger
from authsvc.models import Session, User
from authsvc.protocol.accounts import PasswordChangeRequest
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.revocation import EVERYTHING, client_mark, user_mark
from authsvc.tables import inherited_clients, sessions, users
from authsvc.tables.db import Database

MAX_COOKIE_LENGTH = 64
STEP = timedelta(minutes=1)
"""A session that is used is written to once in a while, and not each time."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session, and the cookie that opens it: this is the only time that anybody here has it."""

    session: Session
    cookie: str = field(repr=False)


class BrowserSessions:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        audit: Audit,
        password_change: PasswordChange,
        clock: Clock,
        entropy: Entropy,
        *,
        session_seconds: int,
        idle_seconds: int,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._audit = audit
        self._password_change = password_change
        self._clock = clock
        self._entropy = entropy
        self._life = timedelta(seconds=session_seconds)
        self._idle = timedelta(seconds=idle_seconds)

    async def find(self, cookie: str | None) -> Session | None:
        """The live session of this cookie; it is used by that.

        Raises:
            Unavailable: the store cannot be asked.
        """
        session = await self.look(cookie)
        return None if session is None else await self.use(session)

    async def look(self, cookie: str | None) -> Session | None:
        """As `find`, and it is not used by that: whoever only looks keeps nobody logged in. Raises Unavailable."""
        if cookie is None or len(cookie) > MAX_COOKIE_LENGTH:
            return None
        return await sessions.find_live_session(self._db, _digest(cookie), self._clock.now())

    async def use(self, session: Session) -> Session:
        """A live session goes on from now for as long as it may be idle. Raises Unavailable."""
        now = self._clock.now()
        if session.idle_until is None or session.idle_until >= now + self._idle - STEP:
            return session
        await sessions.update_idle(self._db, session.sid, now + self._idle, now)
        return replace(session, idle_until=min(now + self._idle, session.expires_at))

    async def find_any(self, cookie: str | None) -> Session | None:
        """The session that this cookie opens, or has opened. Raises Unavailable."""
        if cookie is None or len(cookie) > MAX_COOKIE_LENGTH:
            return None
        return await sessions.find_session(self._db, _digest(cookie))

    async def find_user(self, session: Session) -> User | None:
        """Whose it is; None when they are gone since it was found. Raises Unavailable."""
        return await users.find_user(self._db, session.sub)

    async def open(
        self, user: User, methods: tuple[str, ...], *, device: str | None, address: Address | None
    ) -> OpenedSession | None:
        """A session of this user, whose password has just been verified. None when user or client have changed since
        they were looked at.

        Raises:
            Unavailable: the store cannot be asked.
        """
        now, cookie = self._clock.now(), mint_secret(self._entropy)
        async with self._db.transaction() as tx:
            session = await sessions.insert_session(
                tx,
                sid=mint_id(self._entropy),
                sub=user.sub,
                client_id=FIRST_PARTY_CLIENT_ID,
                password_hash=user.password_hash or "",
                user_mark=user_mark(user.sub),
                client_mark=client_mark(FIRST_PARTY_CLIENT_ID),
                everything_mark=EVERYTHING,
                methods=methods,
                now=now,
                expires_at=now + self._life,
                cookie_digest=_digest(cookie),
                idle_until=min(now + self._idle, now + self._life),
                device=device,
                address=None if address is None else str(address),
            )
            if session is None:
                return None
            who = {"sub": user.sub, "client_id": FIRST_PARTY_CLIENT_ID, "sid": session.sid}
            await self._audit.record(
                tx,
                self._audit.build(Event.AUTHN_LOGIN_SUCCESS, **who, method="password"),
                self._audit.build(Event.SESSION_CREATED, **who),
            )
        log.info("session opened", sub=user.sub, sid=session.sid, client_id=FIRST_PARTY_CLIENT_ID)
        return OpenedSession(session, cookie)

    async def replace(self, old: Session, new: Session) -> None:
        """The browser has logged in anew. Its old cookie opens nothing any more (ATK-60). If it is the same user, the
        access tokens that others were given by the old session live out their minutes, or until the new one ends, of
        which clients that know the old one are told; another user's session ends.

        Raises:
            Unavailable: try again.
        """
        if old.sub != new.sub:
            await self.end(old)
        else:
            async with self._db.transaction() as tx:
                await sessions.end_session(tx, old.sid, self._clock.now())
                await inherited_clients.inherit_clients(tx, old.sid, new.sid)

    @property
    def min_password_length(self) -> int:
        return self._password_change.min_length

    async def change_password(self, session: Session, request: PasswordChangeRequest) -> str:
        """Change the password of the session's user. Every other session ends; this one goes on with the cookie that is
        returned, and with no other (SES-01).

        Raises:
            InvalidPassword, InvalidToken, TooManyAttempts, Unavailable: as `PasswordChange.change`. After Unavailable
                it may be changed all the same, and then nobody has the cookie.
        """
        cookie = mint_secret(self._entropy)
        await self._password_change.change(
            session.sub, session.sid, request, lambda tx: sessions.update_cookie(tx, session.sid, _digest(cookie))
        )
        return cookie

    async def end(self, session: Session) -> None:
        """The session is over, and every token that bears its name is dead when this returns. One that has ended lately
        is ended once more.

        Raises:
            Unavailable: try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.sessions_of(session.sub, only=session.sid)


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()

"""A user logs in on the page of this service; the browser gets a session."""

from authsvc.errors import InvalidCredentials, InvalidValue
from authsvc.flows.browser_sessions import BrowserSessions, OpenedSession
from authsvc.flows.password_login import PasswordLogin
from authsvc.models import User
from authsvc.protocol.addresses import Address
from authsvc.protocol.passwords import prepare


class HostedLogin:
    def __init__(self, password: PasswordLogin, browser_sessions: BrowserSessions) -> None:
        self._password = password
        self._sessions = browser_sessions

    async def log_in(
        self, email: str, password: str, address: Address | None, *, cookie: str | None, device: str | None = None
    ) -> OpenedSession:
        """Open a session in place of the one that the browser's cookie opens, if it opens one.

        Raises:
            InvalidCredentials: unknown address, wrong password, disabled user, and what no password can be: the same
                for all.
            TooManyAttempts: at this account, or from this address; also with the right password (LOG-08).
            Unavailable: too many logins at once, or the store cannot be asked.
        """
        with self._password.counted():
            return await self._log_in(email, password, address, cookie, device)

    async def _log_in(
        self, email: str, password: str, address: Address | None, cookie: str | None, device: str | None
    ) -> OpenedSession:
        self._password.check_room()
        try:
            prepared = prepare(password)
        except InvalidValue:
            raise InvalidCredentials from None

        async def open_session(user: User) -> OpenedSession | None:
            return await self._sessions.open(user, ("pwd",), device=device, address=address)

        old = await self._sessions.find(cookie)
        user, opened = await self._password.open(email, prepared, address, open_session)
        if old is not None:
            await self._sessions.replace(old, opened.session)
        await self._password.bring_up_to_date(user, prepared)
        return opened

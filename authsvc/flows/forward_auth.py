"""May this request pass? A gateway asks, about the access token that came with it, or the cookie of a session. It is
told what introspection would tell it, by the same rules, in the words of RFC 6750."""

from collections.abc import Awaitable, Callable

from authsvc.errors import InvalidClient, InvalidToken, MissingToken, UnknownGateway
from authsvc.flows.app_sessions import AppSessions
from authsvc.flows.client_auth import FindAddress
from authsvc.flows.coalescer import Answerable, Found
from authsvc.flows.introspection import Introspection
from authsvc.flows.recognition import Recognised
from authsvc.models import AccessToken, Session
from authsvc.protocol import forward_auth as rules
from authsvc.protocol import introspection
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.forward_auth import Requirement

FindSession = Callable[[], Awaitable[Session | None]]


class ForwardAuth:
    def __init__(self, introspection: Introspection, app_sessions: AppSessions) -> None:
        self._introspection = introspection
        self._app_sessions = app_sessions

    async def authorize(
        self, gateway: PresentedCredentials, text: str | None, requirement: Requirement, find_address: FindAddress
    ) -> AccessToken:
        """The live access token, which this gateway may see and which is good for what it asks.

        Raises:
            UnknownGateway: the gateway is nobody we know, or a public client. Never told as a fault of the user's.
            MissingToken: none came.
            InvalidToken: it is not live, not to be seen by this gateway, or not for this audience: all the same.
            InsufficientScope: it is, but without a scope that is asked for.
            TooManyAttempts: more than the gateway is granted.
            Unavailable: it cannot be known. Never a guess.
        """
        try:
            token = await self._introspection.find_live(gateway, text or "", requirement.audience, find_address)
        except InvalidClient as error:
            raise UnknownGateway from error
        if text is None:
            raise MissingToken("this needs an access token")
        if token is None:
            raise _not_valid()
        rules.check_scope(token, requirement)
        return token

    async def authorize_session(
        self,
        gateway: PresentedCredentials,
        find_session: FindSession,
        requirement: Requirement,
        find_address: FindAddress,
    ) -> AccessToken:
        """As `authorize`, by the session whose cookie came. It is looked for once the gateway is known.

        Raises:
            UnknownGateway, InsufficientScope, TooManyAttempts, Unavailable: as `authorize`.
            MissingToken: there is no such session.
            InvalidToken: it is worth nothing to this gateway, or for this audience.
        """
        try:
            caller = await self._introspection.admit(gateway, find_address)
        except InvalidClient as error:
            raise UnknownGateway from error
        session = await find_session()
        if session is None:
            raise MissingToken("this needs somebody who is logged in")
        token = await self._app_sessions.build_token(session)
        if token is None or not introspection.is_for(caller, token, requirement.audience):
            raise _not_valid()
        rules.check_scope(token, requirement)
        return token

    def begin(self, gateway: bytes, text: bytes, requirement: Requirement) -> Recognised | None:
        """As `authorize`, for a gateway that is known already, and without a wait (`Introspection.begin`). A token of
        which is still to be asked whether it is revoked, or None: this has to go the long way.

        Raises:
            InvalidToken: as `authorize`.
        """
        known = self._introspection.begin(gateway, text, requirement.audience)
        if isinstance(known, bytes):
            raise _not_valid()
        return known

    def ask(self, known: Recognised, answer: Answerable) -> None:
        """Whether it is revoked. What is found goes there, and from there to `end`."""
        self._introspection.ask(known, answer)

    def end(self, known: Recognised, found: Found, requirement: Requirement) -> AccessToken:
        """The token, some of whose marks were found to be set, or none.

        Raises:
            InvalidToken, InsufficientScope: as `authorize`.
        """
        if self._introspection.end(known, found) is introspection.INACTIVE:
            raise _not_valid()
        rules.check_scope(known.token, requirement)
        return known.token

    def give_up(self) -> None:
        """It could not be known whether a token is revoked."""
        self._introspection.give_up()


def _not_valid() -> InvalidToken:
    return InvalidToken("the access token is not valid here")

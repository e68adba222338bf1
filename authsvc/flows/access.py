"""The guard of this service's own API: a live access token that is meant for it (RFC 6750, RFC 9068 §4)."""

from collections.abc import Awaitable

from authsvc.errors import Forbidden, InvalidToken, MissingToken
from authsvc.flows.audit import Audit
from authsvc.flows.recognition import Recognition
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken
from authsvc.protocol.audit import Event


class Access:
    def __init__(self, recognition: Recognition, revocations: Revocations, audit: Audit, *, audience: str) -> None:
        self._recognition = recognition
        self._revocations = revocations
        self._audit = audit
        self._audience = audience

    async def authorize_user(self, text: str | None) -> AccessToken:
        """The live token of a user. Whoever has none is noted.

        Raises:
            MissingToken: none came.
            InvalidToken: it is not live, or not meant for this API.
            Forbidden: it is a client's own.
            Unavailable: it cannot be known.
        """
        return await self._noting(self._authorize_user(text, ends=False))

    async def authorize_ending(self, text: str | None) -> AccessToken:
        """As `authorize_user`, for what ends sessions. A dead token may be dead by an earlier call of the same caller,
        which was committed and could not be made known: before it is refused, what killed it is made known again (C5).

        Raises:
            MissingToken, InvalidToken, Forbidden: as `authorize_user`.
            Unavailable: it cannot be known, or not be made known everywhere.
        """
        return await self._noting(self._authorize_user(text, ends=True))

    async def _noting(self, authorizing: Awaitable[AccessToken]) -> AccessToken:
        try:
            return await authorizing
        except (MissingToken, InvalidToken, Forbidden) as error:
            self._audit.observe(self._audit.build(Event.AUTHZ_FAIL, reason=type(error).code or "missing_token"))
            raise

    async def _authorize_user(self, text: str | None, *, ends: bool) -> AccessToken:
        if text is None:
            raise MissingToken("this needs an access token")
        if not text:
            raise InvalidToken("the access token is empty")
        known = await self._recognition.recognise(text)
        if known is None or self._audience not in known.token.audience:
            raise InvalidToken("the access token is not valid here")
        if not await self._recognition.is_live(known):
            if ends:
                await self._revocations.make_known_again(*known.marks.all)
            raise InvalidToken("the access token is not valid here")
        if known.token.generations.user is None:
            raise Forbidden("this is for users, and the access token is a client's own")
        return known.token

"""The guard of this service's own API: a live access token that is meant for it (RFC 6750, RFC 9068 §4)."""

from authsvc.errors import Forbidden, InvalidToken
from authsvc.flows.recognition import Recognition
from authsvc.models import AccessToken


class Access:
    def __init__(self, recognition: Recognition, *, audience: str) -> None:
        self._recognition = recognition
        self._audience = audience

    async def authorize_user(self, text: str) -> AccessToken:
        """The live token of a user.

        Raises:
            InvalidToken: it is not live, or not meant for this API.
            Forbidden: it is a client's own.
            Unavailable: it cannot be known.
        """
        known = await self._recognition.recognise(text)
        if known is None or self._audience not in known.token.audience or not await self._recognition.is_live(known):
            raise InvalidToken("the access token is not valid here")
        if known.token.generations.user is None:
            raise Forbidden("this is for users, and the access token is a client's own")
        return known.token

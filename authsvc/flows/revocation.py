"""Kill a token (RFC 7009), or all there are. What kills a user's, a client's or a key's stands in their own stories."""

from datetime import UTC, datetime

from authsvc.errors import InvalidRequest
from authsvc.flows.client_auth import ClientAuth
from authsvc.flows.recognition import Recognition
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken
from authsvc.protocol import revocation as rules
from authsvc.protocol.client_auth import ClientCredentials
from authsvc.protocol.revocation import RevocationRequest


class Revocation:
    def __init__(self, client_auth: ClientAuth, recognition: Recognition, revocations: Revocations) -> None:
        self._client_auth = client_auth
        self._recognition = recognition
        self._revocations = revocations

    async def revoke(self, credentials: ClientCredentials, request: RevocationRequest) -> None:
        """When this returns, the token is dead on every worker, or never was one of the caller's (REV-04).

        Raises:
            InvalidClient: the caller is nobody we know.
            InvalidRequest: it is another client's token (REV-05); a public client is not told.
            Unavailable: the token may still be live; try again.
        """
        caller = (await self._client_auth.authenticate(credentials)).client
        known = await self._recognition.recognise_revocable(request.token)
        if known is None:
            return
        if rules.may_revoke(caller, known.token):
            await self._revoke(known.token)
        elif not caller.is_public:
            raise InvalidRequest("the token was issued to another client")

    async def revoke_as_operator(self, text: str) -> AccessToken | None:
        """Kill any token. None when it is none of ours, or has expired.

        Raises:
            Unavailable: the token may still be live; try again.
        """
        known = await self._recognition.recognise_revocable(text)
        if known is None:
            return None
        await self._revoke(known.token)
        return known.token

    async def revoke_everything(self) -> None:
        """Kill every token there is, of every client and user.

        Raises:
            Unavailable: try again.
        """
        async with self._revocations.revoke() as revoking:
            await revoking.everything()

    async def _revoke(self, token: AccessToken) -> None:
        async with self._revocations.revoke() as revoking:
            await revoking.token(token.jti, datetime.fromtimestamp(token.expires_at, UTC))

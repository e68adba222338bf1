"""Kill a token (RFC 7009), or all there are. What kills a user's, a client's or a key's stands in their own stories."""

from datetime import UTC, datetime

from authsvc.errors import InvalidRequest
from authsvc.flows.client_auth import ClientAuth, FindAddress
from authsvc.flows.families import Families
from authsvc.flows.limits import Limits
from authsvc.flows.recognition import Recognition
from authsvc.flows.revocations import Revocations
from authsvc.models import AccessToken, Client
from authsvc.protocol import jwt
from authsvc.protocol import revocation as rules
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.refresh import PREFIX as REFRESH_PREFIX
from authsvc.protocol.revocation import RevocationRequest


class Revocation:
    def __init__(
        self,
        client_auth: ClientAuth,
        limits: Limits,
        recognition: Recognition,
        families: Families,
        revocations: Revocations,
    ) -> None:
        self._client_auth = client_auth
        self._limits = limits
        self._recognition = recognition
        self._families = families
        self._revocations = revocations

    async def revoke(
        self, presented: PresentedCredentials, request: RevocationRequest, find_address: FindAddress
    ) -> None:
        """When this returns, the token is dead on every worker, or never was one of the caller's (REV-04).

        Raises:
            InvalidClient: the caller is nobody we know.
            TooManyAttempts: more than one client is granted (ATK-35); the token may still be live.
            InvalidRequest: the caller presents itself in two ways. Or it is another client's token (REV-05); a public
                client is not told.
            Unavailable: the token may still be live; try again.
        """
        caller = (await self._client_auth.authenticate(presented, find_address)).client
        self._limits.revocation(caller, find_address())
        if request.token.startswith(REFRESH_PREFIX):
            await self._revoke_refresh_token(caller, request.token)
            return
        known = await self._recognition.recognise_revocable(request.token)
        if known is None:
            return
        if rules.may_revoke(caller, known.token):
            await self._revoke(known.token)
        else:
            _refuse(caller)

    async def revoke_as_operator(self, text: str) -> AccessToken | None:
        """Kill any token. None when it is none of ours, or has expired.

        Raises:
            Unavailable: the token may still be live; try again.
        """
        known = await self._recognition.recognise_revocable(text)
        if known is None:
            # It may be unknown because its key was killed, by a call that could not be made known.
            if (kid := jwt.named_kid(text)) is not None:
                await self._revocations.make_known_again(rules.key_mark(kid))
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

    async def _revoke_refresh_token(self, caller: Client, text: str) -> None:
        """Its whole family ends, access tokens and all (REV-06)."""
        found = await self._families.recognise(text)
        if found is None:
            return
        if found[1].client_id == caller.client_id:
            await self._families.end(found[1])
        else:
            _refuse(caller)

    async def _revoke(self, token: AccessToken) -> None:
        async with self._revocations.revoke() as revoking:
            expires_at = datetime.fromtimestamp(token.expires_at, UTC)
            await revoking.token(token.jti, expires_at, sub=token.sub, client_id=token.client_id)


def _refuse(caller: Client) -> None:
    """Another client's token stays as it is. Who proved to be a client is told, who only said so is not (REV-05)."""
    if not caller.is_public:
        raise InvalidRequest("the token was issued to another client")

"""The refresh token grant (RFC 6749 §6)."""

from authsvc.errors import InvalidGrant
from authsvc.flows.client_copies import ClientCopy
from authsvc.flows.families import Families
from authsvc.flows.issuance import Authorization, authorization_of
from authsvc.protocol.scopes import granted_scope
from authsvc.protocol.token_request import TokenRequest


class RefreshTokenGrant:
    def __init__(self, families: Families) -> None:
        self._families = families

    async def authorize(self, client: ClientCopy, request: TokenRequest) -> Authorization:
        """Raises InvalidRequest, InvalidGrant, InvalidScope, InvalidTarget, Unavailable. A request that asks for too
        much consumes nothing (REF-06), nor does another client's (REF-01)."""
        found = await self._families.recognise(request.required_refresh_token())
        if found is None or found[1].client_id != client.client.client_id:
            raise InvalidGrant("the refresh token is not valid")
        token, grant = found
        scope = granted_scope(request.scope, grant.scope)
        audience = self._families.narrow(request.resources, grant.audience)
        grant = await self._families.rotate(token)
        # The refresh token keeps the original scope; an access token never gets more than the client has today.
        allowed = client.client.scope
        return authorization_of(
            grant,
            scope=tuple(each for each in scope if each in allowed),
            audience=audience,
            refresh_token=await self._families.refresh_token_of(grant),
        )

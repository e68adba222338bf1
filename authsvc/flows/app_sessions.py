"""What an app in a browser gets by the cookie of its session: access tokens of minutes, and nothing to keep."""

from authsvc.errors import NoSession
from authsvc.flows.client_copies import ClientCopies
from authsvc.flows.issuance import Authorization, Issuance
from authsvc.models import Session
from authsvc.protocol.resources import granted_resources
from authsvc.protocol.scopes import granted_scope
from authsvc.protocol.token_request import TokenResponse


class AppSessions:
    def __init__(self, issuance: Issuance, copies: ClientCopies, *, default_audience: str, api_audience: str) -> None:
        self._issuance = issuance
        self._copies = copies
        self._default_audience = default_audience
        self._api_audience = api_audience

    async def issue(self, session: Session, scope: tuple[str, ...] | None, resource: str | None) -> TokenResponse:
        """An access token of this live session's, as a login gives: it dies with the session, on every node at once.
        There is no refresh token; the cookie is what is kept.

        Raises:
            NoSession: its client is gone since it was found.
            InvalidScope: more than the client has.
            InvalidTarget: not a resource of the client's.
            Unavailable: the keys or the store cannot be asked.
        """
        copy = await self._copies.find(session.client_id)
        if copy is None or copy.client.disabled_at is not None:
            raise NoSession
        client = copy.client
        named = () if resource is None else (resource,)
        audience = granted_resources(named, client.audiences, self._default_audience)
        authorization = Authorization(
            sub=session.sub,
            client_id=session.client_id,
            scope=granted_scope(scope, client.scope),
            audience=audience or (self._default_audience, self._api_audience),
            generations=session.generations,
            sid=session.sid,
            authenticated_at=session.authenticated_at,
            methods=session.methods,
            ends_at=session.expires_at,
        )
        return await self._issuance.issue(authorization)

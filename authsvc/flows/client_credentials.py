"""The client credentials grant: a service asks in its own name (RFC 6749 §4.4)."""

from authsvc.errors import InvalidClient
from authsvc.flows.client_copies import ClientCopies, ClientCopy
from authsvc.flows.issuance import Authorization
from authsvc.flows.revocations import Revocations
from authsvc.models import Generations
from authsvc.protocol.resources import audience_of
from authsvc.protocol.revocation import EVERYTHING, client_mark
from authsvc.protocol.scopes import granted_scope
from authsvc.protocol.token_request import TokenRequest


class ClientCredentialsGrant:
    def __init__(self, copies: ClientCopies, revocations: Revocations, *, default_audience: str) -> None:
        self._copies = copies
        self._revocations = revocations
        self._default_audience = default_audience

    async def authorize(self, client: ClientCopy, request: TokenRequest) -> Authorization:
        """Raises InvalidScope, InvalidTarget, InvalidClient, Unavailable."""
        client_id = client.client.client_id
        mark = client_mark(client_id)
        found = await self._revocations.find(mark, EVERYTHING)
        if found.get(mark, 0) > client.generation:
            client = await self._reread(client_id)
        return self.build(client, request, everything=found.get(EVERYTHING, 0))

    def build(self, client: ClientCopy, request: TokenRequest, *, everything: int) -> Authorization:
        """What this request is granted under these numbers. Raises InvalidScope, InvalidTarget."""
        client_id = client.client.client_id
        return Authorization(
            sub=client_id,
            client_id=client_id,
            scope=granted_scope(request.scope, client.client.scope),
            audience=(audience_of(request.resources, client.client.audiences, self._default_audience),),
            generations=Generations(client=client.generation, everything=everything),
        )

    async def _reread(self, client_id: str) -> ClientCopy:
        """The client changed since its copy was made. It may be disabled or gone by now; if not, a token minted under
        the old number would be dead at birth."""
        copy = await self._copies.load(client_id)
        if copy is None or copy.client.disabled_at is not None:
            raise InvalidClient
        return copy

"""The token endpoint: the phases every grant shares; a grant supplies only what differs (RFC 6749 §3.2)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from authsvc.errors import AuthsvcError
from authsvc.flows.client_auth import ClientAuth, FindAddress
from authsvc.flows.client_copies import ClientCopy
from authsvc.flows.issuance import Authorization, Issuance
from authsvc.flows.limits import Limits
from authsvc.metrics import Metrics
from authsvc.models import GrantType
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.token_request import TokenRequest, TokenResponse, check_grant_allowed


class Grant(Protocol):
    """One grant type."""

    async def authorize(self, client: ClientCopy, request: TokenRequest) -> Authorization:
        """Decide what this request is granted.

        Raises:
            OAuthError: it is refused.
            Unavailable: it cannot be known.
        """
        ...


class Exchange:
    def __init__(
        self,
        client_auth: ClientAuth,
        limits: Limits,
        grants: Mapping[GrantType, Grant],
        issuance: Issuance,
        metrics: Metrics,
    ) -> None:
        self._client_auth = client_auth
        self._limits = limits
        self._grants = grants
        self._issuance = issuance
        self._metrics = metrics

    @contextmanager
    def counted(self, grant_type: str | None) -> Iterator[None]:
        """Count what happens in the block as one token request of this grant type."""
        try:
            yield
        except AuthsvcError as error:
            self._metrics.token_request(grant_type or "", error.code)
            raise
        self._metrics.token_request(grant_type or "", "issued")

    async def authenticate(self, presented: PresentedCredentials, find_address: FindAddress) -> ClientCopy:
        """First of all, who is asking (TOK-03): nobody else learns what else is wrong with the request.

        Raises:
            InvalidRequest, InvalidClient, Unavailable.
            TooManyAttempts: more requests than one client is granted.
        """
        client = await self._client_auth.authenticate(presented, find_address)
        self._limits.token(client.client, find_address())
        return client

    async def exchange(self, client: ClientCopy, request: TokenRequest) -> TokenResponse:
        """Exchange a grant for tokens.

        Raises:
            UnauthorizedClient: the client may not use this grant type.
            OAuthError: the grant refuses.
            Unavailable: it cannot be known.
        """
        check_grant_allowed(client.client, request.grant_type)
        authorization = await self._grants[request.grant_type].authorize(client, request)
        return await self._issuance.issue(authorization)

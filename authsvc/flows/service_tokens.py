"""Tokens of services (RFC 6749 §4.4) without a wait, for those who have proven themselves before: what they are granted
is known here, but for the numbers, which are asked for as those of an introspection are."""

from dataclasses import dataclass

from authsvc.errors import AuthsvcError, OAuthError
from authsvc.flows.client_auth import ClientAuth
from authsvc.flows.client_copies import ClientCopy
from authsvc.flows.client_credentials import ClientCredentialsGrant
from authsvc.flows.coalescer import Answerable, Found
from authsvc.flows.issuance import Issuance
from authsvc.flows.limits import Limits
from authsvc.flows.revocations import Revocations
from authsvc.metrics import Metrics
from authsvc.models import GrantType
from authsvc.protocol.jwt import Signer
from authsvc.protocol.revocation import EVERYTHING, client_mark, key_mark
from authsvc.protocol.token_request import TokenRequest, TokenResponse

_GRANT = GrantType.CLIENT_CREDENTIALS


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that is granted, if the numbers allow it."""

    client: ClientCopy
    request: TokenRequest
    signer: Signer


class ServiceTokens:
    def __init__(
        self,
        client_auth: ClientAuth,
        limits: Limits,
        grant: ClientCredentialsGrant,
        issuance: Issuance,
        revocations: Revocations,
        metrics: Metrics,
    ) -> None:
        self._client_auth = client_auth
        self._limits = limits
        self._grant = grant
        self._issuance = issuance
        self._revocations = revocations
        self._metrics = metrics

    def begin(self, authorization: bytes, request: TokenRequest) -> Begun | None:
        """None: this has to go the long way, through `Exchange`, and nothing has been done."""
        if request.grant_type is not _GRANT:
            return None
        client, signer = self._client_auth.find_proven(authorization), self._issuance.find_signer()
        if client is None or signer is None or client.client.is_public or _GRANT not in client.client.grant_types:
            return None
        try:
            self._grant.build(client, request, everything=0)
        except OAuthError:
            return None
        return Begun(client, request, signer) if self._limits.admits_token(client.client) else None

    def ask(self, begun: Begun, answer: Answerable) -> None:
        """For the numbers, and whether the key has been killed. What is found goes there, and from there to `end`."""
        self._revocations.ask(
            (client_mark(begun.client.client.client_id), EVERYTHING, key_mark(begun.signer.kid)), answer
        )

    def end(self, begun: Begun, found: Found) -> TokenResponse | None:
        """The token. None: client or key have changed, which has to be looked at on the long way."""
        client = begun.client
        if key_mark(begun.signer.kid) in found:
            return None
        if found.get(client_mark(client.client.client_id), 0) > client.generation:
            return None
        granted = self._grant.build(client, begun.request, everything=found.get(EVERYTHING, 0))
        response = self._issuance.issue_at_once(granted, begun.signer)
        self._metrics.token_request(_GRANT, "issued")
        return response

    def give_up(self, error: AuthsvcError) -> None:
        """The numbers cannot be known."""
        self._metrics.token_request(_GRANT, error.code)

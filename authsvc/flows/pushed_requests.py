"""Clients push what they are going to ask for, and are told at once what is wrong with it (RFC 9126)."""

from dataclasses import dataclass
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_secret
from authsvc.errors import ExpiredRequest, InvalidRequest
from authsvc.flows.client_auth import ClientAuth, FindAddress
from authsvc.flows.limits import Limits
from authsvc.flows.request_objects import RequestObjects
from authsvc.models import Client
from authsvc.protocol import id_token
from authsvc.protocol.authorization import parse_request
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.forms import Form
from authsvc.protocol.pushed_request import LIFE, URN, check_pushed, find_pushed_recipient, of_client
from authsvc.protocol.sealed_request import PARAMETERS, WaitingRequest, fits
from authsvc.tables import pushed_requests
from authsvc.tables.db import Database, Queries


@dataclass(frozen=True, slots=True)
class Duties:
    """What every client has to do, whatever is set for it alone."""

    push: bool = False
    sign: bool = False

    def check(self, client: Client, *, is_pushed: bool, is_signed: bool) -> None:
        """Raises InvalidRequest: the request came in another way than this client has to send it (PAR-06, JAR-05)."""
        if not is_pushed and (self.push or client.require_pushed_request):
            raise InvalidRequest("the request has to be pushed")
        if not is_signed and (self.sign or client.require_signed_request):
            raise InvalidRequest("the request has to be signed")


class PushedRequests:
    def __init__(
        self,
        db: Database,
        client_auth: ClientAuth,
        limits: Limits,
        objects: RequestObjects,
        clock: Clock,
        entropy: Entropy,
        *,
        duties: Duties,
        default_audience: str,
    ) -> None:
        self._db = db
        self._client_auth = client_auth
        self._limits = limits
        self._objects = objects
        self._clock = clock
        self._entropy = entropy
        self._duties = duties
        self._default_audience = default_audience

    async def push(self, presented: PresentedCredentials, form: Form, find_address: FindAddress) -> str:
        """Take a request that its user will come with, and say by which name. Everything is looked at now that can be
        known without its user.

        Raises:
            InvalidClient: the caller is nobody we know.
            TooManyAttempts: more requests than one client is granted.
            OAuthError: there is something wrong with the request (PAR-02).
            Unavailable: it cannot be known, or not be kept.
        """
        client = (await self._client_auth.authenticate(presented, find_address)).client
        self._limits.pushed_request(client, find_address())
        check_pushed(form)
        signed = form.one("request")
        asked = form if signed is None else await self._objects.open(signed, client)
        asked = of_client(asked, client.client_id)
        self._duties.check(client, is_pushed=True, is_signed=signed is not None)
        recipient = find_pushed_recipient(asked, client)
        parse_request(
            asked, client, recipient, default_audience=self._default_audience, acr_offered=id_token.ACR_VALUES
        )
        request_uri, now = mint_secret(self._entropy, URN), self._clock.now()
        if not fits(WaitingRequest(asked, now, request_uri)):
            raise InvalidRequest("the request is too long")
        await pushed_requests.insert_request(
            self._db,
            digest=_digest(request_uri),
            client_id=client.client_id,
            parameters=asked.pick(PARAMETERS),
            is_signed=signed is not None,
            now=now,
            expires_at=now + LIFE,
        )
        return request_uri

    async def find(self, request_uri: str, client_id: str) -> WaitingRequest:
        """What this client has pushed, for its user who is here with it.

        Raises:
            ExpiredRequest: there is no such request of the client's, or no more (PAR-04).
            Unavailable.
        """
        now = self._clock.now()
        found = await pushed_requests.find_request(self._db, _digest(request_uri), client_id=client_id, now=now)
        if found is None:
            raise ExpiredRequest("the request_uri is unknown, has expired, or was used before")
        parameters, is_signed = found
        return WaitingRequest(Form(parameters), now, request_uri, is_signed)

    async def consume(self, db: Queries, request: WaitingRequest, client_id: str) -> None:
        """The request gets its one answer; of one that was not pushed nothing is remembered.

        Raises:
            ExpiredRequest: it has got one already.
            Unavailable.
        """
        if request.request_uri is None:
            return
        digest = _digest(request.request_uri)
        if not await pushed_requests.consume_request(db, digest, client_id=client_id, now=self._clock.now()):
            raise ExpiredRequest("the request was answered before")


def _digest(request_uri: str) -> bytes:
    return sha256(request_uri.encode()).digest()

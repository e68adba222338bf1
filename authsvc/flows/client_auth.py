"""Who is calling? The same answer for every endpoint that a client calls (RFC 6749 §2.3)."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.errors import InvalidClient
from authsvc.flows.audit import Audit
from authsvc.flows.client_assertions import ClientAssertions
from authsvc.flows.client_copies import ClientCopies, ClientCopy
from authsvc.flows.limits import Limits
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.client_auth import (
    ClientCredentials,
    PresentedCredentials,
    check_authentication,
    live_digests,
)

FindAddress = Callable[[], Address | None]
"""Where the request comes from, worked out only when somebody wants to know."""
MAX_PROOFS = 10_000


class ClientAuth:
    def __init__(
        self, copies: ClientCopies, assertions: ClientAssertions, limits: Limits, audit: Audit, clock: Clock
    ) -> None:
        self._copies = copies
        self._assertions = assertions
        self._limits = limits
        self._audit = audit
        self._clock = clock
        self._proofs: dict[bytes, ClientCopy] = {}

    async def authenticate(self, presented: PresentedCredentials, find_address: FindAddress) -> ClientCopy:
        """The authenticated client, which may be a public one that only named itself.

        Raises:
            InvalidRequest: it presents itself in two ways.
            InvalidClient: unknown, wrong, disabled: all the same.
            TooManyAttempts: as that, once too often. Who has the right secret is let in all the same: it cannot be
                guessed (256 random bits), and nobody is to be kept out by what others send under their name.
            Unavailable: it cannot be known.
        """
        digest = presented.digest()
        if digest is not None and (proven := self._proofs.get(digest)) is not None and self._copies.is_current(proven):
            return proven
        credentials = presented.read()
        with suppress(InvalidClient):  # the copy may be older than the client, or than its newest secret or key
            copy = await self._check(await self._copies.find(credentials.client_id), credentials)
            self._remember(digest, copy)
            return copy
        newer = await self._copies.find_newer(credentials.client_id)
        try:
            return await self._check(newer, credentials)
        except InvalidClient:
            known = None if newer is None else newer.client.client_id
            self._audit.observe(self._audit.build(Event.AUTHN_LOGIN_FAIL, client_id=known, method="client"))
            self._limits.failed_authentication(credentials.client_id, find_address())
            raise

    def find_proven(self, authorization: bytes) -> ClientCopy | None:
        """The client that has proven itself by this very Authorization header before, and has not changed since."""
        proven = self._proofs.get(sha256(authorization).digest())
        return proven if proven is not None and self._copies.is_current(proven) else None

    def _remember(self, digest: bytes | None, copy: ClientCopy) -> None:
        """That this header is right for this copy, and for no later one: a client that changes has another. While an
        old secret still works nothing is remembered: its time may be over before the copy is."""
        if digest is None or len(live_digests(copy.client, self._clock.now())) > 1:
            return
        self._proofs.pop(digest, None)
        if len(self._proofs) >= MAX_PROOFS:
            del self._proofs[next(iter(self._proofs))]
        self._proofs[digest] = copy

    async def _check(self, copy: ClientCopy | None, credentials: ClientCredentials) -> ClientCopy:
        if copy is not None and credentials.assertion is not None:
            await self._assertions.use(copy.client, credentials.assertion)
            return copy
        check_authentication(None if copy is None else copy.client, credentials, self._clock.now())
        if copy is None:
            raise InvalidClient
        return copy

    async def authenticate_confidential(self, presented: PresentedCredentials, find_address: FindAddress) -> ClientCopy:
        """As `authenticate`, for what a public client may not do at all.

        Raises:
            InvalidRequest, InvalidClient, TooManyAttempts, Unavailable: as `authenticate`.
        """
        copy = await self.authenticate(presented, find_address)
        if copy.client.is_public:
            raise InvalidClient
        return copy

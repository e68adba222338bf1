"""Who is calling? The same answer for every endpoint that a client calls (RFC 6749 §2.3)."""

from contextlib import suppress

from authsvc.clock import Clock
from authsvc.errors import InvalidClient
from authsvc.flows.audit import Audit
from authsvc.flows.client_copies import ClientCopies, ClientCopy
from authsvc.flows.limits import Limits
from authsvc.protocol.addresses import Address
from authsvc.protocol.audit import Event
from authsvc.protocol.client_auth import ClientCredentials, check_authentication


class ClientAuth:
    def __init__(self, copies: ClientCopies, limits: Limits, audit: Audit, clock: Clock) -> None:
        self._copies = copies
        self._limits = limits
        self._audit = audit
        self._clock = clock

    async def authenticate(self, credentials: ClientCredentials, address: Address | None) -> ClientCopy:
        """The authenticated client, which may be a public one that only named itself.

        Raises:
            InvalidClient: unknown, wrong, disabled: all the same.
            TooManyAttempts: as that, once too often. Who has the right secret is let in all the same: it cannot be
                guessed (256 random bits), and nobody is to be kept out by what others send under their name.
            Unavailable: it cannot be known.
        """
        with suppress(InvalidClient):  # the copy may be older than the client, or than its newest secret
            return self._check(await self._copies.find(credentials.client_id), credentials)
        copy = await self._copies.find_newer(credentials.client_id)
        try:
            return self._check(copy, credentials)
        except InvalidClient:
            known = None if copy is None else copy.client.client_id
            self._audit.observe(self._audit.build(Event.AUTHN_LOGIN_FAIL, client_id=known, method="client"))
            self._limits.failed_authentication(credentials.client_id, address)
            raise

    def _check(self, copy: ClientCopy | None, credentials: ClientCredentials) -> ClientCopy:
        check_authentication(None if copy is None else copy.client, credentials, self._clock.now())
        if copy is None:
            raise InvalidClient
        return copy

    async def authenticate_confidential(self, credentials: ClientCredentials, address: Address | None) -> ClientCopy:
        """As `authenticate`, for what a public client may not do at all.

        Raises:
            InvalidClient, TooManyAttempts, Unavailable: as `authenticate`.
        """
        copy = await self.authenticate(credentials, address)
        if copy.client.is_public:
            raise InvalidClient
        return copy

"""Clients that prove themselves by what they have signed: each assertion is good once."""

from authsvc.clock import Clock
from authsvc.errors import InvalidClient
from authsvc.flows.client_keys import ClientKeys
from authsvc.models import Client
from authsvc.protocol.client_assertion import ClientAssertion, algorithms_of, check_assertion
from authsvc.tables import used_assertions
from authsvc.tables.db import Database


class ClientAssertions:
    def __init__(self, db: Database, keys: ClientKeys, clock: Clock, *, issuer: str) -> None:
        self._db = db
        self._keys = keys
        self._clock = clock
        self._issuer = issuer

    async def use(self, client: Client, assertion: ClientAssertion) -> None:
        """Take this assertion for a proof of this client. Only one that is right in everything is used up by it.

        Raises:
            InvalidClient: it is none, or it has been here before (CLA-12).
            Unavailable: it cannot be known.
        """
        single_use = check_assertion(assertion, client, self._issuer, self._clock.now())
        if not await self._keys.has_signed(client, assertion.jwt, algorithms_of(client)):
            raise InvalidClient
        if not await used_assertions.use_assertion(self._db, single_use.digest, single_use.expires_at):
            raise InvalidClient

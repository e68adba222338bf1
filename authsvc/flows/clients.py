"""What operators do with clients. A secret is shown once and kept as a digest."""

from hashlib import sha256

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id, mint_secret
from authsvc.errors import NotFound
from authsvc.flows.revocations import Revocations
from authsvc.models import Client
from authsvc.protocol.clients import ClientRegistration, build_client
from authsvc.tables import clients
from authsvc.tables.db import Database


class Clients:
    def __init__(self, db: Database, revocations: Revocations, clock: Clock, entropy: Entropy) -> None:
        self._db = db
        self._revocations = revocations
        self._clock = clock
        self._entropy = entropy

    async def create(self, registration: ClientRegistration) -> tuple[Client, str | None]:
        """A new client, and its secret if it is confidential: this is the only time that anybody sees it.

        Raises:
            InvalidValue: the registration contradicts itself.
            Unavailable: the store cannot be asked.
        """
        secret = None if registration.public else mint_secret(self._entropy, "as_")
        digests = () if secret is None else (sha256(secret.encode()).digest(),)
        client = build_client(
            registration, client_id=mint_id(self._entropy, "cli_"), secret_digests=digests, now=self._clock.now()
        )
        await clients.insert_client(self._db, client)
        return client, secret

    async def list_all(self) -> list[Client]:
        return await clients.list_clients(self._db)

    async def disable(self, client_id: str) -> None:
        """Every token it was given is dead when this returns. Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await clients.update_disabled(revoking.tx, client_id, self._clock.now()):
                raise NotFound("there is no such client")
            await revoking.client(client_id)

    async def enable(self, client_id: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await clients.update_disabled(revoking.tx, client_id, None):
                raise NotFound("there is no such client")
            # The number is raised so that copies of the disabled row, up to a second old, are known to be stale.
            await revoking.client(client_id)

    async def rotate_secret(self, client_id: str) -> str:
        """A new secret in place of the old one. Raises NotFound, Unavailable."""
        secret = mint_secret(self._entropy, "as_")
        client = await clients.find_client(self._db, client_id)
        if client is None or client.is_public:
            raise NotFound("there is no such client with a secret")
        await clients.update_secrets(self._db, client_id, (sha256(secret.encode()).digest(),))
        return secret

    async def delete(self, client_id: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            await revoking.client(client_id)
            if not await clients.delete_client(revoking.tx, client_id):
                raise NotFound("there is no such client")

    async def revoke_tokens(self, client_id: str) -> None:
        """Kill every token the client was given. Raises NotFound, Unavailable."""
        if await clients.find_client(self._db, client_id) is None:
            raise NotFound("there is no such client")
        async with self._revocations.revoke() as revoking:
            await revoking.client(client_id)

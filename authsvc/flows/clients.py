"""What operators do with clients. A secret is shown once and kept as a digest."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id, mint_secret
from authsvc.errors import InvalidValue, NotFound, Unavailable
from authsvc.flows.audit import Audit
from authsvc.flows.revocations import Revocations
from authsvc.flows.sectors import Sectors
from authsvc.models import AuthMethod, Client
from authsvc.protocol.audit import Event
from authsvc.protocol.clients import ClientChanges, ClientRegistration, build_client, change_client
from authsvc.protocol.sectors import sector_of
from authsvc.tables import clients
from authsvc.tables.db import Database

ATTEMPTS = 5
"""At deleting a client that others enable meanwhile, or changing one that others change."""
MAX_OVERLAP = timedelta(days=30)
"""A secret that was rotated out for a reason should not live on for long."""


@dataclass(frozen=True, slots=True)
class RotatedSecret:
    """The new secret, and until when the old one goes on; None: it has ended."""

    secret: str = field(repr=False)
    old_expires_at: datetime | None


class Clients:
    def __init__(
        self, db: Database, revocations: Revocations, sectors: Sectors, audit: Audit, clock: Clock, entropy: Entropy
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._sectors = sectors
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, registration: ClientRegistration) -> tuple[Client, str | None]:
        """A new client, and its secret if it proves itself by one: this is the only time that anybody sees it.

        Raises:
            InvalidValue: the registration contradicts itself, or its sector does not know it.
            Unavailable: the store cannot be asked.
        """
        by_keys = registration.auth_method is AuthMethod.PRIVATE_KEY_JWT
        secret = None if registration.public or by_keys else mint_secret(self._entropy, "as_")
        digests = () if secret is None else (sha256(secret.encode()).digest(),)
        client = build_client(
            registration, client_id=mint_id(self._entropy, "cli_"), secret_digests=digests, now=self._clock.now()
        )
        await self._sectors.check(client)
        async with self._db.transaction() as tx:
            await clients.insert_client(tx, client)
            await self._audit.record(tx, self._audit.build(Event.CLIENT_CREATED, client_id=client.client_id))
        return client, secret

    async def get(self, client_id: str) -> Client:
        """Raises NotFound, Unavailable."""
        client = await clients.find_client(self._db, client_id)
        if client is None:
            raise NotFound("there is no such client")
        return client

    async def list_all(self) -> list[Client]:
        return await clients.list_clients(self._db)

    async def update(self, client_id: str, changes: ClientChanges, *, change_subjects: bool = False) -> Client:
        """Change what is named. Every worker goes by it within about a second, for refresh tokens that are out too;
        access tokens that are out stay what they are.

        With `change_subjects` the client may come to call its users something else. It does not know them any more
        then, so every token that it was given is dead when this returns: none is refreshed into one for a stranger.

        Raises:
            NotFound: there is no such client.
            InvalidValue: it would contradict itself; its sector does not know it; or its users would be called
                something else, and nobody said that this is meant.
            Unavailable: the store cannot be asked; or tokens may still be live: try again.
        """
        for _ in range(ATTEMPTS):
            seen = await self.get(client_id)
            wanted = change_client(seen, changes)
            if sector_of(wanted) != sector_of(seen) and not change_subjects:
                raise InvalidValue(
                    "this would change what the client calls its users, and end its tokens: say --change-subjects if "
                    "that is meant",
                    pointer="/subject_type",
                )
            if _of_sector(wanted) != _of_sector(seen):
                await self._sectors.check(wanted)
            async with self._revocations.revoke() as revoking:
                client = await clients.find_client_for_update(revoking.tx, client_id)
                if client is None or _of_sector(client) != _of_sector(seen):
                    continue  # others change it, too
                changed = change_client(client, changes)
                await clients.update_client(revoking.tx, changed)
                revoking.note(Event.CLIENT_UPDATED, client_id=client_id, changed=sorted(changes))
                if change_subjects:  # also of who tries again, and changes nothing any more (C5)
                    await revoking.client(client_id)
            return changed
        raise Unavailable("somebody changes the client again and again")

    async def disable(self, client_id: str) -> None:
        """Every token it was given is dead when this returns. Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await clients.update_disabled(revoking.tx, client_id, revoking.now):
                raise NotFound("there is no such client")
            await revoking.client(client_id)
            revoking.note(Event.CLIENT_UPDATED, client_id=client_id, disabled=True)

    async def enable(self, client_id: str) -> None:
        """Raises NotFound, Unavailable."""
        async with self._revocations.revoke() as revoking:
            if not await clients.update_disabled(revoking.tx, client_id, None):
                raise NotFound("there is no such client")
            # The number is raised so that copies of the disabled row are known to be stale.
            await revoking.client(client_id)
            revoking.note(Event.CLIENT_UPDATED, client_id=client_id, disabled=False)

    async def rotate_secret(self, client_id: str, *, keep_old_for: timedelta) -> RotatedSecret:
        """A new secret. It authenticates everywhere when this returns; so does the old one until its time is over, but
        never a third (CLA-16). With nothing to keep the old one is out within about a second.

        Raises:
            InvalidValue: the old one would be kept for too long.
            NotFound: there is no such client, or none that proves itself by a secret.
            Unavailable: the store cannot be asked.
        """
        if not timedelta(0) <= keep_old_for <= MAX_OVERLAP:
            raise InvalidValue(f"an old secret is kept for at most {MAX_OVERLAP.days} days")
        now = self._clock.now()
        rotated = RotatedSecret(mint_secret(self._entropy, "as_"), now + keep_old_for if keep_old_for else None)
        digest = sha256(rotated.secret.encode()).digest()
        async with self._db.transaction() as tx:
            if not await clients.rotate_secret(tx, client_id, digest, now=now, old_expires_at=rotated.old_expires_at):
                raise NotFound("there is no such client with a secret")
            overlap = int(keep_old_for.total_seconds())
            event = self._audit.build(Event.CLIENT_SECRET_ROTATED, client_id=client_id, overlap_seconds=overlap)
            await self._audit.record(tx, event)
        return rotated

    async def drop_old_secret(self, client_id: str) -> None:
        """End a rotation: within about a second the newest secret alone authenticates. Raises NotFound, Unavailable."""
        async with self._db.transaction() as tx:
            if not await clients.drop_old_secret(tx, client_id):
                raise NotFound("there is no such client with a secret")
            event = self._audit.build(Event.CLIENT_UPDATED, client_id=client_id, changed=["old_secret"])
            await self._audit.record(tx, event)

    async def delete(self, client_id: str) -> None:
        """Every token dead first, and gone when that is known: as for users (`flows/users.py`).

        Raises:
            NotFound: there is no such client.
            Unavailable: try again; until then the client may be disabled only.
        """
        for _ in range(ATTEMPTS):
            await self.disable(client_id)
            async with self._db.transaction() as tx:
                if await clients.delete_client(tx, client_id):
                    await self._audit.record(tx, self._audit.build(Event.CLIENT_DELETED, client_id=client_id))
                    return
        raise Unavailable("somebody enables the client again and again")

    async def revoke_tokens(self, client_id: str) -> None:
        """Kill every token the client was given. Raises NotFound, Unavailable."""
        if await clients.find_client(self._db, client_id) is None:
            raise NotFound("there is no such client")
        async with self._revocations.revoke() as revoking:
            await revoking.client(client_id)


def _of_sector(client: Client) -> tuple[object, ...]:
    """All that a sector is made of."""
    return client.subject_type, client.sector_identifier_uri, set(client.redirect_uris)

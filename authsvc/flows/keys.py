"""Signing keys: published, then signing, then verifying only, or killed. Each worker holds a ring of them in memory."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.errors import NotFound, Unavailable
from authsvc.flows.revocations import Revocations
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import SigningKey
from authsvc.protocol import keys as rules
from authsvc.protocol.jwt import Signer, Verifier
from authsvc.protocol.keys import GeneratedKey, KeyState
from authsvc.tables import signing_keys
from authsvc.tables.db import Database

SETTLING = timedelta(seconds=5)
"""A key signs no sooner than this after it was published: by then every worker, which reads the keys once a second,
knows it. So an unknown kid is nobody's, and whoever says so asks no store."""
MAX_RING_AGE = 3.0
"""Seconds. Of a ring that is older, the worker cannot say that it knows every key that signs. Less than the settling,
for the clocks of two nodes differ a little."""
RETIREMENT = timedelta(hours=1, minutes=5)
"""How long a key goes on verifying when it signs no more: the longest life of a token, and some."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What one worker knows of the keys at one instant."""

    read_at: float
    able: Signer | None
    verifiers: Mapping[str, Verifier]
    jwks: bytes
    etag: str

    @property
    def signer(self) -> Signer:
        """What signs.

        Raises:
            Unavailable: nothing does, between the kill of the last key that did and the settling of the next.
        """
        if self.able is None:
            raise Unavailable("no key signs at this moment")
        return self.able


class SigningKeys:
    def __init__(
        self,
        db: Database,
        revocations: Revocations,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        master_key: bytes,
        algorithm: str,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._master_key = master_key
        self._algorithm = algorithm
        self._ring: KeyRing | None = None
        self._signers: dict[str, Signer] = {}
        self._verifiers: dict[str, Verifier] = {}

    @property
    def ring(self) -> KeyRing:
        """The keys as of the last refresh. Goes on answering while PostgreSQL is away.

        Raises:
            Unavailable: they have never been read.
        """
        if self._ring is None:
            raise Unavailable("the signing keys are not loaded yet")
        return self._ring

    async def refresh(self) -> None:
        """Read the keys; make a current and a next one where they are missing.

        Raises:
            Unavailable: PostgreSQL cannot be asked; the ring stays as it is.
            ConfigurationError: the master key does not open them.
        """
        read_at = self._clock.monotonic()
        keys = await signing_keys.list_keys(self._db)
        if self._lacks(keys):
            await self._complete()
            read_at = self._clock.monotonic()
            keys = await signing_keys.list_keys(self._db)
        if self._ring is None or self._ring.read_at <= read_at:
            self._adopt(keys, read_at)

    async def catch_up(self) -> bool:
        """Read the keys, if those at hand are so old that a key unknown here may be signing by now. Whether they were.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if self._clock.monotonic() - self.ring.read_at < MAX_RING_AGE:
            return False
        await self.refresh()
        return True

    async def list_all(self) -> list[tuple[SigningKey, KeyState]]:
        """Every key that verifies, with its state."""
        now = self._clock.now()
        keys = rules.published(await signing_keys.list_keys(self._db), now)
        return [(key, rules.state_of(key, keys, now)) for key in keys]

    async def rotate(self) -> str:
        """Let the next key sign, and publish a new next one. What the old one signed stays valid. The new signer's kid.

        A next key that was published only a moment ago begins to sign a moment later.
        """
        fresh = await self._generate()
        async with self._db.transaction() as tx:
            await signing_keys.lock_keys(tx)
            now = self._clock.now()
            keys = await signing_keys.list_keys(tx)
            next_key = self._next_of(keys)
            if next_key is None:
                raise NotFound("there is no next key: start the service once, it makes one")
            for key in keys:
                if key.kid != next_key.kid and key.verifies_until is None:
                    await signing_keys.update_verifies_until(tx, key.kid, now + SETTLING + RETIREMENT)
            await signing_keys.update_signs_from(tx, next_key.kid, max(now, next_key.created_at + SETTLING))
            await signing_keys.insert_key(tx, self._row(fresh, now))
        with suppress(Unavailable):  # the job reads them when PostgreSQL is back: this is done
            await self.refresh()
        log.info("signing key rotated", kid=next_key.kid)
        return next_key.kid

    async def kill(self, kid: str) -> None:
        """Remove a key at once: every token it signed is dead when this returns. The next key takes over if it signed:
        at once too, unless it was published only a moment ago.

        Raises:
            NotFound: no such key.
        """
        fresh = await self._generate()
        async with self._revocations.revoke() as revoking:
            tx = revoking.tx
            await signing_keys.lock_keys(tx)
            if not await signing_keys.delete_key(tx, kid):
                raise NotFound("there is no such signing key")
            await revoking.key(kid)
            keys = await signing_keys.list_keys(tx)
            next_key = self._next_of(keys)
            if next_key is not None and self._current_of(keys) is None:
                begins = max(self._clock.now(), next_key.created_at + SETTLING)
                await signing_keys.update_signs_from(tx, next_key.kid, begins)
                next_key = None
            if next_key is None:
                await signing_keys.insert_key(tx, self._row(fresh, self._clock.now()))
        with suppress(Unavailable):  # the job reads them when PostgreSQL is back: this is done
            await self.refresh()
        log.warning("signing key killed", kid=kid)

    # --- Rows

    def _next_of(self, keys: list[SigningKey]) -> SigningKey | None:
        return next((key for key in self._kept(keys) if key.signs_from is None), None)

    def _current_of(self, keys: list[SigningKey]) -> SigningKey | None:
        return next((key for key in self._kept(keys) if key.signs_from is not None), None)

    def _kept(self, keys: list[SigningKey]) -> list[SigningKey]:
        return [key for key in keys if key.algorithm == self._algorithm and key.verifies_until is None]

    def _lacks(self, keys: list[SigningKey]) -> bool:
        return self._next_of(keys) is None or self._current_of(keys) is None

    async def _complete(self) -> None:
        current, following = await self._generate(), await self._generate()
        async with self._db.transaction() as tx:
            # Twenty processes may start at once: one of them makes the set, the others find it made.
            await signing_keys.lock_keys(tx)
            keys = await signing_keys.list_keys(tx)
            now = self._clock.now()
            if (signing := rules.signer_of(keys, self._algorithm, now)) is not None:
                self._open(signing)  # a wrong master key is refused before anything is sealed with it
            # The first keys of all are born settled, having nobody to wait for; a newly selected algorithm lets the old
            # one sign on.
            born = now if keys else now - SETTLING
            if self._current_of(keys) is None:
                await signing_keys.insert_key(tx, self._row(current, born, signs_from=now + SETTLING if keys else born))
            if self._next_of(keys) is None:
                await signing_keys.insert_key(tx, self._row(following, born))

    async def _generate(self) -> GeneratedKey:
        return await asyncio.to_thread(rules.generate, self._algorithm)

    def _row(self, key: GeneratedKey, created_at: datetime, signs_from: datetime | None = None) -> SigningKey:
        nonce = self._entropy.bytes(rules.NONCE_BYTES)
        return SigningKey(
            kid=key.kid,
            algorithm=key.algorithm,
            public_jwk=key.public_jwk,
            sealed_private=rules.seal_private(self._master_key, key.kid, key.private_bytes, nonce),
            master_key_id=rules.master_key_id(self._master_key),
            created_at=created_at,
            signs_from=signs_from,
            verifies_until=None,
        )

    # --- The ring

    def _adopt(self, keys: list[SigningKey], read_at: float) -> None:
        now = self._clock.now()
        keys = list(rules.published(keys, now))
        signing = rules.signer_of(keys, self._algorithm, now)
        self._verifiers = {k.kid: self._verifiers.get(k.kid) or Verifier.from_jwk(k.public_jwk) for k in keys}
        self._signers = {key.kid: self._signers.get(key.kid) or self._open(key) for key in (signing,) if key}
        jwks = msgspec.json.encode(rules.build_jwks(keys), order="deterministic")
        self._ring = KeyRing(
            read_at=read_at,
            able=self._signers[signing.kid] if signing else None,
            verifiers=self._verifiers,
            jwks=jwks,
            etag=f'"{sha256(jwks).hexdigest()[:32]}"',
        )
        self._metrics.signing_keys(
            (key.algorithm, rules.state_of(key, keys, now), key.created_at.timestamp()) for key in keys
        )

    def _open(self, key: SigningKey) -> Signer:
        return Signer.from_private_bytes(key.kid, rules.open_private(self._master_key, key.kid, key.sealed_private))

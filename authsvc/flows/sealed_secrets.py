"""A random secret that all workers share: made by whoever needs it first, kept encrypted, never changed."""

from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.errors import Unavailable
from authsvc.models import SealedRow
from authsvc.protocol.keys import NONCE_BYTES
from authsvc.protocol.master_key import MasterKey
from authsvc.tables import sealed_secrets
from authsvc.tables.db import Database

SECRET_BYTES = 32


class SealedSecret:
    def __init__(self, db: Database, clock: Clock, entropy: Entropy, *, name: str, master_key: MasterKey) -> None:
        self._db = db
        self._clock = clock
        self._entropy = entropy
        self._name = name
        self._master_key = master_key
        self._value: bytes | None = None

    @property
    def at_hand(self) -> bytes | None:
        """The secret, if this worker has it already."""
        return self._value

    async def get(self) -> bytes:
        """The secret; asks the store the first time only.

        Raises:
            Unavailable: the store cannot be asked.
            ConfigurationError: the master key does not open it.
        """
        if self._value is None:
            kept = await sealed_secrets.find_secret(self._db, self._name) or await self._make()
            self._value = self._master_key.open(self._name, kept.sealed, kept.master_key_id)
        return self._value

    async def _make(self) -> SealedRow:
        secret, nonce = self._entropy.bytes(SECRET_BYTES), self._entropy.bytes(NONCE_BYTES)
        sealed = self._master_key.seal(self._name, secret, nonce)
        await sealed_secrets.insert_secret(
            self._db, SealedRow(self._name, sealed, self._master_key.id), self._clock.now()
        )
        kept = await sealed_secrets.find_secret(self._db, self._name)
        if kept is None:
            raise Unavailable
        return kept

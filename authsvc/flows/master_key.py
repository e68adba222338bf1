"""The exchange of the master key: whatever is sealed with the previous one is sealed with the current one."""

from dataclasses import dataclass

from authsvc.entropy import Entropy
from authsvc.flows.audit import Audit
from authsvc.logs import get_logger
from authsvc.models import SealedRow
from authsvc.protocol.audit import Event
from authsvc.protocol.keys import NONCE_BYTES
from authsvc.protocol.master_key import MasterKey
from authsvc.tables import sealed_secrets, signing_keys
from authsvc.tables.db import Database, Transaction

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resealed:
    """How many rows have been sealed anew."""

    signing_keys: int
    secrets: int


class MasterKeyExchange:
    def __init__(self, db: Database, audit: Audit, entropy: Entropy, *, master_key: MasterKey) -> None:
        self._db = db
        self._audit = audit
        self._entropy = entropy
        self._master_key = master_key

    async def reseal(self) -> Resealed:
        """Seal everything with the current master key that is not: all of it, or, when anything goes wrong, nothing.
        What is sealed does not change, so nobody who has opened it notices. To do it again does no harm.

        Raises:
            ConfigurationError: neither the current nor the previous master key opens a row.
            Unavailable: PostgreSQL cannot be asked.
        """
        async with self._db.transaction() as tx:
            done = Resealed(signing_keys=await self._reseal_keys(tx), secrets=await self._reseal_secrets(tx))
            if done != Resealed(0, 0):
                event = self._audit.build(Event.MASTER_KEY_ROTATED, master_key_id=self._master_key.id)
                await self._audit.record(tx, event)
        log.info("sealed anew", signing_keys=done.signing_keys, secrets=done.secrets, master_key_id=self._master_key.id)
        return done

    async def _reseal_keys(self, tx: Transaction) -> int:
        await signing_keys.lock_keys(tx)
        old = [key for key in await signing_keys.list_keys(tx) if key.master_key_id != self._master_key.id]
        for key in old:
            sealed = self._seal_anew(key.kid, key.sealed_private, key.master_key_id)
            await signing_keys.update_sealed(tx, key.kid, sealed_private=sealed, master_key_id=self._master_key.id)
        return len(old)

    async def _reseal_secrets(self, tx: Transaction) -> int:
        old = [row for row in await sealed_secrets.lock_secrets(tx) if row.master_key_id != self._master_key.id]
        for row in old:
            sealed = self._seal_anew(row.name, row.sealed, row.master_key_id)
            await sealed_secrets.update_secret(tx, SealedRow(row.name, sealed, self._master_key.id))
        return len(old)

    def _seal_anew(self, name: str, sealed: bytes, master_key_id: str) -> bytes:
        secret = self._master_key.open(name, sealed, master_key_id)
        return self._master_key.seal(name, secret, self._entropy.bytes(NONCE_BYTES))

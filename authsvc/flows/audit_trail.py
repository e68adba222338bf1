"""The audit log afterwards: read it, seal it, inspect the seals, let old events go."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

from authsvc.clock import Clock
from authsvc.flows.sealed_secrets import SealedSecret
from authsvc.logs import get_logger
from authsvc.models import AuditEvent, AuditFilter, AuditSeal
from authsvc.protocol.audit import Inspection, build_seal
from authsvc.tables import security_events
from authsvc.tables.db import Database

BATCH = 1_000
PAGE = 20
SEALED_WITHIN = timedelta(minutes=10)
"""An event that has been waiting for its seal for longer shows that nobody seals."""

log = get_logger(__name__)


@dataclass(slots=True)
class Report:
    """What an inspection of the whole chain found."""

    seals: int
    events: int
    forgotten: int
    """Seals whose events were let go, with age."""
    last: AuditSeal | None
    faults: list[str] = field(default_factory=list)


class AuditTrail:
    def __init__(self, db: Database, secret: SealedSecret, clock: Clock, *, retention_days: int) -> None:
        self._db = db
        self._secret = secret
        self._clock = clock
        self._retention_days = retention_days

    async def seal(self) -> None:
        """Seal what has been written since the last time. Any number of workers may try at once: one does it.

        Raises:
            Unavailable: the store cannot be asked.
        """
        key = await self._secret.get()
        is_full = True
        while is_full:
            async with self._db.transaction() as tx:
                if not await security_events.try_lock_chain(tx):
                    return
                events = await security_events.list_unsealed(tx, limit=BATCH)
                if not events:
                    return
                seal = build_seal(key, await security_events.find_last_seal(tx), events, self._clock.now())
                await security_events.insert_seal(tx, seal, events)
            # Shipped off with the logs, this is what shows that the end of the chain was cut off.
            log.info("audit events sealed", seal=seal.number, events=seal.events, link=seal.link.hex())
            is_full = len(events) == BATCH

    async def verify(self) -> Report:
        """Walk along the whole chain. Nobody seals meanwhile.

        Raises:
            Unavailable: the store cannot be asked.
            ConfigurationError: the master key does not open the chain's.
        """
        inspection, faults = Inspection(await self._secret.get()), list[str]()
        async with self._db.transaction() as tx:
            await security_events.lock_chain(tx)
            after = 0
            while seals := await security_events.list_seals(tx, after=after, limit=PAGE):
                after = seals[-1].number
                batches = await security_events.list_sealed_events(tx, first=seals[0].number, last=after)
                for seal in seals:
                    faults += inspection.walk(seal, batches.get(seal.number, []))
            oldest = await security_events.find_oldest_unsealed(tx)
        if oldest is not None and oldest < self._clock.now() - SEALED_WITHIN:
            faults.append(f"events since {oldest.isoformat()} are not sealed: is the service running?")
        return Report(inspection.seals, inspection.events, inspection.forgotten, inspection.last, faults)

    async def forget(self) -> None:
        """Let go of the events that are older than they are kept, some batches at a time.

        Raises:
            Unavailable: the store cannot be asked.
        """
        if not self._retention_days:
            return
        before = self._clock.now() - timedelta(days=self._retention_days)
        gone = 1
        while gone:
            async with self._db.transaction() as tx:
                await security_events.lock_chain(tx)
                gone = await security_events.delete_old_events(tx, before, batches=10)

    async def last(self, wanted: AuditFilter, *, limit: int) -> list[AuditEvent]:
        """The newest events that are wanted, in order. Raises Unavailable."""
        return await security_events.list_last_events(self._db, wanted, limit=limit)

    async def walk(self, wanted: AuditFilter, *, after: int = 0) -> AsyncIterator[AuditEvent]:
        """Every event that is wanted, oldest first; the store is asked page by page. Raises Unavailable."""
        while page := await security_events.list_events(self._db, wanted, after=after, limit=BATCH):
            after = page[-1].event_id
            for event in page:
                yield event

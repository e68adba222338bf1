"""What happened is written down: a change's events in its own transaction, an observation's soon after it (AUD-04)."""

import asyncio
from collections import deque
from contextlib import suppress
from itertools import islice

from authsvc.clock import Clock
from authsvc.errors import Unavailable
from authsvc.logs import get_logger, request_id
from authsvc.metrics import Metrics
from authsvc.models import AuditEvent
from authsvc.origin import origin
from authsvc.protocol.audit import Event, level_of
from authsvc.tables import security_events
from authsvc.tables.db import Database, Queries

QUEUE = 2_000
"""Observations that wait to be written; beyond it they are dropped and counted: nothing waits for them."""
BATCH = 200
PAUSE_SECONDS = 0.5
"""Between batches. With the batch it is also the most that strangers can make one worker write: 400 events a second."""
LAST_SECONDS = 3.0
"""At the end: to write what still waits."""

log = get_logger(__name__)


class Audit:
    def __init__(self, db: Database, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._count = metrics.audit_events
        self._waiting: deque[AuditEvent] = deque()
        self._dropped = 0
        self._is_closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def build(
        self,
        event: Event,
        *,
        sub: str | None = None,
        client_id: str | None = None,
        sid: str | None = None,
        **details: object,
    ) -> AuditEvent:
        """An event of this moment, with what is known of where it comes from.

        `details` hold no secret, and no text that a stranger chose.
        """
        source = origin.get()
        if source.operator is not None:
            details["operator"] = source.operator
        return AuditEvent(
            at=self._clock.now(),
            event=event,
            level=level_of(event),
            via=source.via,
            request_id=request_id.get() or None,
            address=source.find_address(),
            sub=sub,
            client_id=client_id,
            sid=sid,
            details=details,
        )

    async def record(self, tx: Queries, *events: AuditEvent) -> None:
        """Write down a change in its own transaction: neither is there without the other.

        Raises:
            Unavailable: it could not be written, and so the change may not happen.
        """
        if events:
            await security_events.insert_events(tx, events)
            self._count["recorded"].inc(len(events))

    def observe(self, event: AuditEvent) -> None:
        """Write down later what is no change. Never waits; what the queue does not hold is counted and lost."""
        if len(self._waiting) >= QUEUE:
            self._dropped += 1
            self._count["dropped"].inc()
        else:
            self._waiting.append(event)

    # --- The writer

    def open(self) -> None:
        self._task = asyncio.create_task(self._run(), name="write the audit log")

    async def close(self) -> None:
        """Write what still waits, for a few seconds at most."""
        self._is_closing.set()
        if self._task is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._task, LAST_SECONDS)
        if self._waiting:
            self._count["dropped"].inc(len(self._waiting))
            log.error("audit events were lost at the end", events=len(self._waiting))

    async def _run(self) -> None:
        while not self._is_closing.is_set():
            await self._write()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), PAUSE_SECONDS)
        while self._waiting:
            if not await self._write():
                await asyncio.sleep(PAUSE_SECONDS / 10)

    async def _write(self) -> bool:
        """Write one batch. False when PostgreSQL cannot be asked: the events wait on."""
        batch = list(islice(self._waiting, BATCH))
        count, gap = len(batch), self._dropped
        if gap:  # the log itself tells of what it does not hold
            batch.append(self.build(Event.SYS_MONITOR_DISABLED, dropped=gap))
        if not batch:
            return True
        try:
            await security_events.insert_events(self._db, batch)
        except Unavailable:
            return False
        except Exception:  # the next ones must not wait behind what will never be taken
            log.error("audit events could not be written", exc_info=True, events=count)
            self._dropped += count
            self._count["dropped"].inc(count)
        else:
            self._dropped -= gap
            self._count["observed"].inc(count)
        for _ in range(count):
            self._waiting.popleft()
        return True

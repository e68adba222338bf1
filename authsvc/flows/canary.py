"""Is what was revoked dead everywhere? Not believed but tried, all the time: one worker revokes something that nobody
has, and then every worker looks for it as it would for an introspection."""

from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.flows.publication import Publication
from authsvc.flows.revocations import Revocations
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.protocol.revocation import presence_expiry, token_mark
from authsvc.tables import cache_mode, revocations
from authsvc.tables.db import Database

log = get_logger(__name__)


class Canary:
    def __init__(
        self,
        db: Database,
        publication: Publication,
        questions: Revocations,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._publication = publication
        self._questions = questions
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._last_seen: str | None = None

    async def release(self) -> None:
        """Revoke a token that does not exist, as any other is revoked, and then say which one it was. Not from where
        Redis cannot be reached: for a trial nobody else is to be slowed down.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if not await self._publication.would_be_confirmed():
            return
        mark = token_mark(mint_id(self._entropy, "canary_"))
        started, now = self._clock.monotonic(), self._clock.now()
        async with self._db.transaction() as tx:
            await revocations.insert_mark(tx, mark, now=now, expires_at=presence_expiry(now))
        await self._publication.publish({mark: 1})
        self._metrics.revocation_visible.observe(self._clock.monotonic() - started)
        await cache_mode.update_canary(self._db, mark)

    async def look(self) -> None:
        """Look for the last one that was released: whoever began to look after it was said has to see it.

        Raises:
            Unavailable: the store cannot be asked.
        """
        mark = await cache_mode.find_canary(self._db)
        if mark is None or mark == self._last_seen:
            return
        is_seen = mark in await self._questions.find(mark)
        self._metrics.canaries["seen" if is_seen else "missed"].inc()
        if not is_seen:
            log.error("a revocation is not seen by this worker")
        self._last_seen = mark

"""Redis is filled with every mark, and then trusted; and looked after while it is."""

import asyncio
from datetime import timedelta

from authsvc.caches.revocations import RevocationCache
from authsvc.clock import Clock
from authsvc.entropy import Entropy, mint_id
from authsvc.errors import CacheAway
from authsvc.flows.lease import Lease
from authsvc.flows.publication import Publication
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode, jobs, revocations
from authsvc.tables.db import Database

NAME = "fill_redis"
PAGE = 10_000
STEADY_SECONDS = 60
"""When it has held for so long, earlier setbacks are forgotten."""
PUT_AT_ONCE = 250
"""A revoke waits behind it, here and in Redis."""
SENT_AGAIN = timedelta(seconds=30)
"""What was committed since then is sent once more: who committed it may have died before it was written."""

log = get_logger(__name__)


class WarmUp:
    """One worker does it at a time; that only saves work. Safety rests on the compare-and-set of the mode, on the
    nonce, and on this order: flip the mode, own Redis, read PostgreSQL, load, mark complete, flip the mode."""

    def __init__(
        self,
        db: Database,
        cache: RevocationCache,
        publication: Publication,
        lease: Lease,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        self._db = db
        self._cache = cache
        self._publication = publication
        self._lease = lease
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._was_able = True
        self._failed_with: str | None = None
        self._sent: dict[str, int] = {}
        """What was committed lately and is confirmed to stand in Redis, under the nonce `_sent_under`."""
        self._sent_under = ""

    async def run(self) -> None:
        """Look whether Redis is what the mode says, and do what there is to do.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        async with self._db.transaction() as tx:
            if not await jobs.try_lock_job(tx, NAME):
                return
            mode, since = await self._lease.look(self._db)
            if mode.state is CacheState.TRUSTED:
                fenced = await self._look_after(mode, since)
                if fenced is None:
                    return
                mode, since = fenced, self._lease.sight(fenced)
            # One that is under way is nobody's any more: whoever began it has lost the lock.
            if mode.state is CacheState.WARMING or not self._publication.leaves_alone(mode, since):
                await self._fill(mode)

    async def _look_after(self, mode: CacheMode, since: float) -> CacheMode | None:
        """The mode in which it was put out of use, if it had to be and by us."""
        try:
            # A question about nothing: is this still the one that was filled, and complete?
            if await self._cache.get(mode.deployment, mode.nonce, ()) is None:
                return await self._publication.fence(mode)
            if not await self._send_again(mode):
                return await self._publication.fence(mode)  # it answers and takes no more, being full perhaps
        except CacheAway:
            return None  # from here; who has to write to it and cannot puts it out of use
        if self._clock.boottime() - since > STEADY_SECONDS:
            await cache_mode.forget_setbacks(self._db, mode.epoch)
        return None

    async def _send_again(self, mode: CacheMode) -> bool:
        """Whether Redis holds what was committed lately. Each mark is sent once: it stays as long as the nonce does."""
        recent = dict(await revocations.list_recent_marks(self._db, self._clock.now() - SENT_AGAIN))
        sent = self._sent if self._sent_under == mode.nonce else {}
        missing = [(mark, number) for mark, number in recent.items() if sent.get(mark) != number]
        for start in range(0, len(missing), PUT_AT_ONCE):
            if not await self._cache.put(mode.deployment, mode.nonce, dict(missing[start : start + PUT_AT_ONCE])):
                return False
        self._sent, self._sent_under = recent, mode.nonce
        return True

    async def _fill(self, seen: CacheMode) -> None:
        started = self._clock.monotonic()
        try:
            is_able = await self._cache.is_able()
        except CacheAway:
            return
        if not is_able and self._was_able:
            log.warning("Redis has no functions, or they are denied: PostgreSQL answers alone")
        self._was_able = is_able
        if not is_able:
            return
        nonce = mint_id(self._entropy)
        mode = await cache_mode.begin_warm_up(self._db, seen, nonce, now=self._clock.now())
        if mode is None:
            return
        if await self._load(mode) and await cache_mode.end_warm_up(self._db, mode, now=self._clock.now()):
            took = self._clock.monotonic() - started
            self._metrics.cache_warm_up.observe(took)
            log.info("Redis holds every revocation and is trusted", epoch=mode.epoch, seconds=round(took, 3))
            await self._lease.renew()  # here at once; the others look within a second
            self._failed_with = None
        else:
            self._say_why(self._cache.refusal)
            await self._publication.fence(mode)

    def _say_why(self, cause: str | None) -> None:
        """If it was refused; once, for it is tried again and again."""
        if cause is not None and cause != self._failed_with:
            log.warning("Redis cannot be filled: PostgreSQL answers alone", cause=cause)
        self._failed_with = cause

    async def _load(self, mode: CacheMode) -> bool:
        """Whether it is confirmed that Redis holds every mark. Any doubt ends this warm-up: nothing is sent twice."""
        deployment, nonce = mode.deployment, mode.nonce
        self._cache.refusal = None
        try:
            # First of all: a Redis that is full of what earlier ones left would refuse every new one.
            await self._cache.sweep(deployment, nonce)
            if not await self._cache.own(deployment, nonce):
                return False
            page = await revocations.read_marks(self._db, after="", limit=PAGE)
            while page is not None:
                text, last = page
                following = revocations.read_marks(self._db, after=last, limit=PAGE)
                is_loaded, page = await asyncio.gather(self._cache.load(deployment, nonce, text), following)
                if not is_loaded:
                    return False
            return await self._cache.done(deployment, nonce)
        except CacheAway:
            return False

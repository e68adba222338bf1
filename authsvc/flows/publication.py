"""What was revoked is made known: when `publish` returns, no worker that trusts Redis can miss it (C1)."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from authsvc.caches.revocations import RevocationCache
from authsvc.clock import Clock
from authsvc.errors import CacheAway, Unavailable
from authsvc.flows.lease import WAIT_FACTOR, Lease
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode
from authsvc.tables.db import Database

ATTEMPTS = 5
"""At a mode that others keep changing; then 503."""
LOOK_SECONDS = 0.1
MARGIN_SECONDS = 0.5
"""Beyond the wait for all leases: then whoever revokes is told to try again, at T + 1 s where a lease of T is 5 s."""
FIRST_BACK_OFF_SECONDS = 1
LONGEST_BACK_OFF_SECONDS = 60

log = get_logger(__name__)


class Publication:
    def __init__(
        self, db: Database, cache: RevocationCache | None, lease: Lease, clock: Clock, metrics: Metrics
    ) -> None:
        self._db = db
        self._cache = cache
        self._lease = lease
        self._clock = clock
        self._fences = metrics.cache_fences

    @property
    def longest_seconds(self) -> float | None:
        """That somebody should wait for a publication (C5). None: the lease is not known yet."""
        mode = self._lease.mode
        return None if mode is None else mode.lease_seconds * WAIT_FACTOR + MARGIN_SECONDS

    async def publish(self, marks: Mapping[str, int]) -> None:
        """To be called when the marks are committed, for the mode is read after that. They are written to Redis, or
        Redis is put out of use, and then whoever may still hold a lease on it is waited for.

        Raises:
            Unavailable: PostgreSQL cannot be asked, or the mode does not hold still: the caller is to do it all again.
        """
        for _ in range(ATTEMPTS):
            mode, since = await self._lease.look(self._db)
            if mode.state is not CacheState.POSTGRESQL and not await self._write(mode, marks):
                fenced = await self.fence(mode)
                if fenced is None:
                    continue
                mode, since = fenced, self._lease.sight(fenced)
            await self._outwait(mode, since)
            return
        raise Unavailable

    async def would_be_confirmed(self) -> bool:
        """Whether a mark could be published from here without putting Redis out of use.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        mode = await cache_mode.get_mode(self._db)
        if mode.state is not CacheState.TRUSTED:
            return mode.state is CacheState.POSTGRESQL
        if self._cache is None:
            return False
        try:
            return await self._cache.get(mode.deployment, mode.nonce, ()) is not None
        except CacheAway:
            return False

    async def fence(self, mode: CacheMode) -> CacheMode | None:
        """Put Redis out of use, until it is filled anew. None when the mode has changed since it was read.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        async with self._db.transaction() as tx:  # durable, as what it stands for
            fenced = await cache_mode.fence(tx, mode, now=self._clock.now())
        if fenced is not None:
            self._lease.sight(fenced)
            self._fences.inc()
            log.warning("Redis is put out of use: PostgreSQL answers alone", epoch=fenced.epoch)
        return fenced

    def leaves_alone(self, mode: CacheMode, since: float) -> bool:
        """Whether it is too early to fill the Redis that this mode, in sight since then, has put out of use. By the
        watch of whoever asks: the clock of whoever put it out of use may be wrong."""
        earlier = mode.setbacks - 1
        return earlier >= 0 and self._clock.boottime() - since < back_off(earlier).total_seconds()

    async def forget(self, marks: Mapping[str, int]) -> None:
        """Take marks out of Redis that have been over for so long that PostgreSQL has none of them any more. If that
        cannot be done, they stay there until it is filled anew, and do no harm.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        mode = await cache_mode.get_mode(self._db)
        if self._cache is not None and marks and mode.state is CacheState.TRUSTED:
            with suppress(CacheAway):
                await self._cache.forget(mode.deployment, mode.nonce, marks)

    async def _write(self, mode: CacheMode, marks: Mapping[str, int]) -> bool:
        if self._cache is None:
            return False
        try:
            return await self._cache.put(mode.deployment, mode.nonce, marks)
        except CacheAway:
            return False

    async def _outwait(self, mode: CacheMode, since: float) -> None:
        """Until every lease of an earlier epoch is over: by our own watch, or because somebody says so."""
        end = since + mode.lease_seconds * WAIT_FACTOR
        while not mode.settled and self._clock.boottime() < end:
            await asyncio.sleep(LOOK_SECONDS)
            latest = self._lease.mode
            if latest is not None and latest.epoch >= mode.epoch and latest.settled:
                return


def back_off(setbacks: int) -> timedelta:
    """How long Redis is left alone after so many earlier setbacks. One node that cannot reach it must not put all the
    others to filling it anew, again and again."""
    seconds = 0 if setbacks == 0 else FIRST_BACK_OFF_SECONDS * 2 ** min(setbacks - 1, 10)
    return timedelta(seconds=min(seconds, LONGEST_BACK_OFF_SECONDS))

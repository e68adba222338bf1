"""For how long one worker may believe Redis, and its copies of clients: a lease, taken from PostgreSQL every second."""

from dataclasses import dataclass

from authsvc.clock import Clock
from authsvc.errors import Unavailable
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.models import CacheMode, CacheState
from authsvc.tables import cache_mode
from authsvc.tables.db import Database

WAIT_FACTOR = 1.1
"""By how much longer than a lease everybody waits who has to outlive it: clocks of two nodes differ in speed."""
MAX_DRIFT_SECONDS = 1.0
"""Between wall clock and boot clock: more means that one of them was set, or that the machine was asleep."""
ATTEMPTS = 5
"""At a mode that others keep changing."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker may use until the lease ends."""

    deployment: str
    nonce: str
    clients_version: str
    """What is a copy of a client under this version has not changed until the lease was taken."""
    ends: float


class Lease:
    def __init__(self, db: Database, clock: Clock, metrics: Metrics, *, has_redis: bool = True) -> None:
        self._db = db
        self._has_redis = has_redis
        self._clock = clock
        self._metrics = metrics
        self._grant: Grant | None = None
        self._drift = clock.unix() - clock.boottime()
        self._sight: tuple[int, str, float] = (0, "", 0.0)
        self.mode: CacheMode | None = None
        """The latest that was seen."""

    def current(self) -> Grant | None:
        """What Redis may be asked by at this moment. None: PostgreSQL is asked."""
        grant = self._grant
        if grant is None or self._clock.boottime() >= grant.ends or self._has_drifted():
            return None
        return grant

    async def renew(self) -> None:
        """Look at the mode; an epoch that has been in sight for long enough is settled.

        Raises:
            Unavailable: PostgreSQL cannot be asked; the lease runs out.
        """
        asked = self._clock.boottime()  # a lease runs from the question, not from the answer
        latest = self.mode
        mode, clients_version = await cache_mode.get_mode_and_clients_version(self._db)
        mode, seen_since = await self._see(self._db, mode, latest) or await self.look(self._db)
        if self._has_drifted():
            log.warning("a clock was set, or the machine was asleep: no lease this time")
            self._grant = None
        elif mode.state is CacheState.TRUSTED:
            self._grant = Grant(mode.deployment, mode.nonce, clients_version, asked + mode.lease_seconds)
        else:
            self._grant = None
        self._drift = self._clock.unix() - self._clock.boottime()
        if self._has_redis:  # else nothing is out of use, and nobody is to be told so
            self._metrics.cache_mode(mode.state)
        if not mode.settled and asked - seen_since >= mode.lease_seconds * WAIT_FACTOR:
            await cache_mode.settle(self._db, mode)

    async def look(self, db: Database) -> tuple[CacheMode, float]:
        """The mode as it is now, and since when this worker has its epoch in sight.

        One that is older than what this worker had seen when it asked is that of a PostgreSQL which was set back. There
        may be leases of which that knows nothing, and marks in Redis that it has lost. So Redis is put out of use with
        an epoch that is later than all that was seen: to be outwaited by everybody, and filled anew.

        Raises:
            Unavailable: PostgreSQL cannot be asked, or the mode does not hold still.
        """
        for _ in range(ATTEMPTS):
            latest = self.mode
            if (seen := await self._see(db, await cache_mode.get_mode(db), latest)) is not None:
                return seen
        raise Unavailable

    async def _see(self, db: Database, mode: CacheMode, latest: CacheMode | None) -> tuple[CacheMode, float] | None:
        """As `look`, with the latest mode that was known before this one was asked for. None: it has changed again."""
        if latest is None or not _is_before(mode, latest):
            return mode, self.sight(mode)
        log.error("PostgreSQL was set back: Redis is put out of use", epoch=mode.epoch, seen=latest.epoch)
        async with db.transaction() as tx:
            above = await cache_mode.rise_above(tx, mode, latest.epoch, now=self._clock.now())
        return None if above is None else (above, self.sight(above))

    def sight(self, mode: CacheMode) -> float:
        """When this worker first saw the epoch of this mode, which it has just read or made."""
        if self.mode is None or mode.epoch >= self.mode.epoch:
            self.mode = mode
        epoch, nonce, since = self._sight
        if (epoch, nonce) == (mode.epoch, mode.nonce):
            return since
        since = self._clock.boottime()
        if mode.epoch > epoch:
            self._sight = (mode.epoch, mode.nonce, since)
        return since

    def _has_drifted(self) -> bool:
        """Since the last look."""
        drift = self._clock.unix() - self._clock.boottime()
        return abs(drift - self._drift) > MAX_DRIFT_SECONDS


def _is_before(mode: CacheMode, latest: CacheMode) -> bool:
    """Or in place of it: another one with the same number."""
    return mode.epoch < latest.epoch or (mode.epoch == latest.epoch and mode.nonce != latest.nonce)

"""Work that one worker does for all of them, on all nodes: one at a time, and no more often than it is due."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from authsvc.clock import Clock
from authsvc.metrics import Metrics
from authsvc.tables import jobs
from authsvc.tables.db import Database


class Election:
    """For each run there is an election anew, by a lock that ends with its transaction: a worker that dies, hangs up or
    is cut off takes it to no grave. The lock only saves work. Two runs at once have to be as right as one, for a worker
    that has lost its connection, and so the lock, may not know it yet.
    """

    def __init__(self, db: Database, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._clock = clock
        self._metrics = metrics

    async def run(self, name: str, every: timedelta, act: Callable[[], Awaitable[None]]) -> bool:
        """Do it, if it is due and nobody else is at it. Whether it was done.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
            Exception: whatever `act` raises; it is then due still.
        """
        async with self._db.transaction() as tx:
            if not await jobs.try_lock_job(tx, name):
                return False
            last = await jobs.find_success(tx, name)
            if last is not None:
                self._metrics.job_last_success[name].set(last.timestamp())
                if timedelta(0) <= self._clock.now() - last < every:
                    return False
            try:
                await act()
            except Exception:
                self._metrics.job_runs[name, "failure"].inc()
                raise
            now = self._clock.now()
            await jobs.upsert_success(tx, name, now)
        self._metrics.job_runs[name, "success"].inc()
        self._metrics.job_last_success[name].set(now.timestamp())
        return True

"""A supervised loop: runs an act again and again, and never ends because one run failed."""

import asyncio
from asyncio import sleep as pause
from collections.abc import Awaitable, Callable

from authsvc.errors import Unavailable
from authsvc.logs import get_logger

log = get_logger(__name__)


class Periodic:
    """Runs `act` every `seconds`, one run at a time, until it is stopped; for the first time after `first`."""

    def __init__(self, name: str, seconds: float, act: Callable[[], Awaitable[object]], *, first: float = 0.0) -> None:
        self._name = name
        self._seconds = seconds
        self._first = first
        self._act = act
        self._task: asyncio.Task[None] | None = None
        self._was_failing = False
        self._is_stopping = False

    def start(self, *, later: float = 0.0) -> None:
        """`later` is a part of its period by which it falls behind once, after the first run: those that begin at the
        same moment do not go on together, and what comes in between waits for one of them at most."""
        self._is_stopping = False
        self._task = asyncio.create_task(self._run(later), name=self._name)

    async def stop(self) -> None:
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, later: float) -> None:
        await pause(self._first)
        seconds = self._seconds * (1 + later)
        while True:
            await self._run_once()
            if self._is_stopping:  # a query that is cancelled may end in an error of its own
                return
            await pause(seconds)
            seconds = self._seconds

    async def _run_once(self) -> None:
        try:
            await self._act()
        except Unavailable:
            # Said once, not every second: an outage is one event.
            if not self._was_failing:
                log.warning("a job cannot run while the store is away", job=self._name)
            self._was_failing = True
        except Exception:
            log.error("a job failed", job=self._name, exc_info=True)
            self._was_failing = True
        else:
            if self._was_failing:
                log.info("a job runs again", job=self._name)
            self._was_failing = False

"""How long Redis is waited for: a deadline to which the time that this process stood still hardly counts."""

import asyncio
from types import TracebackType
from typing import Self

LOOKS = 5
"""At the clock, in the time that is given."""


class Patience:
    """As `asyncio.timeout`, but it looks at the clock on the way. A process whose loop was blocked, or that got no CPU,
    did not wait meanwhile, and the answer may lie unread in its socket: so between two looks no more time goes by than
    two of them need, and after such a gap there is always some left to read what has come.

    Raises TimeoutError when the block is left because the time was over.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self._seconds = self._left = seconds
        self._between = seconds / LOOKS
        self._looked_at = 0.0
        self._next: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self.renew()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def is_whole(self) -> bool:
        """Whether next to nothing of the time has gone by."""
        return self._left == self._seconds

    def renew(self) -> None:
        """All of the time is given again."""
        self._stop()
        self._left = self._seconds
        self._look_later(self._loop.time())

    def _look_later(self, now: float) -> None:
        self._looked_at = now
        self._next = self._loop.call_at(now + min(self._between, self._left), self._look)

    def _look(self) -> None:
        now = self._loop.time()
        gap = now - self._looked_at
        self._left -= min(gap, 2 * self._between)
        if self._left > 0:
            self._look_later(now)
        else:
            stood_still = gap > 2 * self._between
            self._timeout.reschedule(now + (self._between if stood_still else 0.0))

    def _stop(self) -> None:
        if self._next is not None:
            self._next.cancel()

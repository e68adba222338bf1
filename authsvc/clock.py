"""The one source of time. Everything else is told what time it is."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the service asks about time."""

    def now(self) -> datetime:
        """The wall clock, timezone-aware, in UTC."""
        ...

    def unix(self) -> float:
        """The wall clock in seconds since 1970: what `exp` and `iat` are measured by."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps: what ages and deadlines are measured by."""
        ...

    def boottime(self) -> float:
        """As `monotonic`, and goes on while the machine sleeps: what leases are measured by."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def unix(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

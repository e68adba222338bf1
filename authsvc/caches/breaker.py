"""When not to ask at all: who has failed a few times is left alone for a while, then asked by one call alone."""

from authsvc.clock import Clock

FAILURES = 3
"""One after the other: a single lost packet is no outage."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Breaker:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = 0.0
        self._next_try = 0.0
        self._is_tried = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for one now and then."""
        return self._failures >= FAILURES

    def admits(self) -> bool:
        """Whether this call may be made; it then has to be told how it went."""
        if not self.is_open:
            return True
        now = self._clock.monotonic()
        if now < self._next_try:
            return False
        # A call that is given up says nothing: after another pause somebody else may try.
        self._next_try = now + self._pause
        self._is_tried = True
        return True

    def failed(self) -> None:
        was_open = self.is_open
        self._failures += 1
        if not self.is_open or (was_open and not self._is_tried):
            return  # not yet; or a call from before, which has no news
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS) if was_open else FIRST_PAUSE_SECONDS
        self._next_try = self._clock.monotonic() + self._pause
        self._is_tried = False

    def succeeded(self) -> None:
        self._failures = 0
        self._is_tried = False

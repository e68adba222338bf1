"""Requests that are answered without a task of their own, where that can be.

A task, the scope and the messages of ASGI are most of what a question costs that is answered from memory and by one
look at the store, which many share. So whoever is there for the path of a request is offered it first, as soon as all
of it has come. Who declines leaves no trace: the application then begins as it always does.
"""

from collections.abc import Mapping
from typing import Any

from authsvc.cycle import Cycle
from authsvc.guard import GuardedProtocol
from authsvc.logs import get_logger
from authsvc.web.at_once import STATE, Taker

MAX_BODY_BYTES = 16_384

log = get_logger(__name__)


class OfferingProtocol(GuardedProtocol):
    """Offers requests, and starts the application for those that nobody takes."""

    _taker: Taker | None = None
    """To whom the request is offered whose body is awaited."""
    _is_beginning = False

    def _begin(self, keep_alive: bool) -> None:
        self._is_beginning = True
        super()._begin(keep_alive)
        self._is_beginning = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # One that had to wait for an earlier one is started like any other: its body may be there or not.
        if not self._is_beginning or (taker := self._find_taker(cycle)) is None:
            super()._start_asgi_task(cycle, app)
        else:
            self._taker = taker

    def _find_taker(self, cycle: Cycle) -> Taker | None:
        takers: Mapping[bytes, Taker] = self.app_state.get(STATE, {})
        taker = takers.get(self.url)
        if taker is None or cycle.scope["method"] != taker.method or self.expect_100_continue or self.flow.write_paused:
            return None
        length = -1
        for name, value in cycle.scope["headers"]:
            if name == b"transfer-encoding":
                return None
            if name == b"content-length":
                length = int(value) if len(value) <= len(b"%d" % MAX_BODY_BYTES) else MAX_BODY_BYTES + 1
        is_usual = length <= 0 if taker.method == "GET" else 0 <= length <= MAX_BODY_BYTES
        return taker if is_usual else None

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if (taker := self._taker) is not None:
            self._taker = None
            # Not from within the parser: an answer may end the connection that is being read.
            self.loop.call_soon(self._offer, taker, self.cycle)

    def _offer(self, taker: Taker, cycle: Cycle) -> None:
        if cycle.disconnected:
            return
        try:
            is_taken = taker(cycle)
        except Exception:
            log.error("a request could not be answered at once", exc_info=True)
            is_taken = cycle.response_complete
        if not is_taken:
            self.start(cycle)

    def start(self, cycle: Cycle) -> None:
        """Of a request that was offered: nobody answers it but the application."""
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, self.app)

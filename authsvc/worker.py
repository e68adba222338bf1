"""One worker: the service on inherited sockets, with a pulse; and what the supervisor holds of it.

The pulse comes from the loop itself, not from a thread beside it: a loop that is blocked falls silent.
"""

import asyncio
import gc
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from socket import socket
from ssl import SSLContext
from typing import Any, cast

import uvicorn
from prometheus_client import CollectorRegistry

from authsvc.admission import Guard, Limits, fit
from authsvc.child import Server, pipe, spawn
from authsvc.clock import SystemClock
from authsvc.guard import GuardedProtocol, guarded
from authsvc.logs import uvicorn_config
from authsvc.metrics import ConnectionMetrics
from authsvc.offering import OfferingProtocol
from authsvc.settings import Settings
from authsvc.tls import Entrance, find_context

PULSE_S = 0.5
SILENT_S = 3.0  # without a pulse: not ready
START_S = 60.0  # to import, open and warm up
CLOSING_S = 5.0  # on top of `graceful_timeout`: to close what it holds
LAST_WORDS_S = 0.2  # for a request to arrive on a connection that was accepted just before
_TICK_S = 0.1  # how often uvicorn calls `on_tick`
GC_THRESHOLD = 20_000
"""Objects more than were given back, before those that refer to each other in circles are looked for."""
LIMITS = Limits()


# --- In the worker


class _Pulsing(Server):
    """Sends a byte when it begins to serve, and every `PULSE_S` from then on. Loses no request when it stops."""

    def __init__(self, config: uvicorn.Config, pulse: Connection, guard: Guard, context: SSLContext | None) -> None:
        super().__init__(config)
        self._guard = guard
        self._context = context
        self._pulse = pulse
        os.set_blocking(pulse.fileno(), False)

    async def on_tick(self, counter: int) -> bool:
        if counter % round(PULSE_S / _TICK_S) == 0:
            with suppress(OSError):  # nobody reads: the supervisor is stopped, or gone
                os.write(self._pulse.fileno(), b".")
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """uvicorn's own does all but listen, where there is TLS."""
        context = self._context
        await super().startup(sockets if context is None else [])
        _spare_the_collector()
        if context is not None:
            entrances = [Entrance(each, context, self._guard, self._make_protocol) for each in sockets or ()]
            self.servers = cast(list[asyncio.Server], entrances)

    def _make_protocol(self) -> GuardedProtocol:
        made = self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )  # type: ignore[call-arg] # as uvicorn calls it
        return cast(GuardedProtocol, made)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """uvicorn's own begins by closing every connection that has no request yet, those of this moment too."""
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        await asyncio.sleep(LAST_WORDS_S)
        if self._context is not None:
            for server in self.servers:
                await server.wait_closed()
            await asyncio.sleep(LAST_WORDS_S)
        await super().shutdown(sockets)


def _spare_the_collector() -> None:
    """What is there at the start stays for good and is not looked through again. Requests leave no circles behind, so
    the default of 700 has the collector look at thousands of requests' things in vain: a tenth of an introspection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def run(
    listeners: Sequence[socket],
    pulse: Connection,
    app: str,
    settings: Settings,
    graceful_timeout: int,
    limits: Limits = LIMITS,
) -> None:
    """Serve what the factory called `app` makes, until SIGTERM; then finish what has begun in `graceful_timeout`."""
    refused = ConnectionMetrics(CollectorRegistry()).refused
    guard = Guard(fit(limits), exempt=settings.trusted_proxies, on_refused=lambda reason: refused[reason].inc())
    context = find_context(settings.tls_certificate, settings.tls_key, SystemClock().now())
    config = uvicorn.Config(
        app,
        factory=True,
        loop="uvloop",
        http=guarded(guard, OfferingProtocol),
        ws="none",
        lifespan="on",
        log_config=uvicorn_config(settings.log_level),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=graceful_timeout,
        workers=1,
    )
    _Pulsing(config, pulse, guard, context).run(sockets=list(listeners))


# --- In the supervisor


class WorkerProcess:
    """A worker, seen from outside. No method waits for it, but `bury`, which is for the dead."""

    def __init__(
        self, generation: int, listeners: Sequence[socket], app: str, settings: Settings, graceful_timeout: int
    ) -> None:
        self._pulse, theirs = pipe()
        os.set_blocking(self._pulse.fileno(), False)
        with theirs:
            self._process = spawn(settings, run, listeners, theirs, app, settings, graceful_timeout)
        self.pid = self._process.pid
        self.generation = generation
        """How often all workers had been told to make way for new ones when this one was started."""
        self._graceful_timeout = graceful_timeout
        self._started = time.monotonic()
        self._beat: float | None = None
        self._retired: float | None = None
        self._is_killed = False

    @property
    def signs(self) -> Sequence[Any]:
        """What to wait on: something is there to read, or it has died."""
        return self._pulse, self._process.sentinel

    @property
    def age(self) -> float:
        return time.monotonic() - self._started

    @property
    def has_started(self) -> bool:
        """It has served, at least once."""
        return self._beat is not None

    @property
    def is_retired(self) -> bool:
        """It has been told to stop."""
        return self._retired is not None

    @property
    def is_ready(self) -> bool:
        """It answers requests."""
        return self._retired is None and self._beat is not None and time.monotonic() - self._beat < SILENT_S

    @property
    def is_dead(self) -> bool:
        return not self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def is_overdue(self, hang_seconds: float) -> bool:
        """It ought to have started, shown a pulse or stopped by now, and nobody has killed it for that yet."""
        now = time.monotonic()
        if self._is_killed:
            return False
        if self._retired is not None:
            return now - self._retired > self._graceful_timeout + CLOSING_S
        if self._beat is None:
            return now - self._started > START_S
        return now - self._beat > hang_seconds

    def feel_pulse(self) -> None:
        with suppress(OSError):  # nothing to read
            if os.read(self._pulse.fileno(), 4096):
                self._beat = time.monotonic()

    def retire(self) -> None:
        if self._retired is None:
            self._retired = time.monotonic()
            self._process.terminate()

    def kill(self) -> None:
        self._is_killed = True
        self._process.kill()

    def bury(self) -> None:
        self._process.join()
        self._pulse.close()

"""The management listener: one process beside the workers, which answers while they hang, drain or die.

`/metrics` for Prometheus, `/livez` and `/readyz` for whoever restarts the service or sends it traffic. Never public.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection
from socket import socket

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.importer import import_from_string

from authsvc.admission import Guard, Limits
from authsvc.child import Server, pipe, spawn
from authsvc.exposition import exposition, stay_out
from authsvc.guard import guarded
from authsvc.logs import get_logger, uvicorn_config
from authsvc.settings import Settings

log = get_logger(__name__)

# What asks gives up after one second (the default of Kubernetes), so a probe may take a little less.
PATIENCE_S = 0.8
KEEP_S = 1.0
REOPEN_S = 1.0
GOODBYE_S = 1
PAUSE_S = 1.0
LIMITS = Limits(connections=200, per_address=100)

Probe = Callable[[], Awaitable[Sequence[str]]]
"""What keeps the stores from being used, in words for an operator; empty when nothing does."""
OpenProbe = Callable[[Settings], AbstractAsyncContextManager[Probe]]


@dataclass(frozen=True, slots=True)
class Status:
    """What the supervisor knows of its workers."""

    live: int = 0
    """Workers that run and do not hang, be it that they still start."""
    ready: int = 0
    """Of these, the ones that answer requests."""
    draining: bool = False


# --- In the child


class Readiness:
    """Asks the probe at most once in `KEEP_S` for everybody who wants to know, and waits `PATIENCE_S` at most."""

    def __init__(self) -> None:
        self._probe: Probe | None = None
        self._answer: asyncio.Future[Sequence[str]] | None = None
        self._asked = -inf
        self._failed = False

    async def hold(self, where: str | OpenProbe, settings: Settings) -> None:
        """Keep the probe open until cancelled, and try to open it for as long as that fails."""
        while True:
            try:
                # In a thread: it imports half of the service, and the listener is to answer meanwhile.
                open_probe: OpenProbe = await asyncio.to_thread(import_from_string, where)
                async with open_probe(settings) as self._probe:
                    await asyncio.Event().wait()
            except Exception as error:
                self._complain(error)
            finally:
                self._probe = None
            await asyncio.sleep(REOPEN_S)

    async def faults(self) -> Sequence[str]:
        """Known within `PATIENCE_S`, whatever the stores do."""
        if self._probe is None:
            return ["the stores have not been asked yet"]
        now = asyncio.get_running_loop().time()
        if self._answer is None or (self._answer.done() and now - self._asked >= KEEP_S):
            self._answer, self._asked = asyncio.ensure_future(self._probe()), now
        answer = self._answer  # the next question may be on its way when this one is answered
        await asyncio.wait({answer}, timeout=max(0.0, self._asked + PATIENCE_S - now))
        if not answer.done() or answer.cancelled():
            # Not waited for: a driver may need long to give up. Until it has, nobody asks a second time.
            answer.cancel()
            return ["the stores do not answer in time"]
        if (error := answer.exception()) is not None:
            self._complain(error)
            return ["the readiness probe fails"]
        self._failed = False
        return answer.result()

    def _complain(self, error: BaseException) -> None:
        """Once, not at each question."""
        if not self._failed:
            self._failed = True
            log.error("the readiness probe fails", exc_info=error)


class Answers:
    """The answers of the management listener."""

    def __init__(self, readiness: Readiness, metrics_dir: str) -> None:
        self._readiness = readiness
        self._metrics_dir = metrics_dir
        self._status = Status()

    def hear(self, told: Connection) -> None:
        """Take from now on what the supervisor tells."""
        loop = asyncio.get_running_loop()

        def receive() -> None:
            try:
                self._status = told.recv()
            except (EOFError, OSError):  # the supervisor is gone, and we are about to go
                loop.remove_reader(told.fileno())

        loop.add_reader(told.fileno(), receive)

    def app(self) -> Starlette:
        app = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/livez", self._livez),
                Route("/healthz", self._livez),
                Route("/readyz", self._readyz),
            ]
        )
        app.router.redirect_slashes = False
        return app

    def _metrics(self, request: Request) -> Response:
        body, content_type = exposition(self._metrics_dir, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def _livez(self, _: Request) -> Response:
        """The processes only (HLT-01): restarting this service mends no database."""
        if self._status.live:
            return JSONResponse({"status": "live"})
        return JSONResponse({"status": "not live"}, 503)

    async def _readyz(self, _: Request) -> Response:
        faults = await self._faults()
        if not faults:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "faults": faults}, 503)

    async def _faults(self) -> Sequence[str]:
        if self._status.draining:
            return ["draining"]
        if not self._status.ready:
            return ["no worker is ready"]
        return list(await self._readiness.faults())


def run(listener: socket, told: Connection, probe: str, settings: Settings, metrics_dir: str) -> None:
    """Serve until SIGTERM. `probe` is where to import the `OpenProbe` from."""
    stay_out()
    readiness = Readiness()
    answers = Answers(readiness, metrics_dir)
    config = uvicorn.Config(
        answers.app(),
        loop="uvloop",
        http=guarded(Guard(LIMITS)),
        ws="none",
        lifespan="off",
        log_config=uvicorn_config(settings.log_level),
        access_log=False,
        server_header=False,
        proxy_headers=False,
        headers=[("cache-control", "no-store"), ("x-content-type-options", "nosniff")],
        timeout_graceful_shutdown=GOODBYE_S,
    )

    async def serve() -> None:
        answers.hear(told)
        holding = asyncio.create_task(readiness.hold(probe, settings))
        await Server(config).serve(sockets=[listener])
        holding.cancel()
        await asyncio.wait({holding}, timeout=GOODBYE_S)

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


# --- In the supervisor


class ManagementProcess:
    """The management listener, seen from outside: kept alive, and told what it answers."""

    def __init__(self, listener: socket, probe: str, settings: Settings, metrics_dir: str) -> None:
        self._listener = listener
        self._args = (probe, settings, metrics_dir)
        self._settings = settings
        self._start()

    def _start(self) -> None:
        theirs, self._pipe = pipe()
        os.set_blocking(self._pipe.fileno(), False)
        with theirs:
            self._process = spawn(self._settings, run, self._listener, theirs, *self._args)
        self._started = time.monotonic()
        self._told: Status | None = None

    @property
    def signs(self) -> Sequence[int]:
        """What to wait on: it has died. Nothing when that is known."""
        return [self._process.sentinel] if self._process.is_alive() else []

    def keep(self, status: Status) -> None:
        """Replace it when it is dead, and tell it what has changed."""
        if not self._process.is_alive() and time.monotonic() - self._started > PAUSE_S:
            log.error("the management listener died and is replaced", exit_code=self._process.exitcode)
            self._pipe.close()
            self._start()
        if status != self._told:
            with suppress(OSError):  # full or broken: told again at the next turn
                self._pipe.send(status)
                self._told = status

    def stop(self) -> None:
        self._process.terminate()
        self._process.join(3 * GOODBYE_S)
        self._process.kill()
        self._process.join()

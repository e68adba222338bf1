"""A child process of the supervisor: how it is started, and what it does first. It never outlives its parent."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import uvicorn

from authsvc import logs
from authsvc.settings import Settings

log = logs.get_logger(__name__)

_PR_SET_PDEATHSIG = 1

# What a terminal sends to all processes at once. The supervisor alone decides what follows from it.
_FROM_TERMINALS = frozenset({signal.SIGINT, signal.SIGHUP})

_spawning = get_context("spawn")


def spawn(settings: Settings, target: Callable[..., None], *args: Any) -> SpawnProcess:
    """Run `target` in a process of its own. From the main thread: the child ends when the thread that made it ends."""
    process = _spawning.Process(target=_child, args=(os.getpid(), settings, target, *args))
    # The standard library's own helper process, if it were started within the mask, would undo it.
    resource_tracker.ensure_running()
    # The child is born with the mask, so there is no moment in which Ctrl-C could hit it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return process


def pipe() -> tuple[Connection, Connection]:
    """An end to read from and an end to write to, of which one may be handed to `spawn`."""
    return _spawning.Pipe(duplex=False)


def _child(parent: int, settings: Settings, target: Callable[..., None], *args: Any) -> None:
    _die_with(parent)
    logs.configure(settings.log_level, settings.log_format)
    try:
        target(*args)
    except Exception:
        log.exception("a process of the service failed")
        sys.exit(1)


def _die_with(parent: int) -> None:
    """SIGTERM to this process when the supervisor is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # gone before that
        sys.exit(1)


class Server(uvicorn.Server):
    """Stops at SIGTERM and returns to its caller. uvicorn's own raises the signal again, and nothing after it runs."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = signal.signal(signal.SIGTERM, self.handle_exit)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

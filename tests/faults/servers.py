"""The servers of a stage: each can be killed, stopped and started again at any time, and none outlives this process."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from authsvc.embedded import postgres
from authsvc.embedded.places import Place
from authsvc.embedded.process import Answer
from authsvc.embedded.programs import Programs
from tests.journeys.service import children_of, free_port

START_SECONDS = 30.0
PAUSE_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def launch(
    command: Sequence[str | Path], log: Path, *, uid: int | None = None, parting: signal.Signals, **options: Any
) -> "subprocess.Popen[str]":
    """A process that gets `parting` when we are gone, however we went. From the main thread."""
    parent = os.getpid()

    def before_exec() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(parting), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    account: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    with log.open("a") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True, start_new_session=True,
            preexec_fn=before_exec, **account, **options,
        )  # fmt: skip


def send(pids: Sequence[int] | set[int], what: signal.Signals) -> None:
    """To those that still live."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


async def wait_for(is_so: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    patience = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < patience, "it never came to be so"
        await asyncio.sleep(PAUSE_SECONDS)


class Postgres:
    """On the cluster of a place that the embedded stores have made and left."""

    def __init__(self, programs: Programs, place: Place, log: Path) -> None:
        self._programs, self._place, self._log = programs, place, log
        self._settings = postgres.Options(durable=True, max_connections=200).settings(place)
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        """It answers when this returns. What is left of one that was killed may still be dying: tried until it goes."""
        program = self._programs.postgres_bin / "postgres"
        # What was committed without waiting for the disk stays in memory for long, so that a crash shows it.
        lazy = ["-c", "wal_writer_delay=10s"]
        command: list[str | Path] = [program, "-D", self._place.postgres, *self._settings, *lazy]
        patience = time.monotonic() + START_SECONDS
        while True:
            if self._process is None or self._process.poll() is not None:
                self._process = launch(command, self._log, uid=self._place.uid, parting=signal.SIGQUIT, cwd="/")
            if await asyncio.to_thread(postgres.ask, self._place) is Answer.READY:
                return
            assert time.monotonic() < patience, self._log.read_text()[-2000:]
            await asyncio.sleep(PAUSE_SECONDS)

    async def end(self, *signals: signal.Signals) -> None:
        """SIGINT: fast, SIGQUIT: immediate. Returns when it is gone."""
        process = self._process
        if process is not None:
            for each in (*signals, signal.SIGKILL):
                send([process.pid], each)
                with suppress(AssertionError):
                    await wait_for(lambda: process.poll() is not None, 10)
                    break
        self._process = None

    async def crash(self) -> None:
        """As when the power fails, but for what the kernel has: the postmaster and all of its children at once."""
        await self.end_at_once(self.processes())

    async def behead(self) -> None:
        """The postmaster alone is killed; its children find out."""
        assert self._process is not None
        await self.end_at_once({self._process.pid})

    async def end_at_once(self, pids: set[int]) -> None:
        process = self._process
        assert process is not None
        send(pids, signal.SIGKILL)
        await wait_for(lambda: process.poll() is not None)

    def processes(self) -> set[int]:
        return set() if self._process is None else {self._process.pid} | children_of(self._process.pid)


class RedisServer:
    """A Valkey or Redis on a port of its own. It saves when it is told to."""

    def __init__(self, programs: Programs, place: Place, directory: Path, log: Path) -> None:
        self._program, self._uid, self._log = programs.redis_server, place.uid, log
        self._directory = directory
        place.give(directory)
        self.port = free_port()
        self.password: str | None = None
        """That it wants at present."""
        self._process: subprocess.Popen[str] | None = None

    async def start(self, **more: str) -> None:
        """It answers when this returns. `more`: settings."""
        settings = {
            "bind": "127.0.0.1", "port": str(self.port), "dir": str(self._directory), "save": "", "appendonly": "no",
            "enable-debug-command": "local", "daemonize": "no", "repl-diskless-sync-delay": "0",
        }  # fmt: skip
        command: list[str | Path] = [
            self._program,
            *(part for name, value in (settings | more).items() for part in (f"--{name}", value)),
        ]
        self._process = launch(command, self._log, uid=self._uid, parting=signal.SIGKILL, cwd=self._directory)
        patience = time.monotonic() + START_SECONDS
        while await self.tell("PING", fails=True) is None:
            assert time.monotonic() < patience and self._process.poll() is None, self._log.read_text()[-2000:]
            await asyncio.sleep(PAUSE_SECONDS)

    async def tell(self, *command: str | int, fails: bool = False) -> Any:
        """On a connection of its own, past every wire. `fails`: then None instead of an error."""
        client = redis.Redis(
            port=self.port, password=self.password, socket_timeout=5, socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0), protocol=2,
        )  # fmt: skip
        try:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (redis.RedisError, OSError):
            if not fails:
                raise
            return None
        finally:
            await client.aclose()

    async def kill(self) -> None:
        process = self._process
        if process is not None:
            send([process.pid], signal.SIGKILL)
            await wait_for(lambda: process.poll() is not None)
        self._process = None

    def forget(self) -> None:
        """What it has saved."""
        for file in self._directory.glob("*.rdb"):
            file.unlink()

    def processes(self) -> set[int]:
        return set() if self._process is None else {self._process.pid}

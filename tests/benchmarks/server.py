"""The servers of a run: one process for each application, on a free port of the loopback."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cpu import Cores, family, seconds_of

STOP_SECONDS = 10.0
_CHECKOUT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """CPU time of the process and its children until now."""
        return seconds_of(family(self.pid))


@contextmanager
def running(factory: str, cores: Cores, *, environ: Mapping[str, str], as_worker: bool = False) -> Iterator[Server]:
    """A server that takes connections: who connects before it is ready waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.serve", factory, "worker" if as_worker else "bare",
             str(listener.fileno()), str(os.getpid()), *map(str, sorted(cores.server))],
            cwd=_CHECKOUT, env={**_clean_environment(), **environ}, pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield Server(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _clean_environment() -> dict[str, str]:
    """No setting of the caller's reaches a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AUTHSVC_") and name != "PROMETHEUS_MULTIPROC_DIR"
    }

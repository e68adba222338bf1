"""The servers of a run: one for each application, on a free port of the loopback."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cpu import family, seconds_of
from tests.journeys.service import free_port

STOP_SECONDS = 10.0
CHECKOUT = Path(__file__).parent.parent.parent
_LAUNCH = Path(__file__).with_name("launch.py")

Command = Callable[[int, int], list[str]]
"""What is run to listen on the socket of this descriptor, which is bound to this port."""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int
    management_port: int | None = None

    def cpu_seconds(self) -> float:
        """CPU time of the process and its children until now."""
        return seconds_of(family(self.pid))


@contextmanager
def running(
    factory: str, cores: Collection[int], *, environ: Mapping[str, str], as_worker: bool = False
) -> Iterator[Server]:
    """An application in one process, as a worker of the service or bare."""
    kind = "worker" if as_worker else "bare"

    def command(fd: int, _: int) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.serve", factory, kind, str(fd)]

    with listening(command, cores, environ=environ) as server:
        yield server


@contextmanager
def listening(
    command: Command,
    cores: Collection[int],
    *,
    environ: Mapping[str, str],
    directory: Path = CHECKOUT,
    log: int | None = None,
) -> Iterator[Server]:
    """A server that takes connections: who connects before it is ready waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        port = listener.getsockname()[1]
        process = _launch(
            command(listener.fileno(), port), cores, environ=environ, directory=directory, log=log,
            descriptors=[listener.fileno()],
        )  # fmt: skip
    with _ended(process):
        yield Server(port, process.pid)


@contextmanager
def serving(workers: int, cores: Collection[int], *, environ: Mapping[str, str]) -> Iterator[Server]:
    """`authsvc serve`, which opens its ports itself."""
    port, management_port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "authsvc", "serve", "--port", str(port), "--management-port", str(management_port)),
        *("--workers", str(workers), "--drain-seconds", "0"),
    ]
    process = _launch(command, cores, environ=environ, directory=CHECKOUT)
    with _ended(process):
        yield Server(port, process.pid, management_port)


def _launch(
    command: list[str],
    cores: Collection[int],
    *,
    environ: Mapping[str, str],
    directory: Path,
    log: int | None = None,
    descriptors: Collection[int] = (),
) -> "subprocess.Popen[bytes]":
    launch = [sys.executable, "-I", str(_LAUNCH), str(os.getpid()), ",".join(map(str, sorted(cores)))]
    return subprocess.Popen(
        [*launch, *command], cwd=directory, env={**_clean_environment(), **environ}, pass_fds=descriptors,
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
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

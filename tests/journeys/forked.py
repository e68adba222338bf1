"""Commands without the half second that Python takes to start and to import: one process has imported all of authsvc,
and makes each command by forking.

A command made so is a process like any other, with arguments, an environment, a directory and a status of its own.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PREPARED = ("authsvc.cli", "authsvc.doctor", "authsvc.migrate", "authsvc.wiring")
_LONGEST = 4096
_SIZE = 4
_STANDARD = (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY | os.O_CREAT), ("stderr", os.O_WRONLY | os.O_CREAT))


# --- In the test


@dataclass(frozen=True)
class Command:
    """A command that runs, or has run. In its desk is what it was told, and what it says."""

    arguments: tuple[str, ...]
    _desk: Path
    _line: socket.socket

    def wait(self, seconds: float) -> "subprocess.CompletedProcess[str]":
        """What came of it, once.

        Raises:
            subprocess.TimeoutExpired: it took longer, and is killed.
        """
        try:
            with self._line as line:
                pid = _hear(line)
                line.settimeout(seconds)
                try:
                    status = _hear(line)
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(self.arguments, seconds) from None
            said = [(self._desk / name).read_text() for name in ("stdout", "stderr")]
            return subprocess.CompletedProcess(self.arguments, status, *said)
        finally:
            shutil.rmtree(self._desk)


def start(environ: dict[str, str], *arguments: str, stdin: str = "", cwd: Path | None = None) -> Command:
    """`python -m authsvc` with these arguments."""
    desk = Path(tempfile.mkdtemp(prefix="authsvc-command-"))
    order = {"arguments": arguments, "environ": environ, "cwd": str(cwd or Path.cwd())}
    (desk / "order").write_text(json.dumps(order))
    (desk / "stdin").write_text(stdin)
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(_orders(), [os.fsencode(desk)], [theirs.fileno()])
    return Command(arguments, desk, ours)


@cache
def _orders() -> socket.socket:
    """Where orders go. Who takes them ends when this process does."""
    ours, theirs = socket.socketpair()
    with theirs:
        inherited = theirs.fileno()
        taker = subprocess.Popen([sys.executable, "-m", __name__, str(inherited)], cwd=ROOT, pass_fds=[inherited])

    @atexit.register
    def end() -> None:
        ours.close()
        taker.wait()

    return ours


def _hear(line: socket.socket) -> int:
    return int.from_bytes(line.recv(_SIZE), "big", signed=True)


# --- In the process that forks


def take_orders(orders: socket.socket) -> Path:
    """Returns in each process that is to become a command, and in no other: the desk."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who gives the orders
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here asks what has become of a child
    for name in PREPARED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        desk, lines, _, _ = socket.recv_fds(orders, _LONGEST, 1)
        if not desk:
            os._exit(0)
        if os.fork() == 0:
            break
        os.close(lines[0])
    orders.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _leave_a_parent(lines[0])
    return Path(os.fsdecode(desk))


def _leave_a_parent(line: int) -> None:
    """Who waits for the command, and tells how it ended."""
    with socket.socket(fileno=line) as teller:
        if pid := os.fork():
            teller.sendall(pid.to_bytes(_SIZE, "big", signed=True))
            _, status = os.waitpid(pid, 0)
            teller.sendall(os.waitstatus_to_exitcode(status).to_bytes(_SIZE, "big", signed=True))
            os._exit(0)


def become_command(desk: Path) -> None:
    """What Python would have made of the process."""
    for number, (name, flags) in enumerate(_STANDARD):
        file = os.open(desk / name, flags)
        os.dup2(file, number)
        os.close(file)
    order: dict[str, Any] = json.loads((desk / "order").read_text())
    os.environ.clear()
    os.environ.update(order["environ"])
    os.chdir(order["cwd"])
    sys.argv[1:] = order["arguments"]
    runpy.run_module("authsvc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    become_command(take_orders(socket.socket(fileno=int(sys.argv[1]))))

"""A service as an operator runs it: real processes on loopback ports, told to by the command line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx2

from tests import overheard
from tests.house_of import MASTER_KEY
from tests.journeys import fetch, forked

START_SECONDS = 60
AUTHSVC = [sys.executable, "-m", "authsvc"]


# Below those that the kernel gives to connections. Test runs at one time begin at different ones.
_PORTS = range(20_000, 32_000)
_ports = islice(cycle(_PORTS), os.getpid() * 997 % len(_PORTS), None)


def free_port() -> int:
    """One that nobody listens on, and that is not given out again."""
    for port in _ports:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment of this run without any setting of ours, and then these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTHSVC_", "PROMETHEUS_"))}
    return kept | settings


@dataclass
class Service:
    """One running `authsvc serve`."""

    process: "subprocess.Popen[str]"
    base: str
    management: str
    environ: dict[str, str]
    log: Path

    def cli(self, *arguments: str, stdin: str = "") -> Any:
        """What a command answers, as JSON."""
        return json.loads(run_cli(self.environ, *arguments, "--json", stdin=stdin).stdout)

    def client(self, *options: str) -> tuple[str, str]:
        """A new client that may ask for tokens of its own: its id and its secret."""
        made = self.cli("client", "create", "--name", "journey", "--grant", "client_credentials", *options)
        return made["client_id"], made["client_secret"]

    def token(self, auth: tuple[str, str]) -> str:
        answer = fetch.post(f"{self.base}/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def introspect(self, auth: tuple[str, str], token: str) -> httpx2.Response:
        return fetch.post(f"{self.base}/oauth2/introspect", data={"token": token}, auth=auth)

    def revoke(self, auth: tuple[str, str], token: str) -> httpx2.Response:
        return fetch.post(f"{self.base}/oauth2/revoke", data={"token": token}, auth=auth)

    def ask_management(self, path: str) -> httpx2.Response:
        return fetch.get(self.management + path)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def run_cli(
    environ: dict[str, str], *arguments: str, stdin: str = "", cwd: Path | None = None, check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """A command to its end. One that starts other processes is started itself, and the others are forked."""
    if arguments[0] in ("dev", "serve", "work"):
        done = subprocess.run(
            [*AUTHSVC, *arguments], input=stdin, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60
        )
    else:
        done = forked.start(environ, *arguments, stdin=stdin, cwd=cwd).wait(60)
    overheard.RUN.told(done.stdout)
    overheard.RUN.said("what commands complain of", done.stderr)
    assert not check or done.returncode == 0, done.stderr
    return done


@contextmanager
def serving(database_url: str, log: Path, *options: str, **settings: str) -> Iterator[Service]:
    """`authsvc serve` on this database: all of its workers serve when the block begins, and SIGTERM ends it."""
    port, management_port = free_port(), free_port()
    base = f"{'https' if 'AUTHSVC_TLS_KEY' in settings else 'http'}://127.0.0.1:{port}"
    ours = {"AUTHSVC_DATABASE_URL": database_url, "AUTHSVC_ISSUER": base, "AUTHSVC_MASTER_KEY": MASTER_KEY}
    environ = clean_environment(**(ours | settings))
    ports = ["--port", str(port), "--management-port", str(management_port), "--drain-seconds", "0"]
    with log.open("w") as stderr:
        process = subprocess.Popen([*AUTHSVC, "serve", *ports, *options], env=environ, stderr=stderr, text=True)
    service = Service(process, base, f"http://127.0.0.1:{management_port}", environ, log)
    try:
        # A first worker makes it ready, and with the last one this is said.
        wait_until(lambda: _has_said(service, "serving"), START_SECONDS)
        wait_until(lambda: _is_ready(service), START_SECONDS)
        yield service
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        overheard.RUN.said("logs", log.read_text())


@contextmanager
def working(service: Service, log: Path) -> Iterator[Service]:
    """`authsvc work` beside a service, ended by SIGTERM."""
    port = free_port()
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*AUTHSVC, "work", "--management-port", str(port)], env=service.environ, stderr=stderr, text=True
        )
    worker = Service(process, "", f"http://127.0.0.1:{port}", service.environ, log)
    try:
        wait_until(lambda: _is_ready(worker), START_SECONDS)
        yield worker
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _has_said(service: Service, message: str) -> bool:
    said = service.log.read_text()
    assert service.process.poll() is None, said
    return message in said


def _is_ready(service: Service) -> bool:
    assert service.process.poll() is None, service.log.read_text()
    try:
        return service.ask_management("/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def wait_until(is_so: Any, seconds: float) -> float:
    """How long it took until it was so."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, "it never was so"
        time.sleep(0.05)
    return time.monotonic() - started


def children_of(pid: int) -> set[int]:
    """Every process below this one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found |= {int(child)} | children_of(int(child))
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

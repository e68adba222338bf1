"""The processes of a running service, real ones: nothing is lost, nothing is left behind, and Ctrl-C is quiet."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.journeys.service import free_port

PATIENCE_S = 20.0
ACTIVE = 'authsvc_introspections_total{outcome="active"}'
LIVING = "authsvc_http_requests_in_progress"
"""The example sets it to 1 in each worker."""

T = TypeVar("T")
both = pytest.mark.parametrize("workers", [1, 2])


def wait_for(look: Callable[[], T], what: str) -> T:
    """What `look` finds, as soon as it finds anything. A refused connection is nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
        except OSError:
            pass
        time.sleep(0.02)
    pytest.fail(f"waited in vain for {what}")


def get(port: int, path: str, timeout: float = 10.0) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Service:
    """A supervisor in a session of its own, so that whatever it leaves behind is found."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.port, self.management_port = free_port(), free_port()
        self.directory = directory
        self.trace = directory / "trace"
        given = {
            "port": self.port,
            "management_port": self.management_port,
            "workers": 1,
            "drain_seconds": 0,
            "app": "tests.supervised_app:create_app",
            **options,
        }
        self._stderr = (directory / "stderr").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised_app", json.dumps(given)],
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"), "TRACE": str(self.trace)},
            start_new_session=True,
        )

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    @property
    def processes(self) -> set[int]:
        """All that live in its session, by id."""
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                pid, _, rest = stat.read_text().partition(" ")
            except OSError:
                continue
            state, _, _, session = rest.rpartition(")")[2].split()[:4]
            if int(session) == self.process.pid and state != "Z":
                found.add(int(pid))
        return found

    def until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.stderr

    def get(self, path: str, timeout: float = 10.0) -> tuple[int, str]:
        return get(self.port, path, timeout)

    def ask(self, path: str, timeout: float = 1.0) -> tuple[int, str]:
        """The management listener, which has to be quick."""
        return get(self.management_port, path, timeout)

    def a_worker(self) -> int:
        """The id of the worker that answers. It counts one introspection."""
        return int(self.get("/pid")[1])

    def workers(self, count: int) -> set[int]:
        """The ids of so many workers, as they answer."""
        found: set[int] = set()

        def another() -> bool:
            found.add(self.a_worker())
            return len(found) == count

        wait_for(another, f"{count} workers")
        return found

    def number(self, name: str) -> float:
        status, text = self.ask("/metrics")
        assert status == 200
        values = [line.removeprefix(name) for line in text.splitlines() if line.startswith(name + " ")]
        return float(values[0]) if values else 0.0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def press_ctrl_c(self) -> None:
        """As a terminal does: the whole group gets it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def exit_status(self) -> int:
        return self.process.wait(PATIENCE_S)

    def until_gone(self) -> None:
        """Nothing is left, but for the moment that a helper of Python's own takes to notice."""
        wait_for(lambda: not self.processes, "everything to be gone")

    def clean(self) -> None:
        for pid in self.processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._stderr.close()


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    services: list[Service] = []

    def started(*, ready: bool = True, **options: Any) -> Service:
        services.append(Service(tmp_path, **options))
        if ready:
            services[-1].until_ready()
        return services[-1]

    yield started
    for service in services:
        service.clean()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


# --- Numbers


def test_the_numbers_of_all_workers_are_added_up_and_outlive_a_killed_one(start: Start) -> None:
    service = start(workers=2)
    first, second = service.workers(2)
    before = service.number(ACTIVE)
    assert before >= 2
    assert service.number(LIVING) == 2
    os.kill(first, signal.SIGKILL)
    assert service.number(ACTIVE) >= before, "a scrape while it dies"
    wait_for(lambda: service.number(LIVING) == 1, "its share of the gauge to end")
    assert service.number(ACTIVE) == before
    wait_for(lambda: service.number(LIVING) == 2, "its successor")
    assert first not in service.workers(2)
    answered = 0
    while service.a_worker() == second:
        answered += 1
    assert service.number(ACTIVE) >= before + answered + 1
    assert service.ask("/livez")[0] == service.ask("/readyz")[0] == 200


def test_the_management_listener_is_guarded_as_the_service_is(start: Start) -> None:
    service = start()
    host = b" HTTP/1.1\r\nHost: a\r\n"
    cases = [
        (b"GET /" + b"x" * 20_000 + host + b"\r\n", b"431"),
        (b"GET /livez" + host + b"Transfer-Encoding: xchunked\r\n\r\n", b"400"),
        (b"GET /livez" + host + b"Connection: close\r\n\r\n", b"200"),
    ]
    for request, status in cases:
        with socket.create_connection(("127.0.0.1", service.management_port), timeout=10) as client:
            client.sendall(request)
            assert client.recv(65_536).startswith(b"HTTP/1.1 " + status)
    with ExitStack() as stack:
        # Far more than one address gets; who is already there is not moved by them.
        kept = http.client.HTTPConnection("127.0.0.1", service.management_port, timeout=10)
        stack.callback(kept.close)
        for number in range(150):
            if number == 50:
                kept.connect()
            stack.enter_context(socket.create_connection(("127.0.0.1", service.management_port), timeout=10))
        last = stack.enter_context(socket.create_connection(("127.0.0.1", service.management_port), timeout=10))
        assert last.recv(65_536).startswith(b"HTTP/1.1 429 ")
        kept.request("GET", "/livez")
        assert kept.getresponse().status == 200


# --- What dies or hangs


@both
def test_the_management_listener_answers_while_a_worker_hangs(start: Start, workers: int) -> None:
    service = start(workers=workers, hang_seconds=1.5)
    hanging = service.a_worker()
    os.kill(hanging, signal.SIGSTOP)
    for _ in range(20):
        assert service.ask("/metrics")[0] == 200
        assert service.ask("/livez") == (200, '{"status":"live"}')
    wait_for(lambda: hanging not in service.processes, "its end")
    assert hanging not in service.workers(workers)
    assert service.stderr.count("a worker hangs and is killed") == 1


def test_a_blocked_loop_is_noticed(start: Start, pool: ThreadPoolExecutor) -> None:  # FLT-27
    service = start(hang_seconds=1.5)
    blocked = service.a_worker()
    answer = pool.submit(service.get, "/block?seconds=60")
    wait_for(lambda: blocked not in service.processes, "its end")
    assert isinstance(answer.exception(), ConnectionError | http.client.HTTPException)
    assert service.a_worker() != blocked


def test_a_dead_management_listener_is_replaced(start: Start) -> None:
    service = start()
    worker = service.a_worker()
    service.number(LIVING)
    (management,) = (pid for pid in service.processes if _listens(pid, service.management_port) and pid != worker)
    os.kill(management, signal.SIGKILL)
    wait_for(lambda: management not in service.processes, "its end")
    wait_for(lambda: service.ask("/readyz")[0] == 200, "its successor")
    assert service.number(ACTIVE) == 1
    assert service.a_worker() == worker


def _listens(pid: int, port: int) -> bool:
    """Whether this child of the supervisor holds the listening socket of the port."""
    inodes = {
        fields[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    links = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    return int(parent) != os.getpid() and any(f"socket:[{inode}]" in links for inode in inodes)


def test_what_cannot_start_is_tried_ever_more_slowly(start: Start) -> None:
    service = start(ready=False, app="tests.supervised_app:create_broken_app")
    wait_for(lambda: len(service.trace.read_text().split()) == 3, "three starts")
    _, second, third = (float(each) for each in service.trace.read_text().split())
    assert third - second > 1.0
    assert service.stderr.count("ever more slowly") == 1
    assert service.ask("/readyz") == (503, '{"status":"not ready","faults":["no worker is ready"]}')
    service.signal(signal.SIGTERM)
    assert service.exit_status() == 0


# --- Stopping


@both
def test_sigterm_drains_then_finishes_what_has_begun(start: Start, pool: ThreadPoolExecutor, workers: int) -> None:
    # FLT-25
    service = start(workers=workers, drain_seconds=3.0)
    begun = time.monotonic()
    slow = pool.submit(service.get, "/slow?seconds=4")
    wait_for(lambda: slow.running(), "the request")
    service.a_worker()  # by now the slow one has been taken, too
    service.signal(signal.SIGTERM)
    wait_for(lambda: service.ask("/readyz") == (503, '{"status":"not ready","faults":["draining"]}'), "the notice")
    assert time.monotonic() - begun < 3.0
    assert service.ask("/livez")[0] == 200
    assert service.get("/pid")[0] == 200, "it serves while it drains"
    assert slow.result() == (200, "done")
    assert service.exit_status() == 0
    service.until_gone()
    assert "Traceback" not in service.stderr
    with pytest.raises(ConnectionRefusedError):
        service.a_worker()


@both
def test_ctrl_c_is_quiet(start: Start, pool: ThreadPoolExecutor, workers: int) -> None:
    service = start(workers=workers, drain_seconds=0.2)
    slow = pool.submit(service.get, "/slow?seconds=0.6")
    service.a_worker()
    service.press_ctrl_c()
    assert slow.result() == (200, "done")
    assert service.exit_status() == 0
    service.until_gone()
    assert [json.loads(line)["message"] for line in service.stderr.splitlines()] == ["serving", "stopping", "stopped"]


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.3])
def test_ctrl_c_is_quiet_while_it_starts(start: Start, delay: float) -> None:
    service = start(ready=False, workers=2)
    wait_for(lambda: len(service.processes) >= 4, "the children")
    time.sleep(delay)
    service.press_ctrl_c()
    assert service.exit_status() == 0
    service.until_gone()
    assert "Traceback" not in service.stderr


def test_a_second_ctrl_c_waits_for_nobody(start: Start, pool: ThreadPoolExecutor) -> None:
    service = start(drain_seconds=60)
    slow = pool.submit(service.get, "/slow?seconds=60")
    service.a_worker()
    service.press_ctrl_c()
    time.sleep(0.5)  # two presses of a key, not one that comes by two ways
    assert service.process.poll() is None
    service.press_ctrl_c()
    begun = time.monotonic()
    assert service.exit_status() == 0
    assert time.monotonic() - begun < 30
    assert slow.exception() is not None


def test_a_killed_supervisor_leaves_nothing_behind_and_no_numbers_to_the_next(start: Start) -> None:
    for workers in (2, 1):
        service = start(workers=workers)
        service.a_worker()
        assert service.number(ACTIVE) == 1
        assert len(service.processes) >= 2 + workers
        service.signal(signal.SIGKILL)
        service.exit_status()
        service.until_gone()


# --- Starting, and starting anew


def test_a_taken_port_is_told_in_one_line_and_nothing_is_started(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = start(ready=False, management_port=port)
        assert service.exit_status() == 2
        assert service.stderr == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        assert not (service.directory / "metrics").exists()


def test_sighup_replaces_the_workers_without_losing_a_request(start: Start, pool: ThreadPoolExecutor) -> None:
    # FLT-25
    service = start(workers=2)
    old = service.workers(2)
    is_over = threading.Event()

    def ask_on() -> int:
        asked = 0
        while not is_over.is_set():
            assert service.get("/pid")[0] == 200
            asked += 1
        return asked

    clients = [pool.submit(ask_on) for _ in range(4)]
    service.signal(signal.SIGHUP)
    try:
        wait_for(lambda: not old & service.processes, "the old ones to go")
    finally:
        is_over.set()
    assert all(client.result() > 0 for client in clients)
    assert not old & service.workers(2)
    wait_for(lambda: service.number(LIVING) == 2, "two in the gauge")


def test_sighup_keeps_the_old_workers_when_the_new_ones_do_not_start(start: Start) -> None:
    service = start(workers=2, app="tests.supervised_app:create_breakable_app")
    old = service.workers(2)
    service.trace.touch()
    service.signal(signal.SIGHUP)
    wait_for(lambda: "the old ones stay" in service.stderr, "the complaint")
    assert service.workers(2) == old
    assert service.ask("/readyz")[0] == 200

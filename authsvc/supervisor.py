"""The parent of every process of a running service: it binds the ports, starts the workers and the management listener,
replaces what dies or hangs, and takes everything down in order.

It never waits for one child: one that hangs holds up neither a signal nor the others.
"""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

from authsvc.clock import SystemClock
from authsvc.errors import ConfigurationError
from authsvc.logs import get_logger
from authsvc.management import ManagementProcess, Status
from authsvc.settings import Settings
from authsvc.tls import find_context
from authsvc.worker import WorkerProcess

log = get_logger(__name__)

TICK_S = 0.5
YOUNG_S = 10.0  # who dies younger has not really started
LONGEST_PAUSE_S = 30.0
ONE_KEYPRESS_S = 0.3  # a terminal and a program in between may both pass on one Ctrl-C
BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to serve. `metrics_dir` is where the processes put their numbers, and belongs to this service alone.

    Without a `port` the workers answer nobody: they do what their application does by itself. A worker whose loop does
    not turn for `hang_seconds` is replaced. SIGHUP replaces all of them, or, with `ends_with_terminal`, stops the
    service: the terminal that it belongs to was closed. `on_ready` is called once, in the parent, when all workers
    answer requests for the first time.
    """

    host: str = "127.0.0.1"
    port: int | None
    management_host: str
    management_port: int
    workers: int
    metrics_dir: str
    drain_seconds: float
    graceful_timeout: int = 20
    hang_seconds: float = 10.0
    ends_with_terminal: bool = False
    on_ready: Callable[[], None] | None = None
    app: str = "authsvc.app:create_app"
    probe: str = "authsvc.readiness:open_readiness"


def serve(options: ServeOptions, settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C, from the main thread. The exit status.

    At the first such signal: not ready at once, further service for `drain_seconds`, then the workers finish what they
    have begun. A second one takes them down as they are. SIGHUP replaces them one by one.

    Raises:
        ConfigurationError: a port cannot be had, or the TLS files are of no use. Nothing has been started then.
    """
    with ExitStack() as stack:
        addresses = [(options.management_host, options.management_port)]
        if options.port is not None:
            addresses.append((options.host, options.port))
        listeners: list[socket.socket] = []
        faults: list[str] = []
        for host, port in addresses:
            try:
                listeners.append(stack.enter_context(listen(host, port)))
            except OSError as error:
                faults.append(f"cannot listen on {host} port {port}: {error.strerror}")
        if faults:
            raise ConfigurationError(faults)
        find_context(settings.tls_certificate, settings.tls_key, SystemClock().now())  # each worker opens its own
        _empty(Path(options.metrics_dir))
        return Supervisor(options, settings, *listeners).run()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket: clients wait while the first worker starts. Of several addresses, IPv4 goes first.

    Raises:
        OSError: it cannot be had.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _empty(directory: Path) -> None:
    """What the processes of an earlier run counted. By the parent alone: no worker may wipe its siblings' numbers."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()


class Supervisor:
    """The processes of one service. To be run once."""

    def __init__(
        self, options: ServeOptions, settings: Settings, management_listener: socket.socket, *listeners: socket.socket
    ) -> None:
        self._options = options
        self._settings = settings
        self._management_listener = management_listener
        self._listeners = listeners
        self._workers: list[WorkerProcess] = []
        self._generation = 0
        self._deaths_in_youth = 0
        self._not_before = 0.0
        self._is_announced = False
        self._stop_asked: float | None = None
        self._is_hurried = False

    # --- The life of a service

    def run(self) -> int:
        """From the first worker to the last. The exit status."""
        options = self._options
        with self._alarmed_by_signals():
            self._management = ManagementProcess(
                self._management_listener, options.probe, self._settings, options.metrics_dir
            )
            try:
                while self._stop_asked is None:
                    self._fill()
                    self._turn()
                    self._announce()
                self._drain()
                self._stop_workers()
            finally:
                self._kill_workers()
                self._management.stop()
        log.info("stopped")
        return 0

    def _announce(self) -> None:
        if self._is_announced or self._status().ready < self._options.workers:
            return
        self._is_announced = True
        scheme = "https" if self._settings.tls_certificate else "http"
        log.info(
            "serving",
            address=next((_address(each, scheme) for each in self._listeners), None),
            management=_address(self._management_listener, "http"),
            workers=self._options.workers,
        )
        if self._options.on_ready is not None:
            self._options.on_ready()

    def _drain(self) -> None:
        """Who sends traffic here is told, and gets the time to send it elsewhere."""
        seconds = self._options.drain_seconds if self._status().ready else 0.0
        log.info("stopping", drain_seconds=seconds)
        self._turn(0)
        end = time.monotonic() + seconds
        while self._workers and not self._is_hurried and (left := end - time.monotonic()) > 0:
            self._turn(min(left, TICK_S))

    def _stop_workers(self) -> None:
        for listener in self._listeners:
            listener.close()
        for each in self._workers:
            each.retire()
        while self._workers and not self._is_hurried:
            self._turn()

    def _kill_workers(self) -> None:
        for each in self._workers:
            each.kill()
        while self._workers:
            self._bury(self._workers[0])

    # --- Signals

    @contextmanager
    def _alarmed_by_signals(self) -> Iterator[None]:
        """The handlers only take note; a byte on a socket ends the wait that they come into."""
        on_hangup = self._on_stop if self._options.ends_with_terminal else self._on_hangup
        handlers = {signal.SIGTERM: self._on_stop, signal.SIGINT: self._on_stop, signal.SIGHUP: on_hangup}
        self._alarm, bell = socket.socketpair()
        with self._alarm, bell:
            self._alarm.setblocking(False)
            bell.setblocking(False)
            before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
            bell_before = signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
            try:
                yield
            finally:
                signal.set_wakeup_fd(bell_before)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _on_stop(self, _: int, __: FrameType | None) -> None:
        now = time.monotonic()
        if self._stop_asked is None:
            self._stop_asked = now
        elif now - self._stop_asked > ONE_KEYPRESS_S:
            self._is_hurried = True

    def _on_hangup(self, _: int, __: FrameType | None) -> None:
        self._generation += 1

    # --- Watching

    def _turn(self, timeout: float = TICK_S) -> None:
        """Wait until something happens, and see to every child."""
        signs = [sign for each in self._workers for sign in each.signs]
        wait([self._alarm, *self._management.signs, *signs], timeout)
        with suppress(BlockingIOError):
            self._alarm.recv(4096)
        for each in list(self._workers):
            each.feel_pulse()
            if each.is_dead:
                self._bury(each)
            elif each.is_overdue(self._options.hang_seconds):
                log.error("a worker hangs and is killed", pid=each.pid)
                each.kill()
        self._management.keep(self._status())

    def _bury(self, each: WorkerProcess) -> None:
        each.bury()
        self._workers.remove(each)
        # Not before: it can write no more. Its share of the gauges ends here, what it counted stays.
        mark_process_dead(each.pid, path=self._options.metrics_dir)  # type: ignore[no-untyped-call]
        if self._stop_asked is None and not each.is_retired:
            self._note_death(each)

    def _note_death(self, each: WorkerProcess) -> None:
        """The first to die young is replaced at once, the next ever more slowly: what cannot start must not spin."""
        self._deaths_in_youth = self._deaths_in_youth + 1 if each.age < YOUNG_S else 1
        pause = 0.0
        if self._deaths_in_youth == 1:
            log.warning("a worker died and is replaced", pid=each.pid, exit_code=each.exit_code)
        else:
            pause = min(2.0 ** (self._deaths_in_youth - 2), LONGEST_PAUSE_S)
        if self._deaths_in_youth == 2:
            log.error("workers die as they start: trying again, ever more slowly", exit_code=each.exit_code)
        self._not_before = time.monotonic() + pause
        if not each.has_started and any(other.generation < each.generation for other in self._workers):
            log.error("a new worker did not start: the old ones stay")
            for other in self._workers:
                other.generation = self._generation

    def _status(self) -> Status:
        ready = sum(each.is_ready for each in self._workers)
        return Status(live=len(self._workers), ready=ready, draining=self._stop_asked is not None)

    # --- Filling the ranks

    def _fill(self) -> None:
        """Start what is missing. When all are to be replaced: one new worker, and once it is ready one old one goes."""
        serving = [each for each in self._workers if not each.is_retired]
        old = [each for each in serving if each.generation < self._generation]
        is_quiet = len(serving) == len(self._workers) and all(each.has_started for each in serving)
        if len(serving) < self._options.workers:
            for _ in range(self._options.workers - len(serving)):
                self._start_worker()
        elif old and is_quiet:
            if len(serving) == self._options.workers:
                self._start_worker()
            else:
                old[0].retire()

    def _start_worker(self) -> None:
        if time.monotonic() < self._not_before:
            return
        options = self._options
        try:
            new = WorkerProcess(
                self._generation, self._listeners, options.app, self._settings, options.graceful_timeout
            )
        except OSError as error:  # no memory, no processes: those that run go on
            log.error("a worker cannot be started", exc_info=error)
            self._not_before = time.monotonic() + LONGEST_PAUSE_S
        else:
            self._workers.append(new)


def _address(listener: socket.socket, scheme: str) -> str:
    """As bound: port 0 has become a real one."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

"""Servers of a test's own, that it may fill, freeze, kill and start again."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.journeys.service import free_port, wait_until
from tests.stores import passable_directory, programs

SERVICE = "marks"


class OwnServer:
    """On a port of its own, for replicas, and with a directory in which what it saves stays."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._program = programs().redis_server
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """It answers when this returns."""
        self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 20)

    def _command(self) -> list[str | Path]:
        return [
            *(self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._directory, "--save", ""),
            *("--enable-debug-command", "local", "--repl-diskless-sync-delay", "0", *self._options),
        ]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> Callable[[], object]:
        """It hears nothing and says nothing, until what is returned is called."""
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        return lambda: process.send_signal(signal.SIGCONT)

    def pause(self) -> Callable[[], object]:
        """It answers nobody who might write, until what is returned is called."""
        client = redis.Redis.from_url(self.url)
        client.client_pause(60_000, all=False)  # whoever paused everything could not ask for its end

        def resume() -> None:
            client.client_unpause()
            client.close()

        return resume

    def ask(self, *command: Any) -> Any:
        """On a connection of its own."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*command)

    def until(self, is_so: Callable[["redis.Redis"], object]) -> None:
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: is_so(client), 20)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError as error:
            return isinstance(error, redis.AuthenticationError)


class OwnSentinel(OwnServer):
    """Watches over one primary, and nobody has to agree with it."""

    def __init__(self, directory: Path, watched: int, *lines: str) -> None:
        super().__init__(directory)
        self._file = directory / "sentinel.conf"
        self._file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\nsentinel monitor {SERVICE} 127.0.0.1 {watched} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 20000\n"
            + "".join(f"{line}\n" for line in lines)
        )

    def _command(self) -> list[str | Path]:
        return [self._program, self._file, "--sentinel"]

    def primary(self) -> int:
        """The port of the server that it names."""
        return int(self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def fail_over(self) -> None:
        """Another server is the primary when this returns; the one before has not been told yet."""
        before = self.primary()

        def is_begun() -> bool:
            with suppress(redis.ResponseError):  # it knows of no replica yet
                return bool(self.ask("SENTINEL", "FAILOVER", SERVICE))
            return False

        wait_until(is_begun, 30)
        wait_until(lambda: self.primary() != before, 30)


@contextmanager
def own_sentinel(watched: int, *lines: str) -> Iterator[OwnSentinel]:
    with passable_directory() as directory:
        sentinel = OwnSentinel(directory, watched, *lines)
        try:
            sentinel.start()
            yield sentinel
        finally:
            sentinel.kill()


@contextmanager
def own_servers(many: int = 1, *options: str) -> Iterator[list[OwnServer]]:
    with ExitStack() as stack:
        servers = [OwnServer(stack.enter_context(passable_directory()), *options) for _ in range(many)]
        for server in servers:
            stack.callback(server.kill)
            server.start()
        yield servers

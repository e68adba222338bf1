"""The real PostgreSQL and Valkey of `authsvc dev` and of the tests: children of this process, gone when it is gone.

Blocking, and from the main thread only: the kernel ends the servers when the thread that started them ends.
Nothing here listens on the network. Both servers are reached by unix sockets that only their owner can open.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

from authsvc.embedded import postgres, valkey
from authsvc.embedded.locks import hold_log
from authsvc.embedded.places import Place
from authsvc.embedded.process import Server
from authsvc.embedded.programs import find_programs
from authsvc.errors import ConfigurationError

__all__ = ["Embedded", "Stores", "wipe"]


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the two stores are reached."""

    database_url: str
    redis_url: str


class Embedded:
    """The two servers of one data directory.

    `say` is told what happens, a line at a time. `durable=False` lets PostgreSQL acknowledge what it has not yet
    written: for tests that kill nobody.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        say: Callable[[str], None] = lambda line: None,
        postgres_bin: Path | None = None,
        redis_server: Path | None = None,
        durable: bool = True,
        max_connections: int = 200,
    ) -> None:
        self._place = Place(data_dir)
        self._say = say
        self._postgres_bin = postgres_bin
        self._redis_server = redis_server
        self._options = postgres.Options(durable=durable, max_connections=max_connections)
        self._lock: IO[str] | None = None
        self._postgres: Server | None = None
        self._valkey: Server | None = None

    def start(self) -> Stores:
        """Both servers answer when this returns. When it raises, neither runs."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start the embedded stores from the main thread: they end with the thread that did")
        if self._lock is not None:
            raise RuntimeError("these stores are started already")
        programs = find_programs(self._postgres_bin, self._redis_server)
        place = self._place
        try:
            with _faults_of(place):
                self._lock = place.lock()
                place.settle(self._say)
                # Taking the logs waits for the servers of a crashed run: until they are gone, nothing here is ours.
                self._postgres = Server("PostgreSQL", place.logs / postgres.LOG, place.uid)
                self._valkey = Server("Valkey", place.logs / valkey.LOG, place.uid)
                place.open_sockets()
                programs = programs.within_reach(place, self._say)
                postgres.start(self._postgres, programs.postgres_bin, place, self._options, self._say)
                valkey.start(self._valkey, programs.redis_server, place)
        except BaseException:
            self.stop()
            raise
        self._say("PostgreSQL and Valkey are up")
        return _stores(place)

    def stop(self) -> None:
        """Both servers have written what they hold, and are gone, when this returns. Harmless when nothing runs."""
        if self._valkey is not None:
            valkey.stop(self._valkey)
        if self._postgres is not None:
            postgres.stop(self._postgres)
        if self._lock is not None:
            self._place.close_sockets()
            self._lock.close()
        self._lock = self._postgres = self._valkey = None

    def __enter__(self) -> Stores:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def wipe(data_dir: Path) -> None:
    """Removes what the stores keep in the data directory, and nothing else. Refuses while they run."""
    place = Place(data_dir)
    if not place.data_dir.exists():
        return
    with _faults_of(place), place.lock():
        for name in (postgres.LOG, valkey.LOG):
            hold_log(place.logs / name).close()
        place.wipe()


def _stores(place: Place) -> Stores:
    return Stores(
        database_url=f"postgresql://postgres@/{postgres.DATABASE}?host={quote(str(place.sockets))}",
        redis_url=f"unix://{quote(str(place.valkey_socket))}",
    )


@contextmanager
def _faults_of(place: Place) -> Iterator[None]:
    """A full disk, a read-only or foreign directory: for the operator to mend, and no reason for a traceback."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError([f"the embedded stores in {place.data_dir}: {error}"]) from error

"""PostgreSQL: made once, started, asked whether it is up, stopped."""

import re
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from authsvc.embedded.places import Place
from authsvc.embedded.process import Answer, Server, run
from authsvc.errors import ConfigurationError

DATABASE = "authsvc"
LOG = "postgres.log"
OLDEST_MAJOR = 15
_LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"  # byte order, so that no index depends on the machine
_ASK_S = 2.0

# What a client says to reach a session and leave it, and what the server says last when it had one to give.
_STARTUP = b"user\0postgres\0database\0" + DATABASE.encode() + b"\0\0"
_HELLO_AND_BYE = struct.pack("!II", 8 + len(_STARTUP), 3 << 16) + _STARTUP + b"X\0\0\0\4"
_READY_FOR_QUERY = b"Z\0\0\0\5I"
_CANNOT_CONNECT_NOW = b"C57P03\0"


@dataclass(frozen=True, slots=True)
class Options:
    durable: bool
    max_connections: int

    def settings(self, place: Place) -> list[str]:
        """The `-c` settings of the server. A list of addresses left empty: no TCP."""
        settings = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": str(place.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": str(self.max_connections),
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def start(server: Server, programs: Path, place: Place, options: Options, say: Callable[[str], None]) -> None:
    """Makes the cluster and its database the first time. Answers when this returns."""
    version = _version_of(programs / "postgres", place)
    _check_version(version, place)
    if not place.postgres.exists():
        say(f"making a PostgreSQL {version.text} cluster in {place.postgres}")
        _create(server, programs, place)
    (place.postgres / "postmaster.pid").unlink(missing_ok=True)  # of a crash: the log in our hand proves it stale
    server.launch(
        [programs / "postgres", "-D", place.postgres, *options.settings(place)],
        lambda: ask(place),
        parting=signal.SIGINT,
    )


def stop(server: Server) -> None:
    """A fast shutdown: sessions are ended and everything is on disk. When it hangs, an immediate one."""
    server.stop(signal.SIGINT, signal.SIGQUIT)


def ask(place: Place) -> Answer:
    """Opens a session in the database and leaves."""
    reply = b""
    with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
        knock.settimeout(_ASK_S)
        knock.connect(str(place.postgres_socket))
        knock.sendall(_HELLO_AND_BYE)
        while heard := knock.recv(8192):
            reply += heard
    if reply.endswith(_READY_FOR_QUERY):
        return Answer.READY
    return Answer.BUSY if _CANNOT_CONNECT_NOW in reply else Answer.NOTHING


def _create(server: Server, programs: Path, place: Place) -> None:
    """All or nothing: the cluster gets its name when it has its database."""
    new = place.postgres.with_name("postgres.new")
    shutil.rmtree(new, ignore_errors=True)
    place.give(new)
    server.prepare(
        [
            programs / "initdb",
            *("-D", new, "-U", "postgres", "-A", "trust", "-E", "UTF8", f"--locale={_LOCALE}", "--no-instructions"),
        ]
    )
    # The single-user mode needs no client, no socket and no second start.
    server.prepare(
        [programs / "postgres", "--single", "-D", new, "-c", "exit_on_error=on", "postgres"],
        words=f"CREATE DATABASE {DATABASE}\n",
    )
    new.rename(place.postgres)


@dataclass(frozen=True, slots=True)
class _Version:
    major: int
    text: str


def _version_of(program: Path, place: Place) -> _Version:
    """What the program calls itself. Also the first proof that it runs on this machine."""
    try:
        said = run([program, "-V"], place.uid, capture_output=True)
    except OSError as error:
        raise ConfigurationError([f"{program} does not run here: {error.strerror}"]) from error
    if said.returncode != 0:
        raise ConfigurationError([f"{program} does not run here: {said.stderr.strip()}"])
    number = re.search(r"(\d+)\S*", said.stdout)
    if number is None:
        raise ConfigurationError([f"{program} is no PostgreSQL server: it calls itself {said.stdout.strip()!r}"])
    return _Version(int(number[1]), number[0])


def _check_version(version: _Version, place: Place) -> None:
    if version.major < OLDEST_MAJOR:
        raise ConfigurationError([f"PostgreSQL {version.text} is too old: {OLDEST_MAJOR} or later is needed"])
    if place.postgres.exists():
        made_by = (place.postgres / "PG_VERSION").read_text().strip()
        if made_by != str(version.major):
            raise ConfigurationError(
                [
                    f"the data in {place.postgres} is of PostgreSQL {made_by}, and this is {version.text}: "
                    f"install PostgreSQL {made_by}, or start afresh with --reset"
                ]
            )

"""Which directory holds what, and who owns it.

PostgreSQL refuses to run as root. Started by root, both servers run as an account that owns nothing else, and all that
they touch must be within that account's reach. No mode of a directory that was there before is ever changed to get it
there: what is closed to that account stays closed, and the stores live in a directory elsewhere.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from authsvc.embedded.locks import try_lock
from authsvc.embedded.process import run
from authsvc.errors import ConfigurationError

NOBODY = 65534
POSTGRES_SOCKET = ".s.PGSQL.5432"
VALKEY_SOCKET = "valkey.sock"
_SOCKET_PATH_BYTES = 103  # macOS; Linux has 107
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")  # a comma or a quote means something in PostgreSQL's list of directories
_KEPT = ("postgres", "postgres.new", "valkey", "logs", "programs")


class Place:
    """The directories of one pair of stores."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.uid = NOBODY if os.geteuid() == 0 else None
        self._elsewhere = self.data_dir / "elsewhere"

    @property
    def home(self) -> Path:
        """Where everything but the lock lives: the data directory, or what its link `elsewhere` names."""
        return self._elsewhere.readlink() if self._elsewhere.is_symlink() else self.data_dir

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def valkey(self) -> Path:
        return self.home / "valkey"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def programs(self) -> Path:
        return self.home / "programs"

    @property
    def sockets(self) -> Path:
        """The directory of both sockets: `run`, or what that names as a link."""
        return self._run.readlink() if self._run.is_symlink() else self._run

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / POSTGRES_SOCKET

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / VALKEY_SOCKET

    def lock(self) -> IO[str]:
        """Makes the data directory this process's own until the file is closed. Refuses when it is another's."""
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True, exist_ok=True)
            self.data_dir.chmod(0o700 if self.uid is None else 0o711)
        path = self.data_dir / "lock"
        lock = try_lock(path)
        if lock is None:
            raise ConfigurationError(
                [f"process {path.read_text() or '?'} is using the stores in {self.data_dir}: stop it first"]
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if self._elsewhere.is_symlink() and not _is_ours(self.home):
            self._elsewhere.unlink()
        return lock

    def settle(self, say: Callable[[str], None]) -> None:
        """The home is there, within reach of the servers, and theirs."""
        if not self.reaches(self.home):
            if self.postgres.exists():
                raise ConfigurationError(
                    [
                        f"{self.postgres} has come to be closed to uid {self.uid}, which PostgreSQL runs as: "
                        "open the directories above it to passers-by (chmod o+x), or start afresh with --reset"
                    ]
                )
            home = Path(tempfile.mkdtemp(prefix="authsvc-", dir="/var/tmp"))
            home.chmod(0o711)
            self._elsewhere.symlink_to(home)
            say(f"{self.data_dir} is closed to uid {self.uid}, which the servers run as: the data is kept in {home}")
        for theirs in (self.postgres, self.valkey):
            if theirs.exists() and (owner := theirs.stat().st_uid) != self._owner:
                raise ConfigurationError(
                    [f"{theirs} belongs to uid {owner}: run as that user, or start afresh with --reset"]
                )

    def reaches(self, path: Path) -> bool:
        """Whether the servers' account can enter this directory, or run this program."""
        return self.uid is None or run(["/bin/sh", "-c", 'test -x "$0"', path], self.uid).returncode == 0

    def give(self, directory: Path) -> None:
        """Makes a directory that the servers, and nobody else, can enter."""
        directory.mkdir(mode=0o700, exist_ok=True)
        self._hand_over(directory)

    def open_sockets(self) -> None:
        """Makes the sockets' directory anew. The path of a socket is short and plain, or the directory is elsewhere."""
        self.close_sockets()
        if _fits(self._run):
            self.give(self._run)
            return
        for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp makes it 0700, and new
            if _fits(base / "authsvc-12345678") and self.reaches(base):
                short = Path(tempfile.mkdtemp(prefix="authsvc-", dir=base))
                self._hand_over(short)
                self._run.symlink_to(short)
                return
        raise ConfigurationError(
            [f"{self._run} is too long a path for a socket, and so is any in {tempfile.gettempdir()}"]
        )

    def close_sockets(self) -> None:
        """Nothing is left of the sockets, nor of those of a crashed run."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        if self._run.is_symlink():
            self._run.unlink()

    def wipe(self) -> None:
        """Removes everything but the lock, which must never be: two processes could each lock their own."""
        self.close_sockets()
        for name in _KEPT:
            if (kept := self.home / name).exists():
                shutil.rmtree(kept)
        if self._elsewhere.is_symlink():
            shutil.rmtree(self.home, ignore_errors=True)
            self._elsewhere.unlink()

    @property
    def _run(self) -> Path:
        return self.home / "run"

    @property
    def _owner(self) -> int:
        return os.geteuid() if self.uid is None else self.uid

    def _hand_over(self, directory: Path) -> None:
        if self.uid is not None:
            os.chown(directory, self.uid, self.uid)


def _is_ours(directory: Path) -> bool:
    """Whether the directory is still the one we made: in a temporary directory, anybody may make it once it is gone."""
    return directory.is_dir() and not directory.is_symlink() and directory.stat().st_uid == os.geteuid()


def _fits(directory: Path) -> bool:
    longest = str(directory / POSTGRES_SOCKET)
    return _PLAIN.fullmatch(longest) is not None and len(longest) <= _SOCKET_PATH_BYTES

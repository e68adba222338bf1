"""The real PostgreSQL and Valkey of the tests: how they are started, and how a test gets a database of its own.

`AUTHSVC_TEST_POSTGRES_BIN` and `AUTHSVC_TEST_REDIS_SERVER` name other servers to test against.
"""

import asyncio
import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from authsvc.embedded import Embedded, Stores, wipe
from authsvc.embedded.programs import Programs, find_programs

MEMORY = Path("/dev/shm")
ROOM = 6 << 30
"""Several times what a run was ever seen to need."""

MADE = "AUTHSVC_TEST_CLUSTER"
_ENDED = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError, OSError)
_numbers = count(1)


def write_to_memory() -> None:
    """Temporary files of this process and of those that it starts: in memory where there is plenty. A database is made
    there in a third of the time. Who is killed and comes back finds what it wrote. `TMPDIR` names another place.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK | os.X_OK):
        return
    found = os.statvfs(MEMORY)
    runs_programs = not found.f_flag & os.ST_NOEXEC
    if runs_programs and min(found.f_bavail * found.f_frsize, _free_memory()) >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def _free_memory() -> int:
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(told["MemAvailable"].removesuffix("kB")) * 1024


def embedded(data_dir: Path, **options: Any) -> Embedded:
    """The stores of that directory, not started, on the servers that this run of the tests is about."""
    return Embedded(data_dir, **_asked_for() | options)


def programs() -> Programs:
    """The servers that this run of the tests is about."""
    return find_programs(**_asked_for())


def _asked_for() -> dict[str, Any]:
    asked = {
        "postgres_bin": os.environ.get("AUTHSVC_TEST_POSTGRES_BIN"),
        "redis_server": os.environ.get("AUTHSVC_TEST_REDIS_SERVER"),
    }
    return {name: Path(path) for name, path in asked.items() if path}


@contextmanager
def passable_directory() -> Iterator[Path]:
    """A new directory that others may pass through, as `tmp_path` is not: started by root, the servers are nobody's."""
    directory = Path(tempfile.mkdtemp(prefix="authsvc-tests-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@cache
def _made_cluster() -> Path:
    """Made once, by the first of those that share this environment, and run by nobody."""
    if MADE not in os.environ:
        directory = Path(tempfile.mkdtemp(prefix="authsvc-cluster-"))
        directory.chmod(0o711)
        atexit.register(shutil.rmtree, directory)
        with embedded(directory / "stores"):
            pass
        os.environ[MADE] = str(directory / "stores" / "postgres")
    return Path(os.environ[MADE])


def prepared(data_dir: Path) -> Path:
    """The same directory, with a copy of a cluster in it: to make one takes a second."""
    cluster = _made_cluster()
    data_dir.mkdir(parents=True)
    data_dir.chmod(0o711)
    subprocess.run(["cp", "-a", cluster, data_dir], check=True)
    return data_dir


@contextmanager
def running_stores(**options: Any) -> Iterator[Stores]:
    """Stores of their own, and nothing left of them."""
    with passable_directory() as directory:
        data_dir = prepared(directory / "stores")
        try:
            with embedded(data_dir, **options) as stores, closing(KeptConnection(stores.database_url)) as kept:
                _kept[stores] = kept
                yield stores
        finally:
            wipe(data_dir)


@contextmanager
def fresh_database(stores: Stores, template: str = "template1") -> Iterator[str]:
    """The URL of a new database, a copy of the template. Whoever still uses it at the end is thrown out."""
    name = f"test_{next(_numbers)}"
    kept = _kept[stores]
    # The files are copied: twice as fast as the default for a small template.
    kept.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield urlsplit(stores.database_url)._replace(path=f"/{name}").geturl()
    finally:
        kept.execute(f"DROP DATABASE {name} WITH (FORCE)")


KEPT = "kept by the tests"
"""What PostgreSQL calls such a connection."""


class KeptConnection:
    """For what is done before and after so many tests: to connect takes as long as most of it does.

    It is made at the first statement, and anew when somebody has ended it.
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._runner = asyncio.Runner()
        self._connection: Any = None

    def execute(self, sql: str) -> None:
        self._runner.run(self._execute(sql))

    async def _execute(self, sql: str) -> None:
        if self._connection is not None:
            with suppress(*_ENDED):
                await self._connection.execute(sql)
                return
            self._connection.terminate()
        self._connection = await asyncpg.connect(self._url, server_settings={"application_name": KEPT})
        await self._connection.execute(sql)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(*_ENDED):
                self._runner.run(self._connection.close())
        self._runner.close()


_kept: dict[Stores, KeptConnection] = {}


def run_sql(database_url: str, sql: str) -> Any:
    """One statement on a connection of its own, and the first value that it returns."""

    async def run() -> Any:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    return asyncio.run(run())

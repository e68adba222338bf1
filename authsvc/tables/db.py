"""Pools, transactions, and the driver's errors turned into ours."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from time import perf_counter
from typing import Any, Protocol

import asyncpg
import msgspec

from authsvc.errors import Unavailable

Row = asyncpg.Record

# SQLSTATE classes that say "not now": connection, resources, operator, rollback, read-only after a failover, lock or
# statement timeout, I/O. 42P01 and 3F000 are a schema that has not been migrated yet.
_NOT_NOW = ("08", "53", "57", "40", "25006", "55000", "55P03", "58", "42P01", "3F000", "3D000", "28", "XX")


class Queries(Protocol):
    """What a table module needs: a pool or a connection in a transaction."""

    async def fetch(self, query: str, *args: object) -> list[Any]: ...
    async def fetchrow(self, query: str, *args: object) -> Any: ...
    async def fetchval(self, query: str, *args: object) -> Any: ...
    async def execute(self, query: str, *args: object) -> str: ...


async def read_clock(db: Queries) -> datetime:
    """What PostgreSQL's own clock says."""
    now: datetime = await db.fetchval("SELECT clock_timestamp()")
    return now


@contextmanager
def store_errors() -> Iterator[None]:
    """Whatever means "the store cannot be asked" becomes Unavailable; a fault of ours stays what it is."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_NOT_NOW):
            raise Unavailable from error
        raise
    # InternalClientError is what asyncpg raises in a session whose server was killed ("cannot switch to state").
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise Unavailable from error


async def _keep_session(connection: Any) -> None:
    """Instead of the pool's reset, a round trip: these connections never SET, LISTEN, lock or make temporary tables."""


async def _set_codecs(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(data[1:]),
    )


@asynccontextmanager
async def _heeded(connection: Any) -> AsyncIterator[list[str]]:
    """Who cancels a commit that waits for its standby makes it "succeed", with a warning: it counts as a failure."""
    warnings: list[str] = []

    def heed(_: object, message: Any) -> None:
        if message.severity_en == "WARNING":
            warnings.append(message.message)

    connection.add_log_listener(heed)
    try:
        yield warnings
    finally:
        connection.remove_log_listener(heed)
    if warnings:
        raise Unavailable


def deleted(status: str) -> int:
    """How many rows a DELETE took, by what `execute` says of it."""
    return int(status.removeprefix("DELETE "))


class Transaction:
    """The queries of one open transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, query: str, *args: object) -> list[Any]:
        with store_errors():
            return list(await self._connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Any:
        with store_errors():
            return await self._connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        with store_errors():
            return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        with store_errors():
            return str(await self._connection.execute(query, *args))


class Database:
    """A pool of connections. Opens none before the first query, so the service starts while PostgreSQL is away."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        timeout: float,
        name: str,
        on_unavailable: Callable[[], None] = lambda: None,
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._url = url
        self._size = size
        self._timeout = timeout
        self.name = name
        self._on_unavailable = on_unavailable
        self._on_wait = on_wait
        self._pool: Any = None
        self._giving_back: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._url,
            init_size=0,
            min_size=0,
            max_size=self._size,
            command_timeout=self._timeout,
            timeout=self._timeout,
            init=_set_codecs,
            reset=_keep_session,
            server_settings={"application_name": f"authsvc {self.name}"},
        )

    async def close(self) -> None:
        """Closes politely for a second, then hard: a hung server must not hold up the end of the process."""
        try:
            await asyncio.wait_for(self._pool.close(), 1)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()
        await asyncio.gather(*self._giving_back, return_exceptions=True)

    @property
    def size(self) -> int:
        return int(self._pool.get_size())

    @property
    def in_use(self) -> int:
        return int(self._pool.get_size() - self._pool.get_idle_size())

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with self._connection() as connection:
            return list(await connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Any:
        async with self._connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: object) -> Any:
        async with self._connection() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        async with self._connection() as connection:
            return str(await connection.execute(query, *args))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """One transaction: commits when the block ends, rolls back when it raises.

        The commit is durable before the block is left (C2), whatever the server's default says: also on the standbys
        that it is to wait for, even if somebody cancels the wait.
        """
        async with self._connection() as connection, _heeded(connection) as warnings:
            try:
                await connection.execute("BEGIN; SET LOCAL synchronous_commit = on")  # one trip; the driver makes two
                yield Transaction(connection)
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            warnings.clear()  # what counts is what is said of the commit
            if await connection.execute("COMMIT") != "COMMIT":
                raise RuntimeError("the block went on after one of its queries had failed: nothing was committed")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            with store_errors():
                asked = perf_counter()
                connection = await self._pool.acquire(timeout=self._timeout)
                self._on_wait(perf_counter() - asked)
                try:
                    yield connection
                except BaseException:
                    self._give_back(connection)
                    raise
                await self._pool.release(connection)
        except Unavailable:
            self._on_unavailable()
            raise

    def _give_back(self, connection: Any) -> None:
        """Releases a connection whose block has failed, without holding up the one who waits for the failure.

        The pool first waits for the query's cancellation, up to its timeout where the server hangs. A caller who is
        cancelled meanwhile would leave that wait's error to nobody, which asyncio reports with a traceback.
        """
        task = asyncio.create_task(self._pool.release(connection))
        self._giving_back.add(task)
        task.add_done_callback(self._given_back)

    def _given_back(self, task: asyncio.Task[None]) -> None:
        self._giving_back.discard(task)
        if not task.cancelled():
            task.exception()  # the pool has closed the connection; asking for the error is what keeps it quiet

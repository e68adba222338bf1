"""A way to a store that can be held up and cut, as a network can: nothing is asked of the server for it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_SOCKET = ".s.PGSQL.5432"


class Line:
    """A socket of its own, behind which every byte goes to the server and back."""

    def __init__(self, there: str, url: str, there_socket: str, socket: Path) -> None:
        self.there = there
        self.url = url
        self._there = there_socket
        self._here = socket
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self.opened = 0
        """How many connections were made so far."""

    def hold(self) -> None:
        """Let no byte through. Connections stay, and new ones are taken: nobody is told."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    async def cut(self) -> None:
        """End every connection, and take no new one until `restore`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._here.unlink(missing_ok=True)
        self.break_connections()

    def break_connections(self) -> None:
        """End every connection in the middle of whatever it does. New ones are taken."""
        for end in self._ends:
            end.transport.abort()

    async def restore(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._here)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        with suppress(OSError):
            there = await asyncio.open_unix_connection(self._there)
            ends = {writer, there[1]}
            self._ends |= ends
            await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
            self._ends -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def line_to(database_url: str) -> AsyncIterator[Line]:
    """A line to PostgreSQL."""
    directory = Path(tempfile.mkdtemp(prefix="authsvc-line-"))
    (there,) = parse_qs(urlsplit(database_url).query)["host"]
    url = urlsplit(database_url)._replace(query=f"host={quote(str(directory))}").geturl()
    async with _laid(Line(database_url, url, f"{there}/{_SOCKET}", directory / _SOCKET), directory) as line:
        yield line


@asynccontextmanager
async def redis_line_to(redis_url: str) -> AsyncIterator[Line]:
    """A line to Redis."""
    directory = Path(tempfile.mkdtemp(prefix="authsvc-line-"))
    socket = directory / "redis"
    line = Line(redis_url, f"unix://{socket}", urlsplit(redis_url).path, socket)
    async with _laid(line, directory):
        yield line


@asynccontextmanager
async def _laid(line: Line, directory: Path) -> AsyncIterator[Line]:
    await line.restore()
    try:
        yield line
    finally:
        line.resume()
        await line.cut()
        shutil.rmtree(directory)

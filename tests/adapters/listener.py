"""Listeners on the loopback, that know who came."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

Behave = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Somebody on the loopback. Who connects is counted, be it without a word."""

    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def meet(self, behave: Behave, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            await behave(head, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # they did not like us
        finally:
            writer.close()


@asynccontextmanager
async def listening(certificate: tuple[Path, Path], behave: Behave) -> AsyncIterator[Listener]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    listener = Listener()
    server = await asyncio.start_server(partial(listener.meet, behave), "127.0.0.1", 0, ssl=context)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()


def saying(text: bytes) -> Behave:
    async def behave(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    return behave

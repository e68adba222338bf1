"""One kept HTTP connection: small and cheap, and no library that tries anything again behind one's back."""

import asyncio
import base64
from collections.abc import Mapping
from typing import cast

import msgspec

PATIENCE_SECONDS = 12.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Lost(Exception):
    """There was no answer."""


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def post(path: str, body: bytes, headers: Mapping[str, str] = FORM) -> bytes:
    """The request as it goes over the wire."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: auth.example\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, headers: Mapping[str, str]) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"GET {path} HTTP/1.1\r\nHost: auth.example\r\n{head}\r\n".encode()


class Line:
    """To one node. Used by one task at a time; which worker is at the other end is chance, and stays so."""

    def __init__(self, node: str, port: int) -> None:
        self.node = node
        self._port = port
        self._end: _End | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises Lost; the next call then begins with a new connection."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._end is None or self._end.is_over:
                    loop = asyncio.get_running_loop()
                    _, self._end = await loop.create_connection(_End, "127.0.0.1", self._port)
                return await self._end.ask(request)
        except (OSError, TimeoutError) as error:
            self.close()
            raise Lost from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._end is not None:
            self._end.transport.abort()
        self._end = None


class _End(asyncio.Protocol):
    """Ours of one connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_over = False
        self._heard = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        self._heard += data
        end = self._heard.find(_END)
        if end < 0:
            return
        head = bytes(self._heard[:end]).lower()
        length = int(head.partition(_LENGTH)[2].split(b"\r\n", 1)[0] or 0)
        end += len(_END)
        if len(self._heard) < end + length:
            return
        body = bytes(self._heard[end : end + length])
        del self._heard[: end + length]
        self.is_over = self.is_over or b"connection: close" in head
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        self.is_over = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())


def json_body(**members: str) -> bytes:
    return msgspec.json.encode(members)

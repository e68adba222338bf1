"""One kept HTTP connection: small, and no library that tries anything again behind one's back."""

import asyncio
import base64
from collections.abc import Mapping

import msgspec

PATIENCE_SECONDS = 12.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Lost(Exception):
    """There was no answer."""


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


class Line:
    """To one node. Used by one task at a time; which worker is at the other end is chance, and stays so."""

    def __init__(self, node: str, port: int) -> None:
        self.node = node
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] = FORM) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises Lost; the next call then begins with a new connection."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"POST {path} HTTP/1.1\r\nHost: auth.example\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        return await self._ask(request.encode() + body)

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: auth.example\r\n{head}\r\n".encode())

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].transport.abort()
        self._ends = None

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._ends is None:
                    self._ends = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._ends
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].split("\r\n", 1)[0] or 0)
                body = await reader.readexactly(length)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.close()
            raise Lost from error
        except BaseException:
            self.close()
            raise
        if "connection: close" in head:
            self.close()
        return int(head[9:12]), body


def json_body(**members: str) -> bytes:
    return msgspec.json.encode(members)

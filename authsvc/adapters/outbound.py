"""The one way out: https to addresses that clients name, and to no others than may be gone to.

The name is resolved here, every address that it has is looked at, and the connection is made to one of these: what the
name says a moment later does not matter (DNS rebinding). No redirect is followed, no proxy of the environment asked, no
connection kept, nothing unpacked; an answer is small, and comes in time or not at all.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import httpcore2

from authsvc.errors import ConfigurationError, OutboundFailed, OutboundRefused, OutboundSilent

MAX_ANSWER_BYTES = 65_536
SECONDS = 3.0
"""For everything, from the question for the address to the last byte."""
AT_ONCE = 32
"""Requests on the way, in one worker. Those that wait for their turn wait within their time."""
MAX_ADDRESSES = 3
"""Of one name, tried one after the other."""
CONNECT_SECONDS = 0.9
"""For each of them: one that is silent leaves time for the others."""
RESOLVERS = 8
"""Threads that ask for addresses. A name server that is silent holds one for many seconds, when all have given up.
So they are its own: those of the loop, of which there are few, find PostgreSQL and Redis."""

Address = IPv4Address | IPv6Address
MayConnect = Callable[[Address], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = field(repr=False)


class Outbound:
    def __init__(self, may_connect: MayConnect, *, ca_file: str | None = None) -> None:
        """`ca_file`: PEM with authorities that are trusted beside those of the system.

        Raises:
            ConfigurationError: it cannot be used.
        """
        self._may_connect = may_connect
        self._resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
        # Reading what the system trusts takes a while, and many never go out.
        self._context = None if ca_file is None else open_context(ca_file)
        self._turns = asyncio.Semaphore(AT_ONCE)

    def close(self) -> None:
        """Who still waits for an address gets none."""
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    async def get(self, uri: str, *, accept: str, seconds: float = SECONDS) -> Answer:
        """Raises OutboundRefused: it is nowhere to go. OutboundFailed: nothing came, too much, or too late."""
        return await self._send("GET", uri, ("accept", accept), None, seconds)

    async def post(self, uri: str, body: bytes, *, content_type: str, seconds: float = SECONDS) -> Answer:
        """Raises OutboundRefused, OutboundFailed: as `get`. Of these OutboundSilent: all of it was told."""
        return await self._send("POST", uri, ("content-type", content_type), body, seconds)

    async def _send(self, method: str, uri: str, header: tuple[str, str], body: bytes | None, seconds: float) -> Answer:
        if not uri.startswith("https://"):
            raise OutboundRefused("only https is spoken")
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        way = _Way(self._may_connect, self._resolvers)
        connections = httpcore2.AsyncConnectionPool(
            ssl_context=self._context, network_backend=way, max_keepalive_connections=0, http2=False
        )
        headers = [("host", _host_of(uri)), ("user-agent", "authsvc"), ("connection", "close"), header]
        extensions = {"trace": way.see}
        try:
            async with (
                asyncio.timeout(seconds),
                self._turns,
                connections,
                connections.stream(method, uri, headers=headers, content=body, extensions=extensions) as answer,
            ):
                return Answer(answer.status, await _read(answer))
        except TimeoutError as cause:
            raise (OutboundSilent if way.is_told else OutboundFailed)("no answer in time") from cause
        except (httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, OSError) as cause:
            raise OutboundFailed("no answer") from cause
        except (httpcore2.UnsupportedProtocol, ValueError) as cause:
            raise OutboundRefused("not an address") from cause
        finally:
            await way.close()


class _Way(httpcore2.AsyncNetworkBackend):
    """Of one request: connects to addresses that were looked at, and knows how far it has come."""

    def __init__(self, may_connect: MayConnect, resolvers: ThreadPoolExecutor) -> None:
        self._may_connect = may_connect
        self._resolvers = resolvers
        self._backend = httpcore2.AnyIOBackend()
        self._stream: httpcore2.AsyncNetworkStream | None = None
        self.is_told = False
        """All of it was sent."""

    async def see(self, event: str, _: object) -> None:
        self.is_told = self.is_told or event == "http11.send_request_body.complete"

    async def close(self) -> None:
        """The library leaves a connection open on which TLS was given up."""
        if self._stream is not None:
            await self._stream.aclose()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        addresses = await loop.run_in_executor(self._resolvers, _resolve, host, port)
        # One that is inside among several that are not is a trick.
        if not all(map(self._may_connect, addresses)):
            raise OutboundRefused("the name is one of an address that is not gone to")
        failed: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                self._stream = await self._backend.connect_tcp(str(address), port, timeout=CONNECT_SECONDS)
                return self._stream
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed


def _resolve(host: str, port: int) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Without the zone of a link, which nothing public has.
    return list(dict.fromkeys(ip_address(str(place[4][0]).partition("%")[0]) for place in found))


async def _read(answer: httpcore2.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_stream():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise OutboundFailed("the answer is too long")
    return body


def _host_of(uri: str) -> str:
    return uri.removeprefix("https://").partition("/")[0].partition("?")[0]


def open_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the authorities of this file beside those of the system. Raises ConfigurationError."""
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as cause:  # ssl's own errors too
        raise ConfigurationError([f"AUTHSVC_OUTBOUND_CA_FILE cannot be used: {type(cause).__name__}"]) from cause
    return context

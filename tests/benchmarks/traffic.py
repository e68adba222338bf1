"""Requests as the bytes that are sent, and what must stand in each answer."""

import socket
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import msgspec

ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that are sent in turn; every answer has this status, and holds `needle`."""

    requests: Sequence[bytes]
    needle: bytes
    status: int = 200


@dataclass(frozen=True, slots=True)
class Chains:
    """Requests of which each is made from the answer to the one before it, as a refresh is. A connection carries on one
    chain; where it left off is kept, for the next round."""

    heads: list[bytes]
    """The next request of each."""
    follow: Callable[[bytes], bytes]
    """From the body of an answer, the next request."""
    needle: bytes
    status: int = 200


Load = Traffic | Chains


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode("ascii")


def basic(client: tuple[str, str]) -> str:
    return "Basic " + b64encode(":".join(client).encode("ascii")).decode("ascii")


def post(path: str, form: Mapping[str, str], client: tuple[str, str] | None) -> bytes:
    """A form, from a client that authenticates by client_secret_basic, or does not."""
    body = urlencode(form)
    proof = ""
    if client is not None:
        proof = f"Authorization: {basic(client)}\r\n"
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{proof}"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode("ascii")


def post_json(path: str, value: object) -> bytes:
    body = msgspec.json.encode(value)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


class WrongAnswer(Exception):
    """The service did not say what it has to say: there is nothing to measure."""


class Connection:
    """One connection, kept alive: for preparing, and for looking at answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        status, _, body = self.ask_for_all(request)
        return status, body

    def ask_for_all(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body. Everything measured here answers with a Content-Length, but where there is none."""
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        while len(body) < int(headers.get("content-length", 0)):
            body += self._more()
        return int(status_line.split(" ")[1]), headers, body

    def check(self, load: Load, name: str, *, most: int) -> None:
        """Send the first `most` requests once.

        Raises:
            WrongAnswer: one was not answered as it must be. Names no token and no secret.
        """
        if isinstance(load, Traffic):
            for request in load.requests[:most]:
                self._checked(load, request, name)
        else:
            for number, request in enumerate(load.heads[:most]):
                load.heads[number] = load.follow(self._checked(load, request, name))

    def _checked(self, load: Load, request: bytes, name: str) -> bytes:
        status, body = self.ask(request)
        if status != load.status or load.needle not in body:
            raise WrongAnswer(f"{name}: status {status}, {len(body)} bytes, without {load.needle.decode()!r}")
        return body

    def _more(self) -> bytes:
        received = self._socket.recv(65_536)
        if not received:
            raise WrongAnswer("the server hung up")
        return received

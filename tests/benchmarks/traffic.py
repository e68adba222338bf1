"""Requests as the bytes that are sent, and what must stand in each answer."""

import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import msgspec

ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests that are sent in turn; every answer is a 200 that holds `needle`."""

    requests: Sequence[bytes]
    needle: bytes


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("ascii")


def post(path: str, form: Mapping[str, str], client: tuple[str, str]) -> bytes:
    """A form, from a client that authenticates by client_secret_basic."""
    body = urlencode(form)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Basic {b64encode(':'.join(client).encode('ascii')).decode('ascii')}\r\n"
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
        """Status and body of the answer. Everything measured here answers with a Content-Length."""
        self._socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        status_line, *lines = head.split(b"\r\n")
        lengths = [line.partition(b":")[2] for line in lines if line.lower().startswith(b"content-length:")]
        while len(body) < int(lengths[0]):
            body += self._more()
        return int(status_line.split(b" ")[1]), body

    def check(self, traffic: Traffic, name: str, *, most: int) -> None:
        """Send the first `most` requests once.

        Raises:
            WrongAnswer: one was not answered as it must be. Names no token and no secret.
        """
        for request in traffic.requests[:most]:
            status, body = self.ask(request)
            if status != 200 or traffic.needle not in body:
                raise WrongAnswer(f"{name}: status {status}, {len(body)} bytes, without {traffic.needle.decode()}")

    def _more(self) -> bytes:
        received = self._socket.recv(65_536)
        if not received:
            raise WrongAnswer("the server hung up")
        return received

"""Requests as the server offers them, without a server."""

from base64 import b64encode
from typing import Any

from authsvc.models import Client
from tests.house_of import House

FORM = b"application/x-www-form-urlencoded"
Lines = list[tuple[bytes, bytes]]
PLAIN_GET: Lines = [(b"host", b"a")]


class Asked:
    """A request that has come whole."""

    def __init__(self, headers: Lines, body: bytes | bytearray) -> None:
        self.scope: Any = {"type": "http", "method": "POST", "headers": headers}
        self.body = bytearray(body)
        self.told: list[tuple[int, bytes, bytes]] = []
        self.starts = 0

    def write(self, status: int, lines: bytes, body: bytes) -> None:
        self.told.append((status, lines, body))

    def start(self) -> None:
        self.starts += 1


def basic(house: House, caller: Client) -> bytes:
    return b"Basic " + b64encode(":".join(house.basic(caller)).encode())


def usual(house: House, caller: Client) -> Lines:
    return [(b"host", b"a"), (b"authorization", basic(house, caller)), (b"content-type", FORM)]

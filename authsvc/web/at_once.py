"""Requests that need no task of their own: what an application and the server under it (`offering.py`) agree on."""

from typing import Any, Protocol

STATE = "at_once"
"""Under this name the lifespan leaves a mapping from paths to those who take what comes there."""


class Unstarted(Protocol):
    """A request that has come whole, and of which the application does not know yet."""

    scope: Any  # of ASGI
    body: bytearray

    def write(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer it, once. `lines` are the headers as they are written; the length of the body is among them."""
        ...

    def start(self) -> None:
        """Have the application answer it after all. Instead of an answer."""
        ...


class Taker(Protocol):
    """Answers requests of one method and path, or declines."""

    method: str
    """GET or POST. What has a body where none is usual, or a long one, is not offered."""

    def __call__(self, request: Unstarted, /) -> bool:
        """Whether the request is taken, and will be answered or started."""
        ...

"""What an application and the server under it agree on, for requests that need no task of their own."""

from typing import Any, Protocol

STATE = "at_once"
"""Under this name the lifespan leaves a mapping from paths to those who take what is posted there."""


class Unstarted(Protocol):
    """A request that has come whole, and of which the application does not know yet."""

    scope: Any  # of ASGI
    body: bytearray

    def write(self, status: int, lines: bytes, body: bytes) -> None:
        """Answer it, once. `lines` are the headers as they are written; the length of the body is among them."""
        ...


class Taker(Protocol):
    """Answers requests of one method and path, or declines."""

    method: str
    """GET or POST. What has a body where none is usual, or a long one, is not offered."""

    def __call__(self, request: Unstarted, /) -> bool:
        """Whether the request is taken, and will be answered."""
        ...

"""Requests as a server hands them on, letter by letter: an HTTP client would tidy them up before."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import unquote

import httpx2
from starlette.types import Message

from tests.house_of import House

WHOLE: tuple[Message, ...] = ({"type": "http.request", "body": b"", "more_body": False},)


async def raw_call(
    house: House,
    method: str,
    target: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] = (),
    messages: Sequence[Message] = WHOLE,
) -> httpx2.Response:
    """The answer to this method and path, in which percent signs are decoded once, as servers do."""
    transport: Any = house.http._transport
    raw_path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "headers": list(headers),
    }
    received = iter(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(received)

    async def send(message: Message) -> None:
        sent.append(message)

    await transport.app(scope, receive, send)
    start, body = sent
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    return httpx2.Response(start["status"], headers=start["headers"], content=body["body"])

"""Answers. Prepared bytes where they are the same every time."""

from functools import lru_cache
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
# HDR-01, HDR-03. Nothing of this is a page; opened as one, it may load nothing and stand in no frame.
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
# HDR-04: about tokens, or about a person.
_PRIVATE: Headers = [
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_WITHOUT_CONTENT = frozenset({204, 304})
"""A length must not be told here: in a 304 it would be the length of the document (RFC 9110 §8.6)."""


class Answer:
    """A complete answer: status, headers, body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.headers, *_ALWAYS]
        if self.status not in _WITHOUT_CONTENT:
            headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


def json_answer(value: Any, status: int = 200, headers: Headers | None = None) -> Answer:
    """A JSON answer that nobody stores: it is about tokens, or about a person."""
    return json_bytes(msgspec.json.encode(value), status, headers)


def json_bytes(body: bytes, status: int = 200, headers: Headers | None = None) -> Answer:
    """As `json_answer`, of JSON that is rendered already."""
    return Answer(status, body, [_JSON, *_PRIVATE, *(headers or ())])


def empty(status: int) -> Answer:
    """Nothing to say but the status."""
    return Answer(status, b"", list(_PRIVATE))


def public_document(
    body: bytes, *, etag: str, max_age: int, if_none_match: str | None, media_type: bytes = b"application/json"
) -> Answer:
    """A document for everybody, cacheable, readable from any origin; 304 when the reader has it already."""
    document = _prepare(body, etag, max_age, media_type)
    if if_none_match is not None and _matches(if_none_match, etag):
        return Answer(304, b"", [header for header in document.headers if header[0] != b"content-type"])
    return document


@lru_cache(maxsize=16)
def _prepare(body: bytes, etag: str, max_age: int, media_type: bytes) -> Answer:
    caching = (b"cache-control", b"public, max-age=%d" % max_age)
    return Answer(200, body, [(b"content-type", media_type), caching, (b"etag", etag.encode("ascii")), ANY_ORIGIN])


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison with any of the list."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags

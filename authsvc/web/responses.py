"""Answers. Prepared bytes where they are the same every time."""

from functools import lru_cache
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from authsvc.protocol.introspection import SIGNED_MEDIA_TYPE

Headers = list[tuple[bytes, bytes]]

# HDR-01, HDR-03.
_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
# What is no page: opened as one, it may load nothing and stand in no frame.
_NO_PAGE: Headers = [(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
ANY_ORIGIN = (b"access-control-allow-origin", b"*")
_WITHOUT_CONTENT = frozenset({204, 304})
"""A length must not be told here: in a 304 it would be the length of the document (RFC 9110 §8.6)."""

LINES = "authsvc.lines"
"""The extension of ASGI by which our own server says that it takes, beside `headers`, `lines` that are rendered
already: see `cycle.py`."""


def render(headers: Headers) -> bytes:
    """Headers as they are written."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


class Prepared:
    """Headers that many answers have, and the same as they are written. Some have a policy of their own."""

    __slots__ = ("headers", "lines")

    def __init__(self, *headers: tuple[bytes, bytes], has_policy: bool = False) -> None:
        self.headers = [*headers, *_ALWAYS, *([] if has_policy else _NO_PAGE)]
        self.lines = render(self.headers)


# HDR-04: about tokens, or about a person.
_PRIVATE: Headers = [
    (b"cache-control", b"no-store"),
    (b"pragma", b"no-cache"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_PLAIN = Prepared()
# Drawings in SVG bring their style along, and are cut off from everything else.
_PICTURE = Prepared(
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"),
    has_policy=True,
)
_NOTHING = Prepared(*_PRIVATE)
_JSON = Prepared((b"content-type", b"application/json"), *_PRIVATE)
_JWT = Prepared((b"content-type", b"application/jwt"), *_PRIVATE)
INTROSPECTION_JWT = Prepared((b"content-type", SIGNED_MEDIA_TYPE.encode("ascii")), *_PRIVATE)
PROBLEM = Prepared((b"content-type", b"application/problem+json"), *_PRIVATE)
# HDR-02, HDR-03, AUZ-08. The features are those that a page would have unasked and that ask for something of a person.
PAGE = Prepared(
    (b"content-type", b"text/html; charset=utf-8"),
    *_PRIVATE,
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
    has_policy=True,
)


class Answer:
    """A complete answer: status, headers, body."""

    __slots__ = ("body", "headers", "prepared", "status")

    def __init__(self, status: int, body: bytes, headers: Headers, prepared: Prepared = _PLAIN) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.prepared = prepared

    def lines(self, more: bytes) -> bytes:
        """All headers as they are written, and these, which are rendered already."""
        length = b"" if self.status in _WITHOUT_CONTENT else b"content-length: %d\r\n" % len(self.body)
        return b"".join((self.prepared.lines, render(self.headers), length, more))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [*self.headers]
        if self.status not in _WITHOUT_CONTENT:
            headers.append((b"content-length", b"%d" % len(self.body)))
        start: Message = {"type": "http.response.start", "status": self.status, "headers": headers}
        if LINES in scope.get("extensions", ()):
            start["lines"] = self.prepared.lines
        else:
            headers += self.prepared.headers
        await send(start)
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else self.body})


def json_answer(value: Any, status: int = 200, headers: Headers | None = None, prepared: Prepared = _JSON) -> Answer:
    """A JSON answer that nobody stores: it is about tokens, or about a person."""
    return json_bytes(msgspec.json.encode(value), status, headers, prepared)


def json_bytes(body: bytes, status: int = 200, headers: Headers | None = None, prepared: Prepared = _JSON) -> Answer:
    """As `json_answer`, of JSON that is rendered already."""
    return Answer(status, body, headers or [], prepared)


def jwt_answer(token: str, prepared: Prepared = _JWT) -> Answer:
    """A signed answer that nobody stores (RFC 7519 §10.3.1)."""
    return Answer(200, token.encode("ascii"), [], prepared)


def empty(status: int, headers: Headers | None = None) -> Answer:
    """Nothing to say but the status and these headers."""
    return Answer(status, b"", headers or [], _NOTHING)


def see_other(location: str, headers: Headers | None = None) -> Answer:
    """Go there, by GET whatever the method was (RFC 9110 §15.4.4): a form is not sent on with its password."""
    return Answer(303, b"", [(b"location", location.encode("ascii")), *(headers or [])], _NOTHING)


def public_document(
    body: bytes, *, etag: str, max_age: int, if_none_match: str | None, media_type: bytes = b"application/json"
) -> Answer:
    """A document for everybody, cacheable, readable from any origin; 304 when the reader has it already."""
    found, unchanged = _prepare(body, etag, max_age, media_type)
    return unchanged if if_none_match is not None and _matches(if_none_match, etag) else found


@lru_cache(maxsize=16)
def _prepare(body: bytes, etag: str, max_age: int, media_type: bytes) -> tuple[Answer, Answer]:
    """With the document, and without."""
    caching = (b"cache-control", b"public, max-age=%d" % max_age)
    headers = [caching, (b"etag", etag.encode("ascii")), ANY_ORIGIN]
    return (
        Answer(200, body, [], Prepared((b"content-type", media_type), *headers)),
        Answer(304, b"", [], Prepared(*headers)),
    )


def file(content: bytes, *, etag: str, media_type: bytes, is_final: bool, if_none_match: str | None) -> Answer:
    """A file for our own pages. A final one never changes at its address; others are asked for anew."""
    caching = b"public, max-age=31536000, immutable" if is_final else b"no-cache"
    headers: Headers = [
        (b"cache-control", caching),
        (b"etag", etag.encode("ascii")),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if if_none_match is not None and _matches(if_none_match, etag):
        return Answer(304, b"", headers)
    prepared = _PICTURE if media_type.startswith(b"image/") else _PLAIN
    return Answer(200, content, [(b"content-type", media_type), *headers], prepared)


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison with any of the list."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags

"""The documents about the service itself: metadata (RFC 8414), JWKS (RFC 7517), OpenAPI. From memory, for everybody."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from authsvc.errors import Unavailable
from authsvc.flows import Flows
from authsvc.web.at_once import Unstarted
from authsvc.web.middleware import Observer
from authsvc.web.request import Call, State, find_header
from authsvc.web.responses import Answer, public_document
from authsvc.web.taken import Taken, Together

METADATA_MAX_AGE = 300
JWK_SET = "application/jwk-set+json"


@dataclass(frozen=True, slots=True)
class Document:
    """As it is now."""

    body: bytes
    etag: str
    max_age: int
    media_type: bytes = b"application/json"

    def answer(self, if_none_match: str | None) -> Answer:
        return public_document(
            self.body, etag=self.etag, max_age=self.max_age, if_none_match=if_none_match, media_type=self.media_type
        )


Find = Callable[[State], Document]


def find_metadata(state: State) -> Document:
    body = state["documents"]["metadata"]
    return Document(body, _etag(body), METADATA_MAX_AGE)


def find_openapi(state: State) -> Document:
    body = state["documents"]["openapi"]
    return Document(body, _etag(body), METADATA_MAX_AGE)


def find_jwks(state: State) -> Document:
    ring = state["flows"].keys.ring
    return Document(ring.jwks, ring.etag, state["jwks_max_age"], JWK_SET.encode("ascii"))


async def metadata(request: Call) -> Answer:
    """What this server can do."""
    return _answer(request, find_metadata)


async def openapi(request: Call) -> Answer:
    """This description."""
    return _answer(request, find_openapi)


async def jwks(request: Call) -> Answer:
    """The keys that verify."""
    return _answer(request, find_jwks)


def _answer(request: Call, find: Find) -> Answer:
    return find(request.scope["state"]).answer(find_header(request.scope, b"if-none-match"))


class DocumentAtOnce:
    """The same without a task: it takes half of the time."""

    method = "GET"

    def __init__(self, find: Find, observer: Observer, route: str) -> None:
        self._find = find
        self._observer = observer
        self._route = route
        self._together = Together()

    def __call__(self, request: Unstarted) -> bool:
        try:
            document = self._find(request.scope["state"])
        except Unavailable:  # the keys have never been read
            return False
        taken = Taken(request, self._observer, self._route)
        self._together.answer(taken, document.answer(find_header(request.scope, b"if-none-match")))
        return True


def metadata_at_once(_: Flows, observer: Observer, route: str) -> DocumentAtOnce:
    return DocumentAtOnce(find_metadata, observer, route)


def jwks_at_once(_: Flows, observer: Observer, route: str) -> DocumentAtOnce:
    return DocumentAtOnce(find_jwks, observer, route)


@lru_cache(maxsize=4)
def _etag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:32]}"'

"""The documents about the service itself: metadata (RFC 8414), JWKS (RFC 7517), OpenAPI. From memory, for everybody."""

from functools import lru_cache
from hashlib import sha256

from authsvc.web.request import Call, State, find_header, flows_of
from authsvc.web.responses import Answer, public_document

METADATA_MAX_AGE = 300
JWK_SET = "application/jwk-set+json"


async def metadata(request: Call) -> Answer:
    """What this server can do."""
    return _document(request, _state(request)["documents"]["metadata"])


async def openapi(request: Call) -> Answer:
    """This description."""
    return _document(request, _state(request)["documents"]["openapi"])


async def jwks(request: Call) -> Answer:
    """The keys that verify."""
    ring = flows_of(request).keys.ring
    return public_document(
        ring.jwks,
        etag=ring.etag,
        max_age=_state(request)["jwks_max_age"],
        if_none_match=find_header(request.scope, b"if-none-match"),
        media_type=JWK_SET.encode("ascii"),
    )


def _document(request: Call, body: bytes) -> Answer:
    return public_document(
        body,
        etag=_etag(body),
        max_age=METADATA_MAX_AGE,
        if_none_match=find_header(request.scope, b"if-none-match"),
    )


@lru_cache(maxsize=4)
def _etag(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:32]}"'


def _state(request: Call) -> State:
    state: State = request.scope["state"]
    return state

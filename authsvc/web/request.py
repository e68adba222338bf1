"""Reading requests: bodies with a limit, forms, JSON, bearer tokens, the cookie of a session."""

import re
from collections.abc import Mapping, Sequence
from typing import TypedDict, TypeVar

import msgspec
from starlette.requests import Request
from starlette.types import Scope

from authsvc.errors import (
    InvalidRequest,
    InvalidValue,
    Malformed,
    TooLarge,
    UnsupportedMediaType,
)
from authsvc.flows import Flows
from authsvc.models import AccessToken, Session
from authsvc.protocol.addresses import Address, Network, client_address
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.devices import name_device
from authsvc.protocol.forms import Form, parse_form
from authsvc.web.at_once import Taker
from authsvc.web.cookies import Cookie, Site
from authsvc.web.pages.renderer import Pages, Wishes

MAX_BODY_BYTES = 65_536

_UTF_8 = frozenset({"", "charset=utf-8", 'charset="utf-8"'})
# Where msgspec says a fault is, behind what it says of it; that may quote a name which the client made up.
_PATH = re.compile(r" - at `\$((?:\.\w+|\[\.\.\.\])*)`\Z")

Body = TypeVar("Body")


class Documents(TypedDict):
    """What is said of the service itself, rendered once."""

    metadata: bytes
    openapi: bytes


class State(TypedDict):
    """What every request finds in its scope; made by the lifespan."""

    at_once: Mapping[bytes, Taker]
    """Who answers without a task what is posted to a path."""
    flows: Flows
    documents: Documents
    pages: Pages
    site: Site
    jwks_max_age: int
    trusted_proxies: Sequence[Network]


Call = Request[State]


def flows_of(request: Call) -> Flows:
    state: State = request.scope["state"]
    return state["flows"]


def pages_of(request: Call) -> Pages:
    state: State = request.scope["state"]
    return state["pages"]


def site_of(request: Call) -> Site:
    state: State = request.scope["state"]
    return state["site"]


def wants_page(scope: Scope) -> bool:
    """Somebody with a browser asks, and not a program: only browsers name HTML among what they take."""
    return "text/html" in (find_header(scope, b"accept") or "").lower()


def wishes_of(scope: Scope, ui_locales: str | None = None) -> Wishes:
    """In which language: what the client asks for goes before what the browser is set to."""
    return Wishes(ui_locales, find_header(scope, b"accept-language"))


def address_of(request: Call) -> Address | None:
    """The client's address: the peer's, or what the trusted proxies between say of it. None on a unix socket."""
    client = request.scope.get("client")
    forwarded = (str(value, "latin-1") for key, value in request.scope["headers"] if key == b"x-forwarded-for")
    return client_address(client and client[0], forwarded, request.scope["state"]["trusted_proxies"])


def device_of(request: Call) -> str | None:
    """What the browser says that it is, in a few words."""
    return name_device(find_header(request.scope, b"user-agent"))


def present_credentials(request: Call, form: Form) -> PresentedCredentials:
    """Raises InvalidRequest: as `find_authorization`."""
    return PresentedCredentials(find_authorization(request.scope), form)


def find_header(scope: Scope, name: bytes) -> str | None:
    """The first header of this name (lower case). Headers are read by hand: this is on the hot path."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def find_authorization(scope: Scope) -> str | None:
    """The Authorization header.

    Raises:
        InvalidRequest: there are two: whoever stands in front of us may have looked at the other one (CLA-01).
    """
    found = [value for key, value in scope["headers"] if key == b"authorization"]
    if len(found) > 1:
        raise InvalidRequest("there is more than one Authorization header")
    return str(found[0], "latin-1") if found else None


async def read_body(request: Call) -> bytes:
    """The whole body.

    Raises:
        TooLarge: it is over 64 KiB; told by Content-Length where that is true, else counted.
        UnsupportedMediaType: it is compressed; nothing is ever unpacked here (ATK-93).
        InvalidRequest: the client hung up in the middle.
    """
    if (find_header(request.scope, b"content-encoding") or "identity").lower() != "identity":
        raise UnsupportedMediaType("a compressed body is not read here")
    length = find_header(request.scope, b"content-length")
    if length is not None and (not length.isdecimal() or int(length[:12]) > MAX_BODY_BYTES):
        raise TooLarge("the body is over 64 KiB")
    body: bytes = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge("the body is over 64 KiB")
        if not message.get("more_body", False):
            return body


async def read_form(request: Call) -> Form:
    """The parameters of a form body. None may stand in the URL, where logs would keep them (CLA-05).

    Raises:
        InvalidRequest, TooLarge, UnsupportedMediaType.
    """
    if request.scope["query_string"]:
        raise InvalidRequest("parameters go into the body, not into the URL")
    return parse_form(await read_body(request), find_header(request.scope, b"content-type"))


async def read_json(request: Call, kind: type[Body]) -> Body:
    """The body as a typed request.

    Raises:
        UnsupportedMediaType: it is not called JSON, or JSON in another charset than UTF-8.
        Malformed: it is not JSON.
        InvalidValue: a member is missing, unknown, or of another type.
        TooLarge.
    """
    content_type = (find_header(request.scope, b"content-type") or "").lower()
    media_type, _, parameter = content_type.partition(";")
    if media_type.strip() != "application/json" or parameter.strip() not in _UTF_8:
        raise UnsupportedMediaType("the content type must be application/json")
    body = await read_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        text = _PATH.sub("", str(error)).replace("`", "'")
        pointer = path[1].replace("[...]", "").replace(".", "/") if path else ""
        raise InvalidValue(text, pointer=pointer) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed("the body is not valid JSON") from None


def find_bearer_token(request: Call) -> str | None:
    """The access token of the Authorization header, and of nowhere else (RFC 6750 §2.1, BEA-02).

    Raises:
        InvalidRequest: there is one in the URL, or there are two.
    """
    if "access_token" in request.query_params:
        raise InvalidRequest("an access token goes into the Authorization header, not into the URL")
    scheme, _, token = (find_authorization(request.scope) or "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


async def authorize_user(request: Call) -> AccessToken:
    """The guard of every endpoint for users.

    Raises:
        InvalidRequest, MissingToken, InvalidToken, Forbidden, Unavailable.
    """
    return await flows_of(request).access.authorize_user(find_bearer_token(request))


async def authorize_ending(request: Call) -> AccessToken:
    """The guard of those that end sessions: their callers may be trying again.

    Raises:
        InvalidRequest, MissingToken, InvalidToken, Forbidden, Unavailable.
    """
    return await flows_of(request).access.authorize_ending(find_bearer_token(request))


async def find_session(request: Call) -> Session | None:
    """The session of the browser's cookie. Raises Unavailable."""
    cookie = site_of(request).cookies.find(request.scope, Cookie.SESSION)
    return await flows_of(request).browser_sessions.find(cookie)

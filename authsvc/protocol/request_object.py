"""RFC 9101: authorization requests that clients have signed (JAR-01 to JAR-05)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from authsvc.errors import InvalidRequestObject
from authsvc.models import Client
from authsvc.protocol.client_keys import ALGORITHMS
from authsvc.protocol.foreign_jwt import check_audience, check_kind, check_times
from authsvc.protocol.forms import REPEATABLE, Form
from authsvc.protocol.jwt import Foreign, Rejected, read_foreign
from authsvc.protocol.sealed_request import PARAMETERS

TYP = "oauth-authz-req+jwt"
LONGEST = 3600
"""Seconds that a request object is good for, at most."""
REPLACING = ("request", "request_uri")
"""What stands for a whole request. Never inside of one (JAR-03)."""


def algorithms_of(client: Client) -> tuple[str, ...]:
    """By which its requests may be signed."""
    return ALGORITHMS if client.request_object_algorithm is None else (client.request_object_algorithm,)


def parse_object(text: str, client: Client, issuer: str, now: datetime) -> Foreign:
    """All but the signature.

    Raises:
        InvalidRequestObject: it is not good here and now, or not of this client.
    """
    jwt = read_foreign(text)
    if isinstance(jwt, Rejected) or jwt.algorithm not in algorithms_of(client):
        raise InvalidRequestObject("the request object is no JWT, or is not signed as agreed")
    claims = jwt.claims
    if claims.get("iss") != client.client_id or claims.get("client_id") != client.client_id:
        raise InvalidRequestObject("the request object is not of this client")
    if claims.get("sub") == client.client_id:
        # RFC 9101 §10.8: it could be taken for an assertion of the client.
        raise InvalidRequestObject("the subject of a request object is not the client")
    try:
        check_kind(jwt, TYP)
        check_audience(claims, issuer)
        check_times(claims, now.timestamp(), longest=LONGEST)
    except ValueError as cause:
        raise InvalidRequestObject(f"the request object is not to be taken: {cause}") from cause
    return jwt


def build_form(claims: Mapping[str, Any]) -> Form:
    """The parameters that it holds, as if they had been sent. Nothing that stands beside it counts (JAR-01).

    Raises:
        InvalidRequestObject: it holds another one, or a parameter of another type.
    """
    if any(name in claims for name in REPLACING):
        raise InvalidRequestObject("a request object holds no other")
    names = [name for name in PARAMETERS if claims.get(name) is not None]
    return Form({name: _values(name, claims[name]) for name in names})


def _values(name: str, value: Any) -> list[str]:
    """Texts stand as texts, numbers as numbers, objects as objects (RFC 9101 §4); what is repeated, in a list."""
    if name in REPEATABLE and isinstance(value, list):
        return [_text(name, each) for each in value]
    return [_text(name, value)]


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    elif isinstance(value, dict):
        text = msgspec.json.encode(value).decode()
    else:
        raise InvalidRequestObject(f"the parameter {name} is of another type")
    if "\0" in text:
        raise InvalidRequestObject("a parameter holds a NUL character")
    return text

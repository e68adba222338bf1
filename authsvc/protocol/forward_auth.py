"""RFC 6750 by way of a gateway: what it wants of the access tokens that come to it, and what it is told of one."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from authsvc.errors import InsufficientScope, InvalidRequest, InvalidScope, InvalidTarget, InvalidToken
from authsvc.models import AccessToken
from authsvc.protocol.access_token import shown_sub
from authsvc.protocol.resources import parse_resource
from authsvc.protocol.scopes import format_scope, parse_scope

_SUCCESSES = {None: 204, "204": 204, "200": 200}
_MAX_REMEMBERED = 1_000
_WORD = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a token has to be good for, to be let through."""

    audience: str
    scope: tuple[str, ...] = ()
    """All of these."""
    success: int = 204
    """The status that lets through: Envoy takes 200 alone for a yes."""


@lru_cache(_MAX_REMEMBERED)
def parse_requirement(audience: str | None, scope: str | None, success: str | None) -> Requirement:
    """What a gateway says that it wants. Without an audience it would let through what is meant for others.

    Raises:
        InvalidRequest: no audience, or what is none; a scope that is malformed; another status.
    """
    if not audience:
        raise InvalidRequest("the gateway has to say for which audience an access token must be")
    if success not in _SUCCESSES:
        raise InvalidRequest("a gateway lets through by 204 or by 200")
    try:
        return Requirement(parse_resource(audience), parse_scope(scope) if scope else (), _SUCCESSES[success])
    except (InvalidTarget, InvalidScope) as error:
        raise InvalidRequest(error.description) from None


def find_bearer(authorization: Sequence[str]) -> str | None:
    """The access token of these Authorization headers. None: nobody tried to bring one (RFC 6750 §3). Empty: what came
    is no token; so it is where there are two headers, of which whoever is behind the gateway may read the other."""
    if len(authorization) > 1:
        return ""
    scheme, _, token = (authorization[0] if authorization else "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def check_scope(token: AccessToken, requirement: Requirement) -> None:
    """Raises InsufficientScope: a scope that is wanted is missing (RFC 6750 §3.1)."""
    if not set(requirement.scope) <= set(token.scope):
        raise InsufficientScope("the access token does not allow this", scope=format_scope(requirement.scope))


def build_headers(token: AccessToken) -> list[tuple[bytes, bytes]]:
    """Who is let through, for whoever is behind the gateway, by the name that the token's client has for them. Always
    all three: a gateway that copies them replaces what the caller had sent under these names, and with nothing to copy
    some would leave that as it is.

    Raises:
        InvalidToken: a value would not stay in its header as it is. None that is minted here is such.
    """
    sub = shown_sub(token)
    if not (_WORD.fullmatch(sub) and _WORD.fullmatch(token.client_id)):
        raise InvalidToken("the access token is not valid here")
    return [
        (b"auth-subject", sub.encode("ascii")),
        (b"auth-client", token.client_id.encode("ascii")),
        (b"auth-scope", format_scope(token.scope).encode("ascii")),
    ]

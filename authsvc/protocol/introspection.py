"""RFC 7662, RFC 9701: what is asked, who may see which token, what is answered, plain or signed."""

import re
from dataclasses import dataclass

import msgspec

from authsvc.models import AccessToken, Client, Grant, IntrospectionRight, JsonObject
from authsvc.protocol.access_token import shown_sub
from authsvc.protocol.forms import Form

INACTIVE = b'{"active":false}'
"""The one answer for everything that is not a live token of this caller's (§2.2): nothing else may be told."""

SIGNED_TYP = "token-introspection+jwt"
SIGNED_MEDIA_TYPE = f"application/{SIGNED_TYP}"
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


@dataclass(frozen=True, slots=True)
class IntrospectionRequest:
    token: str


def parse(form: Form) -> IntrospectionRequest:
    """The hint is read by nobody: it may only speed up a search, and there is none (INT-07).

    Raises:
        InvalidRequest: `token` is missing.
    """
    return IntrospectionRequest(form.required("token"))


_HINTED = (b"&token_type_hint=access_token", b"&token_type_hint=refresh_token")


def find_token(body: bytes) -> bytes | None:
    """The token of a form that says nothing else and needs no decoding, as almost every one does. None: see `parse`."""
    if body.endswith(_HINTED):
        body = body.rpartition(b"&")[0]
    is_plain = body.startswith(b"token=") and body.isascii() and not (b"&" in body or b"%" in body or b"+" in body)
    return (body[6:] or None) if is_plain and b"\0" not in body else None


def may_see(caller: Client, token: AccessToken) -> bool:
    """Whether the token is for this caller (§4): its own, one for a resource that it serves, or any, by its right."""
    if token.client_id == caller.client_id or caller.introspection is IntrospectionRight.ANY:
        return True
    return caller.introspection is IntrospectionRight.AUDIENCE and not caller.serves.isdisjoint(token.audience)


def is_for(caller: Client, token: AccessToken, audience: str | None) -> bool:
    """Whether the caller may see the token, and wants one of this audience, if it wants a certain one."""
    return may_see(caller, token) and (audience is None or audience in token.audience)


def build_answer(token: AccessToken, issuer: str) -> bytes:
    """The answer for a live token (§2.2). Which numbers and grant it was minted under stays inside."""
    answer: JsonObject = {
        "active": True,
        "token_type": "Bearer",
        "iss": issuer,
        "sub": shown_sub(token),
        "aud": token.audience[0] if len(token.audience) == 1 else list(token.audience),
        "client_id": token.client_id,
        "exp": token.expires_at,
        "iat": token.issued_at,
        "jti": token.jti,
    }
    if token.scope:
        answer["scope"] = " ".join(token.scope)
    if token.authenticated_at is not None:
        answer["auth_time"] = token.authenticated_at
    if token.methods:
        answer["amr"] = list(token.methods)
    return msgspec.json.encode(answer)


def build_refresh_answer(grant: Grant, issuer: str, *, sub: str) -> bytes:
    """The answer for a live refresh token, to its own client, which calls its user `sub`."""
    return msgspec.json.encode(
        {
            "active": True,
            "iss": issuer,
            "sub": sub,
            "client_id": grant.client_id,
            "scope": " ".join(grant.scope),
            "exp": int(grant.idle_until.timestamp()),
            "auth_time": int(grant.authenticated_at.timestamp()),
        }
    )


# --- Signed answers (RFC 9701)


def wants_signed(accept: str) -> bool:
    """Whether an Accept header asks for a JWT: by its name, for a wildcard is no wish for one (RFC 9701 §4), and not
    less than for plain JSON."""
    wishes = dict(map(_read_wish, accept.lower().split(",")))
    wish = wishes.get(SIGNED_MEDIA_TYPE, 0.0)
    return wish > 0 and wish >= wishes.get("application/json", 0.0)


def _read_wish(text: str) -> tuple[str, float]:
    """A media type and how much it is wanted (RFC 9110 §12.5.1); what cannot be read is not."""
    media_type, *parameters = (part.strip() for part in text.split(";"))
    weights = [part[2:] for part in parameters if part.startswith("q=")]
    if not weights:
        return media_type, 1.0
    return media_type, float(weights[0]) if _WEIGHT.fullmatch(weights[0]) else 0.0


def build_signed_answer(answer: bytes, issuer: str, client_id: str, now: int) -> JsonObject:
    """The claims of a signed answer (§5): for this caller, and without `sub` and `exp`, so that it passes nowhere for a
    token of another kind."""
    return {"iss": issuer, "aud": client_id, "iat": now, "token_introspection": msgspec.json.decode(answer)}

"""RFC 9068: access tokens as claims, and back."""

import math
from typing import Annotated

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, ValidationError, convert, json

from authsvc.errors import InvalidScope
from authsvc.models import AccessToken, Generations, JsonObject
from authsvc.protocol import subjects
from authsvc.protocol.jwt import Rejected, Signed, Verified
from authsvc.protocol.scopes import format_scope, parse_scope
from authsvc.protocol.subjects import Hidden

TYP = "at+jwt"
MAX_LIFETIME = 3600
"""Seconds (AT-10). A token that claims to live longer was not made here."""
MAX_CLOCK_DIFFERENCE = 5
"""Seconds by which the clock of the node that minted a token may be ahead of the one that reads it."""

# No `pattern` here: msgspec 0.22 sometimes crashes at exit where one is used, and it is slower than all the rest.
_Text = Annotated[str, Meta(min_length=1, max_length=2048)]
# Exact in every JSON parser (JWT-07). NaN and Infinity are no JSON; booleans and digits in quotes are no numbers.
_Int = Annotated[int, Meta(ge=0, le=2**53)]
_NumericDate = _Int | Annotated[float, Meta(ge=0, le=2**53)]


class _GenerationClaim(Struct, forbid_unknown_fields=True):
    c: _Int
    g: _Int
    u: _Int | UnsetType = UNSET


class _Claims(Struct, omit_defaults=True):
    """An absent text is empty; an empty or null one that is there is refused. In the order of `build_claims`."""

    iss: _Text
    sub: _Text
    aud: _Text | Annotated[tuple[_Text, ...], Meta(min_length=1)]
    exp: _NumericDate
    iat: _NumericDate
    jti: _Text
    client_id: _Text
    gen: _GenerationClaim
    nbf: _NumericDate | UnsetType = UNSET
    scope: _Text = ""
    grant_id: _Text = ""
    sealed: _Text = ""
    sid: _Text = ""
    auth_time: _NumericDate | UnsetType = UNSET
    amr: tuple[_Text, ...] = ()


_OTHER_CLAIMS = Rejected("the claims are not those of an access token")
SEALED = Rejected("what is hidden is not opened without the secret")

_decode = json.Decoder(_Claims).decode
_encode = json.Encoder().encode


def shown_sub(token: AccessToken) -> str:
    """Whose token it is, as everybody outside is told."""
    return token.sub if token.pairwise_sub is None else token.pairwise_sub


def build_claims(token: AccessToken, issuer: str, secret: bytes | None = None) -> JsonObject:
    """The claims of RFC 9068 §2.2, with `gen` and `grant_id` of our own: what a revocation is held against.

    `secret` is needed for a token with a pairwise `sub`: there what is the same in all tokens of a user is in `sealed`.
    """
    generations = token.generations
    gen = {"c": generations.client, "g": generations.everything}
    if generations.user is not None and token.pairwise_sub is None:
        gen["u"] = generations.user
    claims: JsonObject = {
        "iss": issuer,
        "sub": shown_sub(token),
        "aud": token.audience[0] if len(token.audience) == 1 else list(token.audience),
        "exp": token.expires_at,
        "iat": token.issued_at,
        "jti": token.jti,
        "client_id": token.client_id,
        "gen": gen,
    }
    if token.scope:
        claims["scope"] = format_scope(token.scope)
    if token.grant_id is not None:
        claims["grant_id"] = token.grant_id
    if token.pairwise_sub is not None:
        claims["sealed"] = _seal(token, secret)
    elif token.sid is not None:
        claims["sid"] = token.sid
    if token.authenticated_at is not None:
        claims["auth_time"] = token.authenticated_at
    if token.methods:
        claims["amr"] = list(token.methods)
    return claims


def _seal(token: AccessToken, secret: bytes | None) -> str:
    if secret is None or token.generations.user is None:
        raise ValueError("a token with a pairwise sub is a user's, and needs a secret")
    return subjects.seal(secret, token.jti, Hidden(token.sub, token.generations.user, token.sid))


def read(signed: Signed, issuer: str, secret: bytes | None = None) -> AccessToken | Rejected:
    """As `parse`, in a third of the time where every byte is as it is minted here."""
    try:
        claims = _decode(signed.payload)
        # What comes out again as it went in had no name twice, and none that is unknown here.
        if _encode(claims) == signed.payload:
            return _make(signed.kid, claims, issuer, secret)
    except (DecodeError, RecursionError):
        pass
    verified = signed.read()
    return parse(verified, issuer, secret) if isinstance(verified, Verified) else verified


def parse(verified: Verified, issuer: str, secret: bytes | None = None) -> AccessToken | Rejected:
    """Read the claims of a token whose signature and `typ` are right. Never raises; looks at no clock.

    What `build_claims` writes is demanded in its exact type. A token is a user's, with the user's number and a session
    or a grant, or it is a client's own, with none of these. `SEALED` is the answer to one that is right but for what
    only the secret opens, where there is none.
    """
    try:
        claims = convert(verified.claims, _Claims)
    except ValidationError:
        return _OTHER_CLAIMS
    return _make(verified.kid, claims, issuer, secret)


def _make(kid: str, claims: _Claims, issuer: str, secret: bytes | None) -> AccessToken | Rejected:
    try:
        scope = parse_scope(claims.scope) if claims.scope else ()
    except InvalidScope:
        return _OTHER_CLAIMS
    if claims.iss != issuer:
        return Rejected("another issuer")
    audience = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    texts = "".join((claims.sub, claims.jti, claims.client_id, claims.grant_id, claims.sid, *audience, *claims.amr))
    if not (texts.isascii() and texts.isprintable()):
        return Rejected("a text that is not minted here")
    issued_at, expires_at = math.floor(claims.iat), math.floor(claims.exp)
    if not issued_at < expires_at <= issued_at + MAX_LIFETIME:
        return Rejected("a lifetime that is not given here")
    if claims.nbf is not UNSET and claims.nbf > issued_at:
        return Rejected("a beginning that is not given here")
    user_generation = None if claims.gen.u is UNSET else claims.gen.u
    sub, sid, pairwise_sub = claims.sub, claims.sid or None, None
    if claims.sealed:
        if secret is None:
            return SEALED
        hidden = subjects.open_sealed(secret, claims.jti, claims.sealed)
        if hidden is None or user_generation is not None or sid is not None:
            return Rejected("what is hidden was not hidden here")
        (sub, user_generation, sid), pairwise_sub = hidden, claims.sub
    is_user = sub != claims.client_id
    if is_user != (user_generation is not None) or is_user != bool(sid or claims.grant_id):
        return Rejected("neither a token of a user nor one of a client")
    return AccessToken(
        jti=claims.jti,
        sub=sub,
        client_id=claims.client_id,
        kid=kid,
        audience=audience,
        scope=scope,
        issued_at=issued_at,
        expires_at=expires_at,
        generations=Generations(claims.gen.c, claims.gen.g, user_generation),
        grant_id=claims.grant_id or None,
        sid=sid,
        authenticated_at=None if claims.auth_time is UNSET else math.floor(claims.auth_time),
        methods=claims.amr,
        pairwise_sub=pairwise_sub,
    )


def is_current(token: AccessToken, now: float) -> bool:
    """Whether the token has begun and not yet expired: dead at `exp` itself, without leeway (JWT-10).

    A future `iat` is let pass up to `MAX_CLOCK_DIFFERENCE`. The token is ours, so this only says that our own clocks
    differ, and a fresh token must not be called dead by the node next door.
    """
    return token.issued_at <= now + MAX_CLOCK_DIFFERENCE and now < token.expires_at

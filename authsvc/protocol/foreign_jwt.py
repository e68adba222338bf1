"""RFC 7519, RFC 8725 §3: what every JWT of a client's is held to, whatever it is for."""

import math

from authsvc.models import JsonObject
from authsvc.protocol.jwt import Foreign, is_media_type

LEEWAY = 30
"""Seconds that the clock of a client may differ from ours (JWT-10)."""
_LAST_MOMENT = 2**53


def check_kind(jwt: Foreign, typ: str) -> None:
    """Raises ValueError: it says that it is of another kind (CLA-11, JWT-12). Many say JWT and no more."""
    if jwt.typ is not None and not any(is_media_type(jwt.typ, each) for each in (typ, "JWT")):
        raise ValueError("another kind of token")


def check_audience(claims: JsonObject, issuer: str) -> None:
    """Raises ValueError: it is not for us, or for others too, who could then pass it on as their own (CLA-10)."""
    if claims.get("aud") not in (issuer, [issuer]):
        raise ValueError("it is not for this issuer alone")


def check_times(claims: JsonObject, now: float, *, longest: int) -> float:
    """Until when it is good; not for longer than `longest` seconds from now.

    Raises:
        ValueError: it is over, has not begun, is good for too long, or does not say until when (JWT-07, JWT-10).
    """
    expires_at = _find_moment(claims, "exp")
    if expires_at is None:
        raise ValueError("it does not say until when it is good")
    if now >= expires_at + LEEWAY:
        raise ValueError("it is over")
    if expires_at > now + longest + LEEWAY:
        raise ValueError("it is good for too long")
    for name in ("nbf", "iat"):
        begins_at = _find_moment(claims, name)
        if begins_at is not None and begins_at > now + LEEWAY:
            raise ValueError("it has not begun")
    return expires_at


def _find_moment(claims: JsonObject, name: str) -> float | None:
    value = claims.get(name)
    if name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")
    if not math.isfinite(value) or not 0 <= value <= _LAST_MOMENT:
        raise ValueError(f"{name} is no moment")
    return value

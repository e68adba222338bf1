"""RFC 6749 §6, RFC 9700 §4.14.2: refresh tokens, their families, and what a token that comes back means.

A refresh token names its family and its place in it, and a MAC proves that we made it. The family's row knows the place
of the one token that is live. So nothing is stored per token, a stolen database holds none, and every token is derived
again when its answer was lost.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

PREFIX = "asr_"
KEY_BYTES = 32
RETRY_WINDOW = timedelta(seconds=30)
"""How long the parent of an unused child still leads to that child (REF-04): an answer may get lost."""

_PLACE_BYTES = 4
_MAC_BYTES = 32
_CONTEXT = b"authsvc refresh token\0"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One place in one family."""

    grant_id: str
    place: int


def build_refresh_token(key: bytes, token: RefreshToken) -> str:
    """The text of a token: 256 bits of it cannot be guessed without the key."""
    body = token.place.to_bytes(_PLACE_BYTES, "big") + token.grant_id.encode("ascii")
    return PREFIX + urlsafe_b64encode(_mac(key, body) + body).rstrip(b"=").decode("ascii")


def parse_refresh_token(key: bytes, text: str) -> RefreshToken | None:
    """The token, if we made it. Asks no store, so garbage is cheap. Never raises."""
    if not text.startswith(PREFIX) or len(text) > 256 or not text.isascii():
        return None
    letters = text[len(PREFIX) :]
    try:
        raw = urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        # A decoder overlooks foreign letters and loose bits: one token has one spelling.
        if urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != letters or not hmac.compare_digest(
            mac, _mac(key, body)
        ):
            return None
        return RefreshToken(body[_PLACE_BYTES:].decode("ascii"), int.from_bytes(body[:_PLACE_BYTES], "big"))
    except ValueError:
        return None


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + body, "sha256")


class Presented(StrEnum):
    """What a token that could not be rotated is, as its family stands now."""

    RETRIED = "retried"
    """The parent of a child that nobody has used yet: the child is handed out again."""
    REUSED = "reused"
    """A token that was used, and whose answer arrived: somebody has a copy."""
    REFUSED = "refused"
    """Its family is over, or it is nobody's."""


def judge(*, presented: int, live: int, rotated_at: datetime | None, now: datetime, came_at: datetime) -> Presented:
    """What it means that `presented`, which came at `came_at`, finds `live` as the place of the live token (REF-03,
    REF-04).

    A store that hangs may hold up a request whose client asks again meanwhile, and goes on. When it came, its token was
    live, or the parent of an unused child: nobody has stolen it.
    """
    if presented >= live:
        return Presented.REFUSED
    if presented == live - 2 and rotated_at is not None and came_at < rotated_at:
        return Presented.REFUSED
    if presented == live - 1 and rotated_at is not None and now - rotated_at <= RETRY_WINDOW:
        return Presented.RETRIED
    return Presented.REUSED

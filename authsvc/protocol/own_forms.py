"""The forms of our own pages: what one carries to show that this browser was given it, for this (CSR-01, CSR-02)."""

import hmac
from dataclasses import dataclass

from authsvc.protocol.seals import encode

_CONTEXT = b"authsvc form\0"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a form is good for."""

    path: str
    """Where it is sent."""
    sealed: str = ""
    """What it is about, where that travels with it."""
    sid: str = ""
    """The session that it was drawn for."""


def build_form_token(key: bytes, purpose: Purpose, browser: str) -> str:
    message = "\0".join((purpose.path, browser, purpose.sid, purpose.sealed)).encode()
    return encode(hmac.digest(key, _CONTEXT + message, "sha256"))


def is_form_token(token: str, expected: str) -> bool:
    return hmac.compare_digest(token.encode(), expected.encode())

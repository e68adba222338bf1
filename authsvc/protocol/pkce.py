"""RFC 7636: the code challenge of an authorization request, and the verifier that comes with the code (PKC-*)."""

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from authsvc.errors import InvalidGrant, InvalidRequest
from authsvc.protocol.forms import Form

METHODS = ("S256",)
"""`plain` would show the verifier to whoever sees the request (RFC 9700 §2.1.1)."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def parse_challenge(form: Form, *, required: bool) -> str | None:
    """The S256 challenge of an authorization request; None when there is none and none is required.

    Raises:
        InvalidRequest: it is missing (§4.4.1) or malformed, or its method is another. No method means `plain` (§4.3).
    """
    challenge, method = form.one("code_challenge"), form.one("code_challenge_method")
    if challenge is None:
        if required or method is not None:
            raise InvalidRequest("the parameter code_challenge is missing")
        return None
    if method not in METHODS:
        raise InvalidRequest("the parameter code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge):
        raise InvalidRequest("the code_challenge is not one of S256")
    return challenge


def check_verifier(challenge: str | None, verifier: str | None) -> None:
    """Whether who brings the code is who asked for it; compared in constant time (§4.6).

    Raises:
        InvalidRequest: there is a verifier for a code that was asked for without challenge (PKC-05).
        InvalidGrant: the verifier is missing (PKC-06), malformed (PKC-04) or another's.
    """
    if challenge is None:
        if verifier is not None:
            raise InvalidRequest("the code was asked for without a code_challenge")
        return
    if verifier is None:
        raise InvalidGrant("the parameter code_verifier is missing")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge_of(verifier), challenge.encode("ascii")):
        raise InvalidGrant("the code_verifier is not that of the code")


def _challenge_of(verifier: str) -> bytes:
    return urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=")

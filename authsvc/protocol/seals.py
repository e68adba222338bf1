"""What travels with a browser and comes back as it went: a text with a MAC (RFC 2104) by a secret of the deployment.

It is no secret; nobody else can make one. What was sealed for one thing is not open for another.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

_MAC_BYTES = 32


def seal(key: bytes, context: bytes, body: bytes) -> str:
    return encode(_mac(key, context, body) + body)


def open_seal(key: bytes, context: bytes, text: str) -> bytes | None:
    """What was sealed. None: not here, or not for this."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    body = raw[_MAC_BYTES:]
    return body if hmac.compare_digest(raw[:_MAC_BYTES], _mac(key, context, body)) else None


def encode(raw: bytes) -> str:
    """Letters that may stand anywhere in a URL."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _mac(key: bytes, context: bytes, body: bytes) -> bytes:
    return hmac.digest(key, context + body, "sha256")

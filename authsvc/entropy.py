"""The one source of chance."""

import secrets
from base64 import urlsafe_b64encode
from typing import Protocol

ID_BYTES = 16
SECRET_BYTES = 32


class Entropy(Protocol):
    """What the service asks of chance."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        ...


class SystemEntropy:
    """The operating system's generator."""

    def bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


def mint_id(entropy: Entropy, prefix: str = "") -> str:
    """An identifier of 128 random bits. The prefix keeps users and clients apart (RFC 9700 §4.15)."""
    return prefix + _text(entropy.bytes(ID_BYTES))


def mint_secret(entropy: Entropy, prefix: str = "") -> str:
    """A machine secret of 256 random bits, only of letters that need no form-encoding (CLA-03)."""
    return prefix + _text(entropy.bytes(SECRET_BYTES))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")

"""RFC 7517, OpenID Connect Core §10.1.1: signing keys, from made to removed, and how they are kept.

A key is published before it signs, and verifies until the last token that it signed has expired. All of that is read
off two times of its row, so that every worker sees the same state at the same moment (JWK-06, JWK-08). The keys of one
algorithm are a set of their own: no key has anything to do with one of another algorithm.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from authsvc.errors import ConfigurationError
from authsvc.models import JsonObject, SigningKey
from authsvc.protocol.jwa import MIN_RSA_BITS, PrivateKey
from authsvc.protocol.jwk import build_public_jwk, public_members

MASTER_KEY_BYTES = 32
NONCE_BYTES = 12

_SEAL_VERSION = b"\x01"
# 32 random bytes hold about 30 different values; fewer than 16 is someone typing.
_LEAST_DIFFERENT_BYTES = 16


# --- Making a key


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key. `private_bytes` (PKCS8, DER) is to be sealed at once, and stays out of `repr`."""

    kid: str
    algorithm: str
    public_jwk: JsonObject
    private_bytes: bytes

    def __repr__(self) -> str:
        return f"GeneratedKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


def generate(algorithm: str) -> GeneratedKey:
    """A new key; its kid is its RFC 7638 thumbprint.

    Raises:
        ValueError: `algorithm` is not one of `jwt.ALGORITHMS`.
    """
    # The one place in this package with chance of its own: the libraries take no random bytes for these keys.
    match algorithm:
        case "ES256":
            key: PrivateKey = generate_ec_key(SECP256R1())
        case "RS256":
            key = generate_rsa_key(public_exponent=65537, key_size=MIN_RSA_BITS)
        case "Ed25519":
            key = Ed25519PrivateKey.generate()
        case _:
            raise ValueError("no such signature algorithm here")
    public_jwk = build_public_jwk(key.public_key())
    private_bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return GeneratedKey(public_jwk["kid"], algorithm, public_jwk, private_bytes)


# --- At rest (JWK-10)


def seal_private(master_key: bytes, kid: str, private_bytes: bytes, nonce: bytes) -> bytes:
    """Encrypt with AES-256-GCM, bound to `kid`. `nonce` is `NONCE_BYTES` fresh random bytes."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"the nonce has {NONCE_BYTES} bytes")
    return _SEAL_VERSION + nonce + AESGCM(master_key).encrypt(nonce, private_bytes, _SEAL_VERSION + kid.encode())


def open_private(master_key: bytes, kid: str, sealed: bytes) -> bytes:
    """What was sealed.

    Raises:
        ConfigurationError: it was sealed with another master key or for another kid, or was altered since.
    """
    version, nonce, ciphertext = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if version != _SEAL_VERSION:
        raise ConfigurationError([f"signing key {kid} is sealed in a way that this version cannot open"])
    try:
        return AESGCM(master_key).decrypt(nonce, ciphertext, _SEAL_VERSION + kid.encode())
    except (InvalidTag, ValueError) as cause:
        raise ConfigurationError([f"the master key does not open signing key {kid}"]) from cause


def parse_master_key(text: str) -> bytes:
    """As `parse_secret_key`."""
    return parse_secret_key(text, name="the master key", made_by="authsvc master-key generate")


def parse_secret_key(text: str, *, name: str, made_by: str) -> bytes:
    """Read 32 bytes in base64url. White space around it and padding are let pass: files and other tools add them.

    Raises:
        ConfigurationError: it is something else, or was typed and not drawn. Says nothing of what was read.
    """
    letters = text.strip().rstrip("=")
    try:
        key = urlsafe_b64decode(letters + "=")
    except ValueError:
        key = b""
    # A decoder skips letters that it does not know; comparing what comes back catches them.
    if len(key) != MASTER_KEY_BYTES or format_master_key(key) != letters:
        raise ConfigurationError([f"{name} is not 32 bytes in base64url: make one with {made_by}"])
    if len(set(key)) < _LEAST_DIFFERENT_BYTES:
        raise ConfigurationError([f"{name} is not random: make one with {made_by}"])
    return key


def format_master_key(master_key: bytes) -> str:
    """The text that `parse_master_key` reads."""
    return urlsafe_b64encode(master_key).rstrip(b"=").decode("ascii")


def master_key_id(master_key: bytes) -> str:
    """A short name for a master key, which tells nothing about it: says which one a signing key was sealed with."""
    return hmac.digest(master_key, b"authsvc master key id", "sha256")[:8].hex()


# --- In use (JWK-06)


class KeyState(StrEnum):
    """Where a signing key is in its life."""

    NEXT = "next"
    """Published, so that every verifier knows it, and does not sign yet."""
    ACTIVE = "active"
    """Signs."""
    RETIRED = "retired"
    """Signs no more; its tokens are still out."""
    REMOVED = "removed"
    """Verifies nothing and is not published: its time is over, or it was killed."""


def state_of(key: SigningKey, keys: Iterable[SigningKey], now: datetime) -> KeyState:
    """The state of `key` among `keys`, which may be all there are: only those of its algorithm count."""
    if _is_removed(key, now):
        return KeyState.REMOVED
    if not _has_begun(key, now):
        return KeyState.NEXT
    newest = _newest(other for other in keys if other.algorithm == key.algorithm and _may_sign(other, now))
    return KeyState.ACTIVE if newest is None or newest.kid == key.kid else KeyState.RETIRED


def signer_of(keys: Iterable[SigningKey], algorithm: str, now: datetime) -> SigningKey | None:
    """The key that signs with this algorithm now: the active one."""
    return _newest(key for key in keys if key.algorithm == algorithm and _may_sign(key, now))


def newest_signer(keys: Iterable[SigningKey], now: datetime) -> SigningKey | None:
    """The newest key that signs now, with whatever algorithm."""
    return _newest(key for key in keys if _may_sign(key, now))


def published(keys: Iterable[SigningKey], now: datetime) -> tuple[SigningKey, ...]:
    """The keys that verify now, and that the JWKS shows: next, active and retired, in the order given."""
    return tuple(key for key in keys if not _is_removed(key, now))


def build_jwks(keys: Iterable[SigningKey]) -> JsonObject:
    """The JWK Set of these keys (RFC 7517 §5): public members only, whatever a row holds (JWK-02)."""
    return {"keys": [public_members(key.public_jwk) for key in keys]}


def _is_removed(key: SigningKey, now: datetime) -> bool:
    return key.verifies_until is not None and key.verifies_until <= now


def _has_begun(key: SigningKey, now: datetime) -> bool:
    return key.signs_from is not None and key.signs_from <= now


def _may_sign(key: SigningKey, now: datetime) -> bool:
    return _has_begun(key, now) and not _is_removed(key, now)


def _newest(keys: Iterable[SigningKey]) -> SigningKey | None:
    """By the time it began; the kid decides between equals, so that all workers choose the same."""
    return max(keys, key=lambda key: (key.signs_from, key.kid), default=None)

"""RFC 7518 §3, RFC 8037 §3.1 and RFC 9864: the three signatures that are made and verified here.

One key, one algorithm (RFC 8725 §3.1): a key says by its own type which algorithm it is for, and no header is asked.
"""

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ALGORITHMS: tuple[str, ...] = ("ES256", "RS256", "Ed25519")
MIN_RSA_BITS = 2048

PublicKey = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey
PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey


def algorithm_of(key: PublicKey | PrivateKey) -> str:
    """The one algorithm of a key.

    Raises:
        ValueError: it is a curve other than P-256, or a short RSA key (JWT-14).
    """
    match key:
        case EllipticCurvePublicKey() | EllipticCurvePrivateKey():
            if not isinstance(key.curve, SECP256R1):
                raise ValueError("ES256 signs on P-256 only")
            return "ES256"
        case RSAPublicKey() | RSAPrivateKey():
            if key.key_size < MIN_RSA_BITS:
                raise ValueError(f"an RSA key has at least {MIN_RSA_BITS} bits")
            return "RS256"
        case Ed25519PublicKey() | Ed25519PrivateKey():
            return "Ed25519"


def prepare_check(key: PublicKey) -> Callable[[bytes, bytes], None]:
    """A function of signature and signed bytes that raises InvalidSignature."""
    match key:
        case EllipticCurvePublicKey():
            ecdsa = ECDSA(SHA256())

            def check(signature: bytes, signing_input: bytes) -> None:
                if len(signature) != 64:  # r and s side by side, and no DER (RFC 7518 §3.4)
                    raise InvalidSignature
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                key.verify(encode_dss_signature(r, s), signing_input, ecdsa)

            return check
        case RSAPublicKey():
            padding, digest = PKCS1v15(), SHA256()
            return lambda signature, signing_input: key.verify(signature, signing_input, padding, digest)
        case Ed25519PublicKey():
            return key.verify


def prepare_signing(key: PrivateKey) -> Callable[[bytes], bytes]:
    match key:
        case EllipticCurvePrivateKey():
            # RFC 6979: a weak generator cannot leak the key through a repeated nonce (JWT-15).
            ecdsa = ECDSA(SHA256(), deterministic_signing=True)

            def sign(signing_input: bytes) -> bytes:
                r, s = decode_dss_signature(key.sign(signing_input, ecdsa))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")

            return sign
        case RSAPrivateKey():
            padding, digest = PKCS1v15(), SHA256()
            return lambda signing_input: key.sign(signing_input, padding, digest)
        case Ed25519PrivateKey():
            return key.sign

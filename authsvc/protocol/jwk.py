"""RFC 7517, RFC 7518 §6, RFC 8037 §2 and RFC 7638: the keys of our signatures, as JSON. The one door to joserfc."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from authsvc.models import JsonObject
from authsvc.protocol.jwa import PublicKey, algorithm_of

_KEY_TYPES: Mapping[str, type[ECKey | RSAKey | OKPKey]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
_PUBLIC_PARAMETERS: Mapping[str, tuple[str, ...]] = {"EC": ("crv", "x", "y"), "RSA": ("n", "e"), "OKP": ("crv", "x")}
_PUBLIC_LABELS = ("kty", "use", "alg", "kid")


def build_public_jwk(key: PublicKey) -> JsonObject:
    """The public key with its `alg`, `use` and `kid`, the RFC 7638 SHA-256 thumbprint (JWK-03, JWK-04).

    Raises:
        ValueError: none of our algorithms takes such a key.
    """
    algorithm = algorithm_of(key)
    match key:
        case EllipticCurvePublicKey():
            exported: ECKey | RSAKey | OKPKey = ECKey.import_key(key)
        case RSAPublicKey():
            exported = RSAKey.import_key(key)
        case Ed25519PublicKey():
            exported = OKPKey.import_key(key)
    return public_members(exported.as_dict(use="sig", alg=algorithm, kid=exported.thumbprint()))


def import_public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Read a public key, of which `alg` is the algorithm of its type; private members are not looked at.

    Raises:
        ValueError: it is anything else: another key type or curve, a point that is not on it, a short RSA key.
    """
    public = public_members(jwk)
    try:
        key = _KEY_TYPES[public["kty"]].import_key(public).public_key
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise ValueError("not a public key in JSON") from cause
    if not isinstance(key, PublicKey):
        raise ValueError("a key of this type does not sign here")
    if algorithm_of(key) != public.get("alg"):
        raise ValueError("the key is not one for its algorithm")
    return key


def public_members(jwk: Mapping[str, Any]) -> JsonObject:
    """What may be shown of a key: only the members named here, so no private one, whatever its name (JWK-02).

    Raises:
        ValueError: an unknown key type.
    """
    key_type = jwk.get("kty")
    parameters = _PUBLIC_PARAMETERS.get(key_type) if isinstance(key_type, str) else None
    if parameters is None:
        raise ValueError("a key of this type does not sign here")
    return {name: jwk[name] for name in (*_PUBLIC_LABELS, *parameters) if name in jwk}

"""Clients that sign: their keys, and what they make with them, good and bad."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey, RSAKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "PS256", "RS256", "Ed25519", "EdDSA")

_numbers = count(1)
_Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@cache
def an_rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The one of this name: each takes a tenth of a second to make."""
    return rsa.generate_private_key(65537, bits)


def _make(algorithm: str, name: str) -> _Private:
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "PS256" | "RS256":
            return an_rsa_key(name)
        case _:
            return ed25519.Ed25519PrivateKey.generate()


@dataclass
class Hand:
    """Somebody's private key."""

    algorithm: str = "ES256"
    kid: str | None = "one"
    claimed: str | None = None
    """What it says that it signs by, where that is not so."""

    def __post_init__(self) -> None:
        self.key = _make(self.algorithm, self.kid or "")

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public half; None leaves a member out."""
        kind: Any = {"ES256": ECKey, "PS256": RSAKey, "RS256": RSAKey}.get(self.algorithm, OKPKey)
        public: dict[str, Any] = kind.import_key(self.key.public_key()).as_dict()
        public |= {"kid": self.kid, "alg": self.algorithm, "use": "sig"} | changes
        return {name: value for name, value in public.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        """For whoever is to sign in its place."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        private: dict[str, Any] = ECKey.import_key(self.key).as_dict(private=True)
        return private | {"kid": self.kid}

    def key_set(self, **changes: Any) -> dict[str, Any]:
        return {"keys": [self.jwk(**changes)]}

    def sign(self, claims: Any, **header: Any) -> str:
        """A JWT with these claims, and with the usual header but for the changes."""
        named = {"alg": self.claimed or self.algorithm, "kid": self.kid} | header
        kept = {name: value for name, value in named.items() if value is not None}
        signing_input = f"{segment(kept)}.{segment(claims)}"
        return f"{signing_input}.{encode(self._sign(signing_input.encode()))}"

    def _sign(self, signing_input: bytes) -> bytes:
        match self.key:
            case ec.EllipticCurvePrivateKey():
                r, s = decode_dss_signature(self.key.sign(signing_input, ec.ECDSA(SHA256())))
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
            case rsa.RSAPrivateKey() if self.algorithm == "PS256":
                return self.key.sign(signing_input, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
            case rsa.RSAPrivateKey():
                return self.key.sign(signing_input, padding.PKCS1v15(), SHA256())
            case _:
                return self.key.sign(signing_input)

    def assertion(self, client_id: str, issuer: str, now: float, **changes: Any) -> str:
        """A good one of this client, but for the changes; None leaves a claim out."""
        claims = {
            "iss": client_id, "sub": client_id, "aud": issuer, "iat": int(now), "exp": int(now) + 60,
            "jti": f"jti-{next(_numbers)}",
        } | changes  # fmt: skip
        return self.sign({name: value for name, value in claims.items() if value is not None})


def proof(assertion: str) -> dict[str, str]:
    """As a form has it."""
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}


def segment(content: Any) -> str:
    return encode(content if isinstance(content, bytes) else json.dumps(content).encode())


def encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()

"""Tokens as an attacker makes them, and as our own key would sign them if it could be made to."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key

from authsvc.models import JsonObject
from authsvc.protocol.jwa import PublicKey, prepare_signing
from authsvc.protocol.jwk import import_public_key
from authsvc.protocol.jwt import Signer

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def claims_of(token: str) -> JsonObject:
    claims: JsonObject = json.loads(decode(token.split(".")[1]))
    return claims


def _bytes_of(value: JsonObject | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


@dataclass
class Forge:
    """A live token, the key that signed it, and a key that is nobody's."""

    token: str
    signer: Signer
    jwk: JsonObject
    """The public half of the signer, as published."""
    foreign: EllipticCurvePrivateKey = field(default_factory=lambda: generate_ec_key(SECP256R1()))

    @property
    def header(self) -> JsonObject:
        return {"alg": self.signer.algorithm, "kid": self.signer.kid, "typ": "at+jwt"}

    @property
    def claims(self) -> JsonObject:
        return claims_of(self.token)

    @property
    def public_key(self) -> PublicKey:
        return import_public_key(self.jwk)

    def ours(self, header: JsonObject | bytes | None = None, payload: JsonObject | bytes | None = None) -> str:
        """This header and payload, with a signature of our own key: what is left is what they say."""
        signing_input = self.signing_input(header, payload)
        return f"{signing_input}.{encode(self.signer._sign(signing_input.encode()))}"

    def theirs(self, header: JsonObject | None = None, payload: JsonObject | None = None) -> str:
        """As `ours`, with a signature of the key that is nobody's."""
        signing_input = self.signing_input(header, payload)
        return f"{signing_input}.{encode(prepare_signing(self.foreign)(signing_input.encode()))}"

    def signing_input(self, header: JsonObject | bytes | None = None, payload: JsonObject | bytes | None = None) -> str:
        head = self.header if header is None else header
        body = self.claims if payload is None else payload
        return f"{encode(_bytes_of(head))}.{encode(_bytes_of(body))}"

    def with_header(self, **changes: Any) -> str:
        """Signed by us, with these members in the header; None leaves a member out."""
        return self.ours(header=_changed(self.header, changes))

    def with_claims(self, **changes: Any) -> str:
        """Signed by us, with these claims; None leaves a claim out."""
        return self.ours(payload=_changed(self.claims, changes))

    def with_raw_claim(self, name: str, text: str) -> str:
        """Signed by us, with a claim that stands in the payload letter by letter, JSON or not."""
        payload = json.dumps(self.claims | {name: "@@"}, separators=(",", ":")).replace('"@@"', text)
        return self.ours(payload=payload.encode("utf-8", "surrogatepass"))


def _changed(members: JsonObject, changes: JsonObject) -> JsonObject:
    return {name: value for name, value in (members | changes).items() if value is not None}


def other_spelling(token: str) -> str:
    """The same ES256 signature, spelled r, n - s instead of r, s: as valid as the first."""
    signing_input, _, signature = token.rpartition(".")
    raw = decode(signature)
    twin = P256_ORDER - int.from_bytes(raw[32:], "big")
    return f"{signing_input}.{encode(raw[:32] + twin.to_bytes(32, 'big'))}"

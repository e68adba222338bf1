"""RFC 7515, RFC 7519, RFC 8725: signed tokens in compact form, made with our keys and verified. The door to JOSE.

Cheap refusals come first: length, shape, header and key are looked at before the signature, the signature before the
payload. Everything about a token that is not ours is a `Rejected`, never an exception.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_private_key

from authsvc.models import JsonObject
from authsvc.protocol.jwa import ALGORITHMS, PrivateKey, algorithm_of, prepare_check, prepare_signing
from authsvc.protocol.jwk import import_public_key

__all__ = [
    "ALGORITHMS",
    "MAX_TOKEN_BYTES",
    "Foreign",
    "Rejected",
    "Signed",
    "Signer",
    "Verified",
    "Verifier",
    "is_media_type",
    "named_kid",
    "read_foreign",
    "verify",
]

MAX_TOKEN_BYTES = 8192
MAX_KID_LENGTH = 128

# Our own header has these members and no other. So `crit`, `b64`, `jwk`, `jku`, `x5u` and `x5c` are refused by name,
# and so is whatever is invented next (JWT-04, JWT-08).
_HEADER_MEMBERS = {"alg", "kid", "typ"}
_READ_OTHERWISE = frozenset({"crit", "b64", "zip", "enc"})
"""Members that change how a token of somebody else's is to be read."""

_FROM_BASE64URL = bytes.maketrans(b"-_+/=", b"+/\0\0\0")
_TO_BASE64URL = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"", b"==", b"=")
# By length modulo 4: the letters that a segment can end with when its unused bits are zero. One text for each value.
_LAST_LETTERS = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")

_OBJECTS = msgspec.json.Decoder(dict[str, Any])
_encode_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Rejected:
    """The token is not one of ours. `reason` is for debug logs, holds nothing of the token, and is never shown."""

    reason: str


@dataclass(frozen=True, slots=True)
class Signed:
    """The signature is ours. What is signed has not been looked at."""

    kid: str
    payload: bytes

    def read(self) -> "Verified | Rejected":
        claims = _decode_json(self.payload)
        return Rejected("the payload is not one JSON object") if claims is None else Verified(self.kid, claims)


@dataclass(frozen=True, slots=True)
class Verified:
    """The signature is ours and the claims are a JSON object. What they say has not been looked at."""

    kid: str
    claims: JsonObject


@dataclass(frozen=True, slots=True)
class Foreign:
    """A JWT that somebody else has made, read and not verified: there is no reason yet to believe it."""

    algorithm: str
    kid: str | None
    typ: str | None
    claims: JsonObject = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key, prepared for verifying."""

    kid: str
    algorithm: str
    _check: Callable[[bytes, bytes], None]

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """From a JWK, of which only the public members are read.

        Raises:
            ValueError: it has no `kid`, or is not for one of `ALGORITHMS`.
        """
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
            raise ValueError("the key has no usable kid")
        key = import_public_key(jwk)
        return cls(kid, algorithm_of(key), prepare_check(key))

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether this key signed `signing_input`."""
        try:
            self._check(signature, signing_input)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, prepared for signing. Its representation does not hold the key."""

    kid: str
    algorithm: str
    _sign: Callable[[bytes], bytes]
    _headers: dict[str, bytes]

    @classmethod
    def from_private_bytes(cls, kid: str, private_bytes: bytes) -> Self:
        """From PKCS8 DER of our own making that was sealed since. Nobody has had a hand in it, so an RSA key is not put
        to the test again: that takes fifty milliseconds.

        Raises:
            ValueError: it is not a key for one of `ALGORITHMS`.
        """
        key = load_der_private_key(private_bytes, password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(key, PrivateKey):
            raise ValueError("a key of this type does not sign here")
        return cls(kid, algorithm_of(key), prepare_signing(key), {})

    def sign(self, typ: str, claims: JsonObject, *, is_for_us: bool = True) -> str:
        """The token, of the kind `typ`. `is_for_us`: it is to come back here.

        Raises:
            ValueError: it is to come back, and would be longer than `verify` reads.
        """
        header = self._headers.get(typ)
        if header is None:
            parameters = {"alg": self.algorithm, "kid": self.kid, "typ": typ}
            header = self._headers[typ] = _encode_segment(_encode_json(parameters)) + b"."
        signing_input = header + _encode_segment(_encode_json(claims))
        token = signing_input + b"." + _encode_segment(self._sign(signing_input))
        if is_for_us and len(token) > MAX_TOKEN_BYTES:
            raise ValueError("the token would be longer than any verifier reads")
        return token.decode("ascii")


def named_kid(token: str) -> str | None:
    """The kid that a token names, if it names one. Nobody has looked whether it is true."""
    if len(token) > MAX_TOKEN_BYTES or not token.isascii():
        return None
    header = _decode_object(token.encode("ascii").partition(b".")[0])
    kid = None if header is None else header.get("kid")
    return kid if isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH and kid.isprintable() else None


def read_unverified(token: str) -> JsonObject:
    """What a JWT claims, whoever made it, signed or not; nothing where that cannot be read. No reason to believe it."""
    segments = token.encode("ascii").split(b".") if token.isascii() and len(token) <= MAX_TOKEN_BYTES else []
    return (_decode_object(segments[1]) if len(segments) == 3 else None) or {}


def verify(token: str, verifiers: Mapping[str, Verifier], *, typ: str) -> Verified | Rejected:
    """Whether one of `verifiers`, which are keyed by kid, signed this token of the kind `typ`. Never raises."""
    signed = verify_signature(token, verifiers, typ=typ)
    return signed.read() if isinstance(signed, Signed) else signed


def verify_signature(token: str, verifiers: Mapping[str, Verifier], *, typ: str) -> Signed | Rejected:
    """As `verify`, for those who read the payload themselves."""
    if len(token) > MAX_TOKEN_BYTES:
        return Rejected("longer than a token")
    if not token.isascii() or token.count(".") != 2:
        return Rejected("not three segments of ASCII")
    signing_input, _, signature_segment = token.encode("ascii").rpartition(b".")
    header_segment, _, payload_segment = signing_input.partition(b".")

    header = _decode_object(header_segment)
    if header is None or header.keys() != _HEADER_MEMBERS:
        return Rejected("the header is not a header of ours")
    kid = header["kid"]
    verifier = verifiers.get(kid) if isinstance(kid, str) else None
    if verifier is None:
        return Rejected("unknown kid")
    if header["alg"] != verifier.algorithm:
        return Rejected("alg is not the algorithm of the key")
    if not is_media_type(header["typ"], typ):
        return Rejected("another kind of token")

    signature = _decode_segment(signature_segment)
    if signature is None or not verifier.verify(signing_input, signature):
        return Rejected("wrong signature")
    payload = _decode_segment(payload_segment)
    if payload is None:
        return Rejected("the payload is not base64url")
    return Signed(verifier.kid, payload)


def read_foreign(token: str) -> Foreign | Rejected:
    """A JWT of a client's. Its header may say more than one of ours, and what it says of keys is not looked at
    (JWT-04); but not that it is to be read in another way (JWT-08). Never raises."""
    if len(token) > MAX_TOKEN_BYTES:
        return Rejected("longer than a token")
    if not token.isascii() or token.count(".") != 2:
        return Rejected("not three segments of ASCII")
    signing_input, _, signature_segment = token.encode("ascii").rpartition(b".")
    header_segment, _, payload_segment = signing_input.partition(b".")
    header, claims = _decode_object(header_segment), _decode_object(payload_segment)
    signature = _decode_segment(signature_segment)
    if header is None or claims is None or signature is None:
        return Rejected("a segment is not what it has to be")
    if not _READ_OTHERWISE.isdisjoint(header):
        return Rejected("the header asks for more than is understood")
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str):
        return Rejected("there is no alg")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= MAX_KID_LENGTH)):
        return Rejected("the kid is none")
    if not (typ is None or isinstance(typ, str)):
        return Rejected("the typ is none")
    return Foreign(algorithm, kid, typ, claims, signing_input, signature)


def is_media_type(value: object, typ: str) -> bool:
    """RFC 7515 §4.1.9: case does not matter, and `application/` is meant where there is no slash (JWT-13)."""
    if value == typ:
        return True
    # `lower` turns the Kelvin sign into a plain k.
    return isinstance(value, str) and value.isascii() and _full_media_type(value) == _full_media_type(typ)


def _full_media_type(typ: str) -> str:
    return typ.lower() if "/" in typ else "application/" + typ.lower()


def _decode_object(segment: bytes) -> JsonObject | None:
    raw = _decode_segment(segment)
    return None if raw is None else _decode_json(raw)


def _decode_json(raw: bytes) -> JsonObject | None:
    """The JSON object in it, or None. UTF-8 without BOM, finite numbers, no name twice at any depth (JWT-06)."""
    try:
        found = _OBJECTS.decode(raw)
        # msgspec lets the last of two equal names win. Bytes that come out again as they went in had none to lose, and
        # that is every token of ours; whatever is spelled otherwise is read again by a parser that sees each name.
        if _encode_json(found) != raw:
            json.loads(raw, object_pairs_hook=_refuse_repeated_names)
    except (ValueError, RecursionError):
        return None
    return found


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name is repeated")


def _decode_segment(segment: bytes) -> bytes | None:
    """Base64url without padding, in its one canonical spelling (RFC 7515 §2), or None."""
    remainder = len(segment) % 4
    last_letters = _LAST_LETTERS[remainder]
    if last_letters is not None and segment[-1] not in last_letters:
        return None
    try:
        return a2b_base64(segment.translate(_FROM_BASE64URL) + _PADDING[remainder], strict_mode=True)
    except ValueError:
        return None


def _encode_segment(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_TO_BASE64URL, b"=")

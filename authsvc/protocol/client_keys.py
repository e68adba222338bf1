"""RFC 7517, RFC 8725 §3.1: the public keys of clients, and which signatures are theirs (CLA-13).

A key set comes from a client's operator, who is told what is wrong with it, or from the client's own address: there a
key of a kind that is not used here may stand beside one that is, and is passed over.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from authsvc.models import JsonObject
from authsvc.protocol.jwa import prepare_check
from authsvc.protocol.jwk import import_public_key
from authsvc.protocol.jwt import MAX_KID_LENGTH, Foreign

ALGORITHMS = ("ES256", "PS256", "RS256", "Ed25519", "EdDSA")
"""What clients sign with. EdDSA is what Ed25519 was called before RFC 9864."""
MAX_KEYS = 20
_MODULUS_LETTERS = range(342, 1367)
"""Of an RSA key from 2048 bits to 8192. Beyond it one verification takes long enough to be a weapon."""

_Check = Callable[[bytes, bytes], None]
_ALGORITHMS_OF = {"EC": ("ES256",), "RSA": ("RS256", "PS256"), "OKP": ("Ed25519", "EdDSA")}
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class ClientKey:
    kid: str | None
    _checks: Mapping[str, _Check]
    """By the algorithms that it is for."""

    def has_signed(self, jwt: Foreign) -> bool:
        """Whether this key made this signature, by an algorithm that it is for."""
        check = self._checks.get(jwt.algorithm)
        if check is None:
            return False
        try:
            check(jwt.signature, jwt.signing_input)
        except InvalidSignature:
            return False
        return True


def is_signed_by(keys: Sequence[ClientKey], jwt: Foreign, algorithms: Collection[str]) -> bool:
    """Whether one of these keys has signed it, by one of these algorithms. A kid that it names is that of the key; what
    else its header says of keys was never read (JWT-04)."""
    return jwt.algorithm in algorithms and any(
        key.has_signed(jwt) for key in keys if jwt.kid is None or jwt.kid == key.kid
    )


def has_kid(keys: Sequence[ClientKey], kid: str | None) -> bool:
    """Whether there is a key of this name; where none is named, whether there is any."""
    return any(kid is None or key.kid == kid for key in keys)


def parse_keys(document: object) -> tuple[ClientKey, ...]:
    """The keys of a set that can be used here.

    Raises:
        ValueError: it is no key set.
    """
    return tuple(key for key in map(_find_key, _members(document)) if key is not None)


def check_keys(document: object) -> JsonObject:
    """A key set as an operator registers it.

    Raises:
        ValueError: it is none, or holds a key that cannot be used here, or one of which the private half is in it;
            says why.
    """
    members = _members(document)
    if not members:
        raise ValueError("the key set is empty")
    names = [member.get("kid") for member in members if isinstance(member, dict)]
    if len(set(map(str, names))) != len(members) or (len(members) > 1 and None in names):
        raise ValueError("of several keys each has a kid of its own")
    for member in members:
        if isinstance(member, dict) and not _PRIVATE_MEMBERS.isdisjoint(member):
            raise ValueError("the key set holds a private key: it is known now, make another")
        if _find_key(member) is None:
            raise ValueError("a key is none that signs by ES256, PS256, RS256 (with at least 2048 bits) or Ed25519")
    return {"keys": members}


def _members(document: object) -> list[Any]:
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("it is no key set: an object with the member keys")
    if len(members) > MAX_KEYS:
        raise ValueError(f"a key set has at most {MAX_KEYS} keys")
    return members


def _find_key(jwk: object) -> ClientKey | None:
    """None where it is for something else, or for nothing."""
    if not isinstance(jwk, dict):
        return None
    key_type, kid, algorithm, operations = (jwk.get(name) for name in ("kty", "kid", "alg", "key_ops"))
    algorithms = _ALGORITHMS_OF.get(key_type, ()) if isinstance(key_type, str) else ()
    is_for_this = jwk.get("use") in {None, "sig"} if isinstance(jwk.get("use"), str | None) else False
    if isinstance(operations, list):
        is_for_this = is_for_this and "verify" in operations
    if not is_for_this or not algorithms or algorithm not in (None, *algorithms):
        return None
    if not (kid is None or (isinstance(kid, str) and 0 < len(kid) <= MAX_KID_LENGTH)):
        return None
    if key_type == "RSA" and not (isinstance(jwk.get("n"), str) and len(jwk["n"]) in _MODULUS_LETTERS):
        return None
    try:
        # How a key of this type is called at home; `alg` here says which of its algorithms the client uses.
        key = import_public_key({**jwk, "use": "sig", "alg": algorithms[0]})
    except ValueError:
        return None
    check = prepare_check(key)
    if not isinstance(key, RSAPublicKey):
        return ClientKey(kid, dict.fromkeys(algorithms, check))
    by_name = {"RS256": check, "PS256": _prepare_pss(key)}
    return ClientKey(kid, by_name if algorithm is None else {algorithm: by_name[algorithm]})


def _prepare_pss(key: RSAPublicKey) -> _Check:
    """RFC 7518 §3.5: the salt is as long as the digest."""
    padding, digest = PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH), SHA256()
    return lambda signature, signing_input: key.verify(signature, signing_input, padding, digest)

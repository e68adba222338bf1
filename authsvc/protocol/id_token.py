"""OpenID Connect Core §2: ID tokens, which tell a client who logged in, when, and how."""

from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256, sha512

from authsvc.models import JsonObject

TYP = "JWT"
CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid")
"""What a token of every scope may hold."""

ACR_PASSWORD = "urn:authsvc:acr:password"  # noqa: S105 - a name
"""The assurance of a login with a password and nothing else."""
ACR_VALUES = (ACR_PASSWORD,)

# The hash of the signature's own algorithm (§3.1.3.6); inside of Ed25519 it is SHA-512.
_HASHES = {"RS256": sha256, "ES256": sha256, "Ed25519": sha512}


@dataclass(frozen=True, slots=True)
class IdToken:
    """What is told beside the claims about the user. Times are in seconds of Unix time."""

    issuer: str
    sub: str
    client_id: str
    issued_at: int
    expires_at: int
    authenticated_at: int | None = None
    methods: tuple[str, ...] = ()
    """RFC 8176 names of how the user authenticated."""
    sid: str | None = None
    nonce: str | None = None
    """What the client sent with its request, letter by letter; none at a refresh (§12.2)."""


def build_claims(token: IdToken, *, access_token: str, algorithm: str, profile: JsonObject) -> JsonObject:
    """The claims of §2, `sid` of Front-Channel Logout §3, and of the user what was asked for in the token itself.

    `algorithm` is the one that is going to sign.
    """
    claims = profile | {
        "iss": token.issuer,
        "sub": token.sub,
        "aud": token.client_id,
        "exp": token.expires_at,
        "iat": token.issued_at,
        "at_hash": hash_of(access_token, algorithm),
    }
    if token.nonce is not None:
        claims["nonce"] = token.nonce
    if token.authenticated_at is not None:
        claims["auth_time"] = token.authenticated_at
    if token.methods:
        claims["amr"] = list(token.methods)
    if (acr := acr_of(token.methods)) is not None:
        claims["acr"] = acr
    if token.sid is not None:
        claims["sid"] = token.sid
    return claims


def acr_of(methods: tuple[str, ...]) -> str | None:
    """The assurance that a login by these methods gives."""
    return ACR_PASSWORD if methods == ("pwd",) else None


def hash_of(text: str, algorithm: str) -> str:
    """`at_hash`, of an access token: the left half of its hash (§3.1.3.6)."""
    digest = _HASHES[algorithm](text.encode("ascii")).digest()
    return urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode("ascii")

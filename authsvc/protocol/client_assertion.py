"""RFC 7521 §4.2, RFC 7523 §2.2, OpenID Connect Core §9: clients that prove themselves by a JWT which they have signed,
`private_key_jwt` (CLA-09 to CLA-13)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from authsvc.errors import InvalidClient
from authsvc.models import AuthMethod, Client
from authsvc.protocol.client_keys import ALGORITHMS
from authsvc.protocol.foreign_jwt import LEEWAY, check_audience, check_kind, check_times
from authsvc.protocol.jwt import Foreign, Rejected, read_foreign

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TYP = "client-authentication+jwt"
LONGEST = 300
"""Seconds that an assertion is good for, at most: so long its `jti` is remembered."""
MAX_JTI_LENGTH = 512


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A JWT that says it is of this client."""

    client_id: str
    jwt: Foreign = field(repr=False)


@dataclass(frozen=True, slots=True)
class SingleUse:
    """What is remembered of an assertion, and until when."""

    digest: bytes
    expires_at: datetime


def parse_assertion(text: str, assertion_type: str | None, client_id: str | None) -> ClientAssertion:
    """Raises InvalidClient: it is of another type, or none; or not of the client that the request names."""
    jwt = read_foreign(text) if assertion_type == ASSERTION_TYPE else None
    if jwt is None or isinstance(jwt, Rejected):
        raise InvalidClient
    issuer, subject = jwt.claims.get("iss"), jwt.claims.get("sub")
    if not isinstance(subject, str) or issuer != subject or client_id not in {None, subject}:
        raise InvalidClient
    return ClientAssertion(subject, jwt)


def algorithms_of(client: Client) -> tuple[str, ...]:
    """By which its assertions may be signed."""
    return ALGORITHMS if client.assertion_algorithm is None else (client.assertion_algorithm,)


def check_assertion(assertion: ClientAssertion, client: Client, issuer: str, now: datetime) -> SingleUse:
    """All but the signature, and whether it has been here before.

    Raises:
        InvalidClient: it is not good here and now, or this client proves itself in another way.
    """
    claims = assertion.jwt.claims
    jti = claims.get("jti")
    is_of_client = client.client_id == assertion.client_id and client.auth_method is AuthMethod.PRIVATE_KEY_JWT
    if client.disabled_at is not None or not is_of_client or assertion.jwt.algorithm not in algorithms_of(client):
        raise InvalidClient
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI_LENGTH:
        raise InvalidClient
    try:
        check_kind(assertion.jwt, TYP)
        check_audience(claims, issuer)
        expires_at = check_times(claims, now.timestamp(), longest=LONGEST)
    except ValueError as cause:
        raise InvalidClient from cause
    named = f"{client.client_id}\0{jti}".encode("utf-8", "surrogatepass")
    over_at = datetime.fromtimestamp(expires_at, UTC) + timedelta(seconds=LEEWAY)
    return SingleUse(sha256(named).digest(), over_at)

"""RFC 6749 §2.3: who the client is, and whether it proved it (CLA-01 to CLA-08). Assertions are looked at in
`client_assertion.py`."""

import hashlib
import hmac
import re
from base64 import b64decode
from dataclasses import dataclass, field, replace
from datetime import datetime
from urllib.parse import unquote_plus

from authsvc.errors import InvalidClient, InvalidRequest
from authsvc.models import AuthMethod, Client
from authsvc.protocol.client_assertion import ClientAssertion, parse_assertion
from authsvc.protocol.forms import Form

MAX_HEADER_LENGTH = 8192
"""Room for the longest client_id and secret with every letter percent-encoded, and then in base64."""

# RFC 6749 appendix A.1 and A.2: VSCHAR.
_CLIENT_ID = re.compile(r"[\x20-\x7e]{1,256}")
_SECRET = re.compile(r"[\x20-\x7e]{0,1024}")

_IN_BODY = frozenset({"client_id", "client_secret", "client_assertion"})

# Compared with when a client is unknown or has no secret. No text is known whose digest this is.
_NO_DIGEST = bytes(32)


def names_client(form: Form) -> bool:
    """Whether the form says something of the client, be it empty."""
    return form.has_any(_IN_BODY)


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says about its client. `secret` is None only where `method` is NONE or PRIVATE_KEY_JWT; the latter
    alone has an assertion."""

    client_id: str
    secret: str | None = field(repr=False)
    method: AuthMethod
    assertion: ClientAssertion | None = None


@dataclass(frozen=True, slots=True)
class PresentedCredentials:
    """What a request says about its client, as it came."""

    authorization: str | None = field(repr=False)
    form: Form

    @property
    def is_nobody(self) -> bool:
        """Whether nothing was said of the client."""
        return self.authorization is None and not names_client(self.form)

    def digest(self) -> bytes | None:
        """Of the Authorization header, where that is all there is: a proof is remembered by it, and no secret."""
        if self.authorization is None or names_client(self.form):
            return None
        return hashlib.sha256(self.authorization.encode("utf-8", "surrogatepass")).digest()

    def read(self) -> ClientCredentials:
        """Raises InvalidRequest, InvalidClient: as `parse_credentials`."""
        return parse_credentials(self.authorization, self.form)


def parse_credentials(authorization: str | None, form: Form) -> ClientCredentials:
    """Find the client's credentials in the Authorization header or in the body.

    Raises:
        InvalidRequest: two methods at once, or a `client_id` in the body that is not the one in the header (CLA-01).
        InvalidClient: no credentials at all, or malformed ones.
    """
    client_id, secret, assertion = form.one("client_id"), form.one("client_secret"), form.one("client_assertion")
    if [authorization, secret, assertion].count(None) < 2:
        raise InvalidRequest("use one method of client authentication")
    if authorization is not None:
        credentials = _parse_basic(authorization)
        if client_id not in {None, credentials.client_id}:
            raise InvalidRequest("client_id is not the client of the Authorization header")
        return credentials
    if assertion is not None:
        parsed = parse_assertion(assertion, form.one("client_assertion_type"), client_id)
        checked = _checked(parsed.client_id, None, AuthMethod.PRIVATE_KEY_JWT)
        return replace(checked, assertion=parsed)
    if client_id is None:
        raise InvalidClient
    return _checked(client_id, secret, AuthMethod.NONE if secret is None else AuthMethod.POST)


def _parse_basic(authorization: str) -> ClientCredentials:
    """RFC 6749 §2.3.1: base64, split at the first colon, and only then is each half form-decoded (CLA-02)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MAX_HEADER_LENGTH:
        raise InvalidClient
    try:
        client_id, colon, secret = b64decode(encoded.strip(" "), validate=True).decode("ascii").partition(":")
        client_id, secret = (unquote_plus(half, errors="strict") for half in (client_id, secret))
    except ValueError as cause:
        raise InvalidClient from cause
    if not colon:
        raise InvalidClient
    return _checked(client_id, secret, AuthMethod.BASIC)


def _checked(client_id: str, secret: str | None, method: AuthMethod) -> ClientCredentials:
    """Refuse what no client of ours can have, before it comes near a query."""
    if not _CLIENT_ID.fullmatch(client_id) or not _SECRET.fullmatch(secret or ""):
        raise InvalidClient
    return ClientCredentials(client_id, secret, method)


def check_authentication(client: Client | None, credentials: ClientCredentials, now: datetime) -> Client:
    """The client, when `credentials` are its own at this moment. A public client proves nothing, and may not pretend to
    (CLA-08).

    Raises:
        InvalidClient: the same, and after the same work, for an unknown client, a wrong secret, a method that is not
            the client's, and a disabled client (CLA-04, CLA-07).
    """
    proven = _is_secret_of(client, credentials.secret or "", now)
    if client is None or client.disabled_at is not None:
        raise InvalidClient
    match client.auth_method:
        case AuthMethod.NONE:
            accepted = credentials.method is AuthMethod.NONE
        case None:
            accepted = proven
        case registered:
            accepted = proven and credentials.method is registered
    if not accepted:
        raise InvalidClient
    return client


def live_digests(client: Client, now: datetime) -> tuple[bytes, ...]:
    """Of the secrets that authenticate: the newest, and the one before it until its time is over (CLA-16)."""
    overlap = client.old_secret_expires_at
    return client.secret_digests[: 1 if overlap is None or overlap <= now else 2]


def _is_secret_of(client: Client | None, secret: str, now: datetime) -> bool:
    """Compares with every digest to the end, and with one where there is none: time tells nothing."""
    digests = live_digests(client, now) if client is not None else ()
    presented = hashlib.sha256(secret.encode()).digest()
    found = [hmac.compare_digest(presented, digest) for digest in digests or (_NO_DIGEST,)]
    return any(found) and bool(secret and digests)

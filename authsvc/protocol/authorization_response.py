"""RFC 6749 §4.1.2, RFC 9207, OAuth 2.0 Form Post Response Mode: the answer to an authorization request.

`iss` comes with each, so that a client with several servers knows who answered (ISS-01); `state` as it came (AUZ-05).
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from authsvc.errors import AuthsvcError, OAuthError, TooManyAttempts, Unavailable
from authsvc.protocol.recipients import Recipient, ResponseMode

_NOT_IN_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6749 §4.1.2.1


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """To be sent by redirect to `build_location`, or posted by a form of these fields to the redirect URI."""

    redirect_uri: str
    mode: ResponseMode
    fields: tuple[tuple[str, str], ...] = field(repr=False)


def build_success(recipient: Recipient, code: str, issuer: str) -> AuthorizationResponse:
    return _build(recipient, issuer, code=code)


def build_failure(recipient: Recipient, error: AuthsvcError, issuer: str) -> AuthorizationResponse:
    """What went wrong. What is no error of OAuth's is told in the two codes that §4.1.2.1 has for it, and no words."""
    if isinstance(error, OAuthError):
        description = _NOT_IN_DESCRIPTION.sub(" ", error.description)
        return _build(recipient, issuer, error=error.code, error_description=description)
    is_passing = isinstance(error, (Unavailable, TooManyAttempts))
    return _build(recipient, issuer, error="temporarily_unavailable" if is_passing else "server_error")


def _build(recipient: Recipient, issuer: str, **parameters: str) -> AuthorizationResponse:
    named = parameters | {"state": recipient.state or "", "iss": issuer}
    return AuthorizationResponse(
        recipient.redirect_uri, recipient.response_mode, tuple((name, value) for name, value in named.items() if value)
    )


def build_location(response: AuthorizationResponse) -> str:
    """The redirect URI with the answer added to its query; what stands there stays as it is (AUZ-06)."""
    uri = response.redirect_uri
    if not uri.endswith(("?", "&")):
        uri += "&" if "?" in uri else "?"
    # A blank as %20: some clients do not know that a plus sign is one.
    return uri + urlencode(response.fields, quote_via=quote, safe="")

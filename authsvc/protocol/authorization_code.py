"""RFC 6749 §4.1.2, §4.1.3: what an authorization code is bound to (COD-01, COD-02), and how long it lives (AUZ-11)."""

from collections.abc import Collection
from datetime import timedelta

from authsvc.errors import InvalidGrant
from authsvc.models import AuthorizationCode
from authsvc.protocol.pkce import check_verifier
from authsvc.protocol.redirects import is_registered

PREFIX = "asc_"
LIFE = timedelta(seconds=60)

NOT_VALID = "the code is not valid"
"""Whatever is wrong with the code itself (COD-05)."""


def check_bindings(
    code: AuthorizationCode | None,
    *,
    client_id: str,
    redirect_uri: str | None,
    registered: Collection[str],
    code_verifier: str | None,
) -> AuthorizationCode:
    """The code, if who brings it is who asked for it. Says nothing of whether it is live.

    A redirect URI that the request named must come again, letter by letter. It may be left out where the verifier
    proves as much (OAuth 2.1 §10.2). One that is named only now must be the client's: the code went to the one that
    was `registered`.

    Raises:
        InvalidRequest: a verifier came for a code that was asked for without challenge (PKC-05).
        InvalidGrant: something does not match.
    """
    if code is None or code.client_id != client_id:
        raise InvalidGrant(NOT_VALID)
    check_verifier(code.code_challenge, code_verifier)
    may_omit = redirect_uri is None and code.code_challenge is not None
    if code.redirect_uri is None:
        is_right = redirect_uri is None or is_registered(redirect_uri, registered)
    else:
        is_right = redirect_uri == code.redirect_uri or may_omit
    if not is_right:
        raise InvalidGrant("the redirect_uri is not that of the authorization request")
    return code

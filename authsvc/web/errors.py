"""From errors to answers. Here alone are the statuses known; each route names the renderer of its family."""

import re
from collections.abc import Callable
from http import HTTPStatus
from uuid import UUID

from starlette.types import ASGIApp

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.logs import request_id
from authsvc.models import JsonObject
from authsvc.web.responses import PROBLEM, Answer, Headers, json_answer, json_bytes

Renderer = Callable[[AuthsvcError], ASGIApp]

REALM = "authsvc"
PROBLEM_TYPE = "urn:authsvc:problem:"

STATUSES: dict[type[AuthsvcError], int] = {
    errors.Unavailable: 503,
    errors.TooManyAttempts: 429,
    errors.InvalidClient: 401,
    errors.OAuthError: 400,
    errors.NoRecipient: 400,
    errors.ExpiredRequest: 400,
    errors.MissingToken: 401,
    errors.InvalidToken: 401,
    errors.InsufficientScope: 403,
    errors.Malformed: 400,
    errors.UnsupportedMediaType: 415,
    errors.TooLarge: 413,
    errors.InvalidValue: 422,
    errors.InvalidCredentials: 401,
    errors.NoSession: 401,
    errors.EmailTaken: 409,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
}
"""The nearest class of an error's ancestry decides; what is in none of them is a fault of ours: 500, and no text."""

TITLES = {
    "temporarily_unavailable": "The service cannot answer right now",
    "too_many_attempts": "Too many attempts",
    "invalid_token": "The access token is not valid",
    "missing_token": "An access token is needed",
    "insufficient_scope": "The access token does not allow this",
    "malformed": "The body cannot be read",
    "unsupported_media_type": "The content type is not supported",
    "too_large": "The body is too large",
    "invalid_value": "A value is not acceptable",
    "invalid_request": "The request cannot be read",
    "invalid_credentials": "Login failed",
    "no_session": "Nobody is logged in",
    "email_taken": "The e-mail address is taken",
    "forbidden": "This is not allowed",
    "foreign_form": "The form was not made here",
    "expired_request": "The request has waited for too long",
    "not_found": "Not found",
    "method_not_allowed": "The method is not allowed",
    "server_error": "Something went wrong here",
}
"""One title for each problem type, documented in `docs/http-api.md` (PRB-02)."""

_NOT_IN_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")


def status_of(error: AuthsvcError) -> int:
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 500)


def render_oauth(error: AuthsvcError) -> Answer:
    """The token family: RFC 6749 §5.2."""
    status = status_of(error)
    body: JsonObject = {"error": _oauth_code(error, status)}
    if error.description and status != 500:
        body["error_description"] = _NOT_IN_DESCRIPTION.sub(" ", error.description)
    return json_answer(body, status, headers_of(error, "Basic"))


def render_bearer(error: AuthsvcError) -> Answer:
    """Resources of OAuth's own, which a bearer token opens: RFC 6750 §3. The challenge says what the body says, and who
    brought no token is told of no error."""
    status = status_of(error)
    headers = headers_of(error, "Bearer")
    if status in {400, 403}:
        headers.append((b"www-authenticate", _challenge(error, "Bearer").encode("ascii")))
    if isinstance(error, errors.MissingToken):
        return json_answer({"error_description": error.description}, status, headers)
    return json_bytes(render_oauth(error).body, status, headers)


def render_gateway(error: AuthsvcError) -> Answer:
    """What a user is told by way of a gateway: as `render_bearer`. What the gateway itself does wrong is 400 without a
    challenge, for a gateway passes 401 and 403 on, and there they would pass for a dead token."""
    return render_oauth(error) if status_of(error) == 400 else render_bearer(error)


def render_problem(error: AuthsvcError) -> Answer:
    """Everything that is not OAuth: RFC 9457. `instance` is the request id, to be found in the log."""
    status = status_of(error)
    code = (error.code or "missing_token") if status != 500 else "server_error"
    body: JsonObject = {
        "type": PROBLEM_TYPE + code.replace("_", "-"),
        "title": TITLES.get(code) or HTTPStatus(status).phrase,
        "status": status,
        "instance": f"urn:uuid:{UUID(hex=request_id.get())}",
    }
    if error.description and status != 500:
        body["detail"] = error.description
    if isinstance(error, errors.InvalidValue):
        body["errors"] = [{"detail": error.description, "pointer": f"#{error.pointer}"}]
    return json_answer(body, status, headers_of(error, "Bearer"), PROBLEM)


def _oauth_code(error: AuthsvcError, status: int) -> str:
    if status == 500:
        return "server_error"
    if isinstance(error, (errors.OAuthError, errors.Unavailable, errors.InvalidToken, errors.InsufficientScope)):
        return error.code
    if isinstance(error, errors.TooManyAttempts):
        return errors.Unavailable.code  # GEN-13: of the codes that RFC 6749 has, the one that says "later"
    return errors.InvalidRequest.code


def headers_of(error: AuthsvcError, scheme: str | None = None) -> Headers:
    """Those that say more of it. Where a route has no scheme, nobody is challenged."""
    headers: Headers = []
    if status_of(error) == 401 and scheme is not None:
        headers.append((b"www-authenticate", _challenge(error, scheme).encode("ascii")))
    if isinstance(error, (errors.Unavailable, errors.TooManyAttempts)):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if isinstance(error, errors.MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allowed).encode("ascii")))
    return headers


def _challenge(error: AuthsvcError, scheme: str) -> str:
    """RFC 6750 §3: who brought no credentials is told of no error."""
    challenge = f'{scheme} realm="{REALM}"'
    if isinstance(error, (errors.InvalidToken, errors.InsufficientScope, errors.InvalidRequest)):
        description = _NOT_IN_DESCRIPTION.sub(" ", error.description)
        challenge += f', error="{error.code}", error_description="{description}"'
    if isinstance(error, errors.InsufficientScope) and error.scope:
        challenge += f', scope="{error.scope}"'
    return challenge

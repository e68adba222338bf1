"""What may go wrong, in the words of the RFCs. Knows no HTTP: `web/errors.py` alone knows statuses.

`description` is safe to show to anyone. The cause of an error travels as `__cause__` and goes to the log only.
"""

from collections.abc import Sequence
from enum import StrEnum


class AuthsvcError(Exception):
    """The root of everything this service raises on purpose."""

    code = "server_error"

    def __init__(self, description: str = "") -> None:
        super().__init__(description)
        self.description = description


# --- The store, the load


class Unavailable(AuthsvcError):
    """It cannot be known right now: a store cannot be asked, or the queue is full. Never a verdict."""

    code = "temporarily_unavailable"

    def __init__(self, description: str = "the service cannot answer right now", *, retry_after: int = 1) -> None:
        super().__init__(description)
        self.retry_after = retry_after


class TooManyAttempts(AuthsvcError):
    """Refused unheard, and so no verdict on what was attempted (LOG-08). Says the same to everybody."""

    code = "too_many_attempts"

    def __init__(self, *, retry_after: int = 1) -> None:
        super().__init__("too many attempts: wait, then try again")
        self.retry_after = retry_after


class CacheAway(AuthsvcError):
    """Redis could not be asked. Nobody is told: whoever asked it does without."""


class OutboundRefused(AuthsvcError):
    """A client's address is one that this service does not go to. Nobody is told but the log."""


class OutboundFailed(AuthsvcError):
    """Somebody outside did not answer as they should, or not in time. Nobody is told but the log."""


class OutboundSilent(OutboundFailed):
    """They were told all of it, and did not answer in time: what came of it is not known."""


class ConfigurationError(AuthsvcError):
    """The operator has to mend something. Holds every fault that was found, not only the first."""

    code = "configuration_error"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


# --- OAuth (RFC 6749 §5.2, RFC 8707 §2)


class OAuthError(AuthsvcError):
    """An error of the token family of endpoints."""


class InvalidRequest(OAuthError):
    """A parameter is missing, malformed or repeated."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """Client authentication failed. Says the same for every cause (CLA-07)."""

    code = "invalid_client"

    def __init__(self, description: str = "client authentication failed") -> None:
        super().__init__(description)


class UnknownGateway(OAuthError):
    """Client authentication of a gateway failed. The user on whose behalf it asks has to do nothing with that, and must
    not be taken for one whose token is dead: it is no InvalidClient."""

    code = "invalid_client"

    def __init__(self) -> None:
        super().__init__("the gateway has not said who it is, or not proved it")


class InvalidGrant(OAuthError):
    """The grant is unknown, used, expired, revoked, or another client's."""

    code = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """No such grant type here."""

    code = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """A scope is malformed, unknown or wider than allowed."""

    code = "invalid_scope"


class InvalidTarget(OAuthError):
    """The resource is malformed or not for this client (RFC 8707 §2)."""

    code = "invalid_target"


# --- The authorization endpoint


class NoRecipient(AuthsvcError):
    """It is not known that an answer may be sent where the request wants it: shown on a page, never by a redirect
    (RFC 6749 §4.1.2.1). For that reason it is no OAuthError."""

    code = "invalid_request"


class ExpiredRequest(AuthsvcError):
    """A request has waited for its user for too long. It is begun anew at the client."""

    code = "expired_request"


class AccessDenied(OAuthError):
    """The user, or a rule, said no."""

    code = "access_denied"


class UnsupportedResponseType(OAuthError):
    """No such response type here."""

    code = "unsupported_response_type"


class LoginRequired(OAuthError):
    """The user would have to log in, and must not be asked to (OpenID Connect Core §3.1.2.6, as the next three)."""

    code = "login_required"


class ConsentRequired(OAuthError):
    """The user would have to consent, and must not be asked to."""

    code = "consent_required"


class UnmetAuthenticationRequirements(OAuthError):
    """No login here is of the kind that is demanded (OpenID Connect Unmet Authentication Requirements 1.0)."""

    code = "unmet_authentication_requirements"


class RequestNotSupported(OAuthError):
    """Request objects of this client are not read here (RFC 9101 §7)."""

    code = "request_not_supported"


class InvalidRequestObject(OAuthError):
    """A request object is not signed by its client, or not for here and now (RFC 9101 §7)."""

    code = "invalid_request_object"


class RequestUriNotSupported(OAuthError):
    """Requests are fetched from nowhere (RFC 9101 §7)."""

    code = "request_uri_not_supported"


class RegistrationNotSupported(OAuthError):
    """A client is not registered by the way (OpenID Connect Core §7.2.1)."""

    code = "registration_not_supported"


# --- Registration of clients (RFC 7591 §3.2.2)


class InvalidRedirectUri(OAuthError):
    """A client may not be sent its answers there."""

    code = "invalid_redirect_uri"


# --- Bearer-protected endpoints (RFC 6750 §3.1)


class MissingToken(AuthsvcError):
    """No credentials came. The challenge then names no error (RFC 6750 §3)."""

    code = ""


class InvalidToken(AuthsvcError):
    """The access token is not live, or not for this endpoint."""

    code = "invalid_token"


class InsufficientScope(AuthsvcError):
    """The access token is live, but does not allow this. `scope` is what would."""

    code = "insufficient_scope"

    def __init__(self, description: str = "", *, scope: str = "") -> None:
        super().__init__(description)
        self.scope = scope


# --- The first-party JSON API (RFC 9457)


class Malformed(AuthsvcError):
    """The body is not what its content type says."""

    code = "malformed"


class UnsupportedMediaType(AuthsvcError):
    """The body's content type is not the one this endpoint reads."""

    code = "unsupported_media_type"


class TooLarge(AuthsvcError):
    """The body is larger than this service reads."""

    code = "too_large"


class InvalidValue(AuthsvcError):
    """The body is well formed, a value in it is not acceptable."""

    code = "invalid_value"

    def __init__(self, description: str, *, pointer: str = "") -> None:
        super().__init__(description)
        self.pointer = pointer


class PasswordFault(StrEnum):
    """What is wrong with a password."""

    WRONG = "wrong"
    """The current one."""
    SHORT = "short"
    LONG = "long"
    GUESSABLE = "guessable"


class InvalidPassword(InvalidValue):
    """A password is not acceptable, or not the current one. `fault` says why to who does not read the description."""

    def __init__(self, description: str, *, pointer: str = "", fault: PasswordFault = PasswordFault.WRONG) -> None:
        super().__init__(description, pointer=pointer)
        self.fault = fault


class InvalidCredentials(AuthsvcError):
    """Login failed. The same for an unknown, a wrong and a disabled account (LOG-01)."""

    code = "invalid_credentials"

    def __init__(self) -> None:
        super().__init__("the e-mail address or the password is wrong")


class NoSession(AuthsvcError):
    """The browser has no cookie of a session that lives."""

    code = "no_session"

    def __init__(self) -> None:
        super().__init__("nobody is logged in with this browser")


class EmailTaken(AuthsvcError):
    """Another user has this e-mail address."""

    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("this e-mail address is taken")


class Forbidden(AuthsvcError):
    """Known, and not allowed."""

    code = "forbidden"


class ForeignForm(Forbidden):
    """The form was none that this browser was given here (CSR-01)."""

    code = "foreign_form"


class NotFound(AuthsvcError):
    """No such thing."""

    code = "not_found"


class MethodNotAllowed(AuthsvcError):
    """The resource is there, and does not know this method."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("the method is not allowed here")
        self.allowed = tuple(allowed)

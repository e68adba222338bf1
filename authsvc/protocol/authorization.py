"""RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1: what an authorization request asks for.

It is read in two stages. First who asks, and where they may be answered (`recipients.py`). This is the second: what is
wrong here is told to the client (AUZ-03).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from authsvc.errors import (
    InvalidRequest,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnmetAuthenticationRequirements,
    UnsupportedResponseType,
)
from authsvc.models import ClaimsRequest, Client, GrantType
from authsvc.protocol.claims_request import parse_claims_request
from authsvc.protocol.forms import Form
from authsvc.protocol.pkce import parse_challenge
from authsvc.protocol.recipients import Recipient, is_plain
from authsvc.protocol.resources import granted_resources, parse_resource
from authsvc.protocol.scopes import OFFLINE_ACCESS, OPENID, granted_scope, parse_scope

RESPONSE_TYPES = ("code",)
DISPLAYS = ("page", "popup", "touch", "wap")
MAX_HINT_LENGTH = 320
MAX_LANGUAGES = 16

_SECONDS = re.compile(r"[0-9]{1,9}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")  # RFC 5646 §2.1, without its finer points


class Prompt(StrEnum):
    """What the user must be asked, or that nothing may be."""

    NONE = "none"
    LOGIN = "login"
    CONSENT = "consent"
    SELECT_ACCOUNT = "select_account"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What is asked for, by a client that may ask for it."""

    recipient: Recipient
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    """Those that are named; where none is, it is left to the redemption."""
    code_challenge: str | None
    prompt: frozenset[Prompt]
    max_age: int | None
    """Seconds after which a login is too old; the client's own where the request names none."""
    nonce: str | None
    claims: ClaimsRequest
    acr_values: tuple[str, ...]
    id_token_hint: str | None = field(repr=False)
    login_hint: str | None = field(repr=False)
    display: str | None
    ui_locales: tuple[str, ...]
    claims_locales: tuple[str, ...]

    @property
    def wants_openid(self) -> bool:
        return OPENID in self.scope

    def wanted_values(self, claim: str) -> frozenset[str | int | float | bool]:
        """Those that `claims` asks for, in either place; none: any."""
        places = (self.claims.id_token, self.claims.userinfo)
        return frozenset(value for place in places if claim in place for value in place[claim].values)


def parse_request(
    form: Form, client: Client, recipient: Recipient, *, default_audience: str, acr_offered: Collection[str] = ()
) -> AuthorizationRequest:
    """The whole request, of the client and for the recipient that were found before.

    Parameters that are not known are ignored (GEN-02), and so are wishes that are not understood, where OpenID Connect
    says that they are no error (OID-06).

    Raises:
        OAuthError: to be told to the recipient.
    """
    form.check_unrepeated()
    _check_not_replaced(form)
    _check_echoes(form, recipient)
    _check_response_type(form, client)
    scope = _parse_scope(form, client)
    is_openid = OPENID in scope
    request = AuthorizationRequest(
        recipient=recipient,
        scope=scope,
        resources=granted_resources(
            [parse_resource(each) for each in form.many("resource")], client.audiences, default_audience
        ),
        code_challenge=parse_challenge(form, required=client.is_public or client.require_pkce),
        prompt=_parse_prompt(form),
        max_age=_parse_max_age(form, client),
        nonce=_parse_plain(form, "nonce"),
        claims=parse_claims_request((is_openid and form.one("claims")) or "{}"),
        acr_values=_parse_words(form, "acr_values"),
        id_token_hint=form.one("id_token_hint"),
        login_hint=_parse_hint(form),
        display=_one_of(form.one("display"), DISPLAYS),
        ui_locales=_parse_languages(form, "ui_locales"),
        claims_locales=_parse_languages(form, "claims_locales"),
    )
    _check_acr(request, acr_offered)
    return request


def _check_not_replaced(form: Form) -> None:
    """What would say something else than the request itself is refused, and never overlooked (OID-10). A request object
    that can be read has been taken out before."""
    if form.one("request") is not None:
        if form.one("request_uri") is not None:
            raise InvalidRequest("there is either a request or a request_uri")  # JAR-01
        raise RequestNotSupported("request objects are read of clients that have registered keys")
    if form.one("request_uri") is not None:
        raise RequestUriNotSupported("the parameter request_uri is not supported")
    if form.one("registration") is not None:
        raise RegistrationNotSupported("the parameter registration is not supported")


def _check_echoes(form: Form, recipient: Recipient) -> None:
    if form.one("state") != recipient.state:
        raise InvalidRequest("the state is too long, or holds other letters than printable ASCII")
    if form.one("response_mode") not in {None, recipient.response_mode}:
        raise InvalidRequest("the response_mode is not supported")


def _check_response_type(form: Form, client: Client) -> None:  # AUZ-04, AUZ-07
    if form.required("response_type") not in RESPONSE_TYPES:
        raise UnsupportedResponseType("the response_type is not supported")
    if GrantType.AUTHORIZATION_CODE not in client.grant_types:
        raise UnauthorizedClient("the client may not use this response_type")


def _parse_scope(form: Form, client: Client) -> tuple[str, ...]:
    """What is asked for by name, or all that the client has but what changes the kind of the answer: an ID token, and
    access when the user is away. Such access needs a refresh token: a client that has none is not given it (OID-09)."""
    text = form.one("scope")
    if text is None:
        return tuple(each for each in client.scope if each not in {OPENID, OFFLINE_ACCESS})
    asked = parse_scope(text)
    if GrantType.REFRESH_TOKEN not in client.grant_types:
        asked = tuple(each for each in asked if each != OFFLINE_ACCESS)
    return granted_scope(asked, client.scope)


def _parse_prompt(form: Form) -> frozenset[Prompt]:
    text = form.one("prompt")
    if text is None:
        return frozenset()
    words = frozenset(text.split(" "))
    if not words <= set(Prompt):
        raise InvalidRequest("the prompt is not supported")
    if Prompt.NONE in words and len(words) > 1:
        raise InvalidRequest("the prompt none goes with no other")
    return frozenset(map(Prompt, words))


def _parse_max_age(form: Form, client: Client) -> int | None:
    text = form.one("max_age")
    if text is None:
        return client.default_max_age
    if not _SECONDS.fullmatch(text):
        raise InvalidRequest("the max_age is no number of seconds")
    return int(text)


def _parse_plain(form: Form, name: str) -> str | None:
    text = form.one(name)
    if text is not None and not is_plain(text):
        raise InvalidRequest(f"the {name} is too long, or holds other letters than printable ASCII")
    return text


def _check_acr(request: AuthorizationRequest, offered: Collection[str]) -> None:
    """A demand that no login here can meet is refused before anybody logs in (OID-07). `acr_values` is a wish."""
    ask = request.claims.id_token.get("acr")
    if ask is not None and ask.essential and ask.values and not set(ask.values) & set(offered):
        raise UnmetAuthenticationRequirements("no login here is of this kind")


# --- Wishes: what is not understood is left out (OID-06)


def _parse_words(form: Form, name: str) -> tuple[str, ...]:
    text = form.one(name)
    return tuple(dict.fromkeys(text.split())) if text is not None and is_plain(text) else ()


def _parse_languages(form: Form, name: str) -> tuple[str, ...]:
    return tuple(filter(_LANGUAGE.fullmatch, _parse_words(form, name)))[:MAX_LANGUAGES]


def _parse_hint(form: Form) -> str | None:
    text = form.one("login_hint")
    return text if text is not None and len(text) <= MAX_HINT_LENGTH and text.isprintable() else None


def _one_of(text: str | None, known: Collection[str]) -> str | None:
    return text if text in known else None

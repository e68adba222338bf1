"""What an authorization request asks for, and what of it is refused."""

import json
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    NoRecipient,
    OAuthError,
    RegistrationNotSupported,
    RequestNotSupported,
    RequestUriNotSupported,
    UnauthorizedClient,
    UnmetAuthenticationRequirements,
    UnsupportedResponseType,
)
from authsvc.models import AuthMethod, ClaimAsk, ClaimsRequest, Client, GrantType
from authsvc.protocol.authorization import MAX_HINT_LENGTH, AuthorizationRequest, Prompt
from authsvc.protocol.forms import parse_query
from authsvc.protocol.recipients import MAX_VALUE_LENGTH, Recipient, ResponseMode, find_recipient
from tests.protocol.asking import (
    AUDIENCE,
    CALLBACK,
    CHALLENGE,
    CLIENT,
    PARAMETERS,
    PASSWORD_LOGIN,
    a_client,
    a_form,
    asked,
    parsed,
)

NONE: Any = None
EVERYTHING: dict[str, Any] = {
    "scope": "openid email offline_access",
    "response_mode": "form_post",
    "nonce": "the nonce",
    "prompt": "login consent",
    "max_age": "3600",
    "claims": '{"id_token":{"email":{"essential":true},"x":{"values":[1,true,1.5,"a"]}}}',
    "acr_values": "urn:example:gold urn:example:silver",
    "id_token_hint": "eyJ",
    "login_hint": "ada@example.com",
    "display": "popup",
    "ui_locales": "de-CH de en",
    "claims_locales": "ja",
}


def test_everything_that_is_asked_for_is_read() -> None:
    client = a_client(audiences=("https://a.example", "https://b.example"))
    resources = ["https://b.example", "https://a.example", "https://b.example"]
    request = asked(client, **EVERYTHING, resource=resources)
    assert request.recipient == Recipient("cli_1", CALLBACK, True, ResponseMode.FORM_POST, "the state")
    assert request.scope == ("openid", "email", "offline_access")
    assert request.wants_openid
    assert request.resources == ("https://b.example", "https://a.example")
    assert request.code_challenge == CHALLENGE
    assert request.prompt == {Prompt.LOGIN, Prompt.CONSENT}
    assert request.max_age == 3600
    assert request.nonce == "the nonce"
    assert request.claims == ClaimsRequest(
        {}, {"email": ClaimAsk(essential=True), "x": ClaimAsk(values=(1, True, 1.5, "a"))}
    )
    assert request.acr_values == ("urn:example:gold", "urn:example:silver")
    assert (request.id_token_hint, request.login_hint, request.display) == ("eyJ", "ada@example.com", "popup")
    assert (request.ui_locales, request.claims_locales) == (("de-CH", "de", "en"), ("ja",))


def test_a_request_with_nothing_but_what_is_needed_is_read() -> None:  # OID-01: no nonce
    request = parsed(parse_query(b"client_id=cli_1&response_type=code"), a_client(require_pkce=False))
    assert request.scope == ("profile", "email", "read")
    assert (request.nonce, request.max_age, request.code_challenge, request.prompt) == (None, None, None, frozenset())
    assert request.recipient == Recipient("cli_1", CALLBACK, False, ResponseMode.QUERY, None)


REFUSED: list[tuple[str, type[OAuthError], dict[str, Any]]] = [
    # response_type (AUZ-04, AUZ-07)
    ("AUZ-04 none", InvalidRequest, {"response_type": None}),
    ("AUZ-04 an empty one", InvalidRequest, {"response_type": ""}),
    ("AUZ-04 twice", InvalidRequest, {"response_type": ["code", "code"]}),
    *(
        (f"AUZ-07 {kind}", UnsupportedResponseType, {"response_type": kind})
        for kind in ("token", "id_token", "id_token token", "code id_token", "code token", "none", "CODE", "code ", "x")
    ),
    # what would replace the request
    ("a request object", RequestNotSupported, {"request": "eyJ"}),
    ("a request object and no response_type", RequestNotSupported, {"request": "eyJ", "response_type": None}),
    ("JAR-04 a request elsewhere", RequestUriNotSupported, {"request_uri": "https://client.example/r"}),
    ("a pushed request", RequestUriNotSupported, {"request_uri": "urn:ietf:params:oauth:request_uri:x"}),
    ("OID-10 registration", RegistrationNotSupported, {"registration": "{}"}),
    # GEN-04
    *(
        (f"GEN-04 two of {name}", InvalidRequest, {name: ["x", "x"]})
        for name in ("scope", "state", "response_mode", "nonce", "prompt", "code_challenge", "foo", "claims", "display")
    ),
    ("GEN-04 one and an empty one", InvalidRequest, {"nonce": ["x", ""]}),
    # scope
    ("SCO-01 two blanks", InvalidScope, {"scope": "openid  email"}),
    ("SCO-01 a quote", InvalidScope, {"scope": 'openid "'}),
    ("wider than the client's", InvalidScope, {"scope": "openid admin"}),
    ("another case", InvalidScope, {"scope": "OpenID"}),
    # PKCE
    ("PKC-02 no challenge", InvalidRequest, {"code_challenge": None, "code_challenge_method": None}),
    ("PKC-03 no method", InvalidRequest, {"code_challenge_method": None}),
    ("PKC-03 plain", InvalidRequest, {"code_challenge_method": "plain"}),
    ("PKC-04 a malformed challenge", InvalidRequest, {"code_challenge": CHALLENGE + "="}),
    # OpenID Connect
    ("OID-02 none and another", InvalidRequest, {"prompt": "none login"}),
    ("OID-02 none and consent", InvalidRequest, {"prompt": "consent none"}),
    ("OID-02 create", InvalidRequest, {"prompt": "create"}),
    ("OID-02 an unknown one", InvalidRequest, {"prompt": "login dance"}),
    ("OID-02 another case", InvalidRequest, {"prompt": "None"}),
    ("OID-02 two blanks", InvalidRequest, {"prompt": "login  consent"}),
    *(
        (f"OID-04 max_age {text!r}", InvalidRequest, {"max_age": text})
        for text in ("-1", "1.5", "1e3", "x", " 1", "0x10", "٣", "1" * 10, "1" * 5000)
    ),
    ("a nonce of two lines", InvalidRequest, {"nonce": "a\nb"}),
    ("a nonce that is too long", InvalidRequest, {"nonce": "x" * (MAX_VALUE_LENGTH + 1)}),
    ("OID-08 claims that are no JSON", InvalidRequest, {"claims": "name"}),
    ("OID-08 claims that are a list", InvalidRequest, {"claims": "[]"}),
    # resources
    ("RSC-01 a relative resource", InvalidTarget, {"resource": "/api"}),
    ("RSC-01 a fragment", InvalidTarget, {"resource": AUDIENCE + "#x"}),
    ("RSC-02 another resource", InvalidTarget, {"resource": "https://other.example"}),
    ("RSC-02 one too many", InvalidTarget, {"resource": [AUDIENCE, "https://other.example"]}),
]


@pytest.mark.parametrize(("error", "changes"), [pytest.param(*row, id=name[:40]) for name, *row in REFUSED])
def test_what_is_wrong_with_the_request_is_told_to_the_client(error: type[OAuthError], changes: dict[str, Any]) -> None:
    form = a_form(**changes)
    assert find_recipient(form, CLIENT).redirect_uri == CALLBACK  # AUZ-03
    with pytest.raises(OAuthError) as refused:
        parsed(form)
    assert type(refused.value) is error
    assert refused.value.description.isascii()


def test_a_client_that_may_not_use_the_code_grant_is_told_so() -> None:  # AUZ-04
    other = a_client(grant_types=frozenset(GrantType) - {GrantType.AUTHORIZATION_CODE})
    with pytest.raises(UnauthorizedClient):
        asked(other)
    with pytest.raises(UnsupportedResponseType):
        asked(other, response_type="token")


def test_unknown_parameters_and_empty_ones_change_nothing() -> None:  # GEN-02, GEN-03
    names = ("nonce", "prompt", "max_age", "claims", "resource", "request", "request_uri", "display")
    empty: dict[str, Any] = dict.fromkeys(names, "")
    assert asked(foo="bar", extra="foobar", **empty) == asked()


def test_the_order_of_parameters_and_of_scopes_changes_nothing() -> None:
    backwards = dict(reversed(PARAMETERS.items())) | {"scope": "email openid email"}
    request = parsed(parse_query(urlencode(backwards).encode()))
    assert request.scope == ("email", "openid")
    assert request.recipient == asked().recipient


# --- Scope


@pytest.mark.parametrize("scope", [None, ""])
def test_no_scope_is_all_of_the_clients_but_what_has_to_be_asked_for_by_name(scope: str | None) -> None:  # SCO-02
    request = asked(scope=scope)
    assert request.scope == ("profile", "email", "read")
    assert not request.wants_openid


@pytest.mark.parametrize(
    ("grant_types", "expected"),
    [
        ({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}, ("openid", "offline_access")),
        ({GrantType.AUTHORIZATION_CODE}, ("openid",)),
    ],
    ids=["may refresh", "may not"],
)
def test_offline_access_is_ignored_where_there_is_no_refresh_token(
    grant_types: set[GrantType], expected: tuple[str, ...]
) -> None:  # OID-09
    client = a_client(grant_types=frozenset(grant_types))
    assert asked(client, scope="openid offline_access").scope == expected
    without = a_client(grant_types=frozenset({GrantType.AUTHORIZATION_CODE}), scope=("openid",))
    assert asked(without, scope="openid offline_access").scope == ("openid",)


# --- PKCE


@pytest.mark.parametrize(
    ("client", "is_free"),
    [
        (a_client(require_pkce=False), True),
        (a_client(require_pkce=True), False),
        (a_client(require_pkce=False, auth_method=AuthMethod.NONE, secret_digests=()), False),
        (a_client(require_pkce=False, auth_method=AuthMethod.NONE, first_party=True), False),
    ],
    ids=["may go without", "has to", "public", "public and first party"],
)
def test_a_challenge_may_be_left_out_by_a_confidential_client_that_is_registered_so(
    client: Client, is_free: bool
) -> None:  # PKC-02
    assert asked(client).code_challenge == CHALLENGE
    with pytest.raises(InvalidRequest):
        asked(client, code_challenge_method="plain")  # PKC-03: sent is sent
    without = {"code_challenge": NONE, "code_challenge_method": NONE}
    if is_free:
        assert asked(client, **without).code_challenge is None
    else:
        with pytest.raises(InvalidRequest):
            asked(client, **without)


# --- Resources


def test_a_client_without_audiences_may_name_the_default() -> None:  # RSC-02
    assert asked(resource=AUDIENCE).resources == (AUDIENCE,)
    assert asked().resources == ()
    with pytest.raises(InvalidTarget):
        asked(a_client(audiences=("https://a.example",)), resource=AUDIENCE)


# --- OpenID Connect


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        (None, None, None),
        (None, 60, 60),
        (None, 0, 0),
        ("", 60, 60),
        ("0", None, 0),
        ("0", 60, 0),
        ("10000", 60, 10_000),
        ("007", None, 7),
        ("999999999", None, 999_999_999),
    ],
)
def test_max_age_is_the_requests_or_the_clients(text: str | None, default: int | None, expected: int | None) -> None:
    assert asked(a_client(default_max_age=default), max_age=text).max_age == expected  # OID-04


@pytest.mark.parametrize(
    "prompt", ["none", "login", "consent", "select_account", "login login", "consent select_account"]
)
def test_the_prompts_of_the_standard_are_known(prompt: str) -> None:  # OID-02
    assert {str(each) for each in asked(prompt=prompt).prompt} == set(prompt.split())


WISHES: list[tuple[str, str, Any]] = [
    ("display", "dance", None),
    ("display", "x" * 5000, None),
    ("login_hint", "x" * (MAX_HINT_LENGTH + 1), None),
    ("login_hint", "a\nb", None),
    ("login_hint", "ädä@example.com", "ädä@example.com"),
    ("login_hint", "buffy@auth.example", "buffy@auth.example"),
    ("ui_locales", "se", ("se",)),
    ("ui_locales", "de_DE en-US <script> ../x", ("en-US",)),
    ("ui_locales", "de ü", ()),
    ("ui_locales", "de  en", ("de", "en")),
    ("ui_locales", " ".join(f"l-{n}" for n in range(40)), tuple(f"l-{n}" for n in range(16))),
    ("ui_locales", "x" * 5000, ()),
    ("claims_locales", "de\ten", ()),
    ("acr_values", "1 2", ("1", "2")),
    ("acr_values", "1 1", ("1",)),
    ("acr_values", "ü", ()),
]


@pytest.mark.parametrize(("name", "value", "expected"), WISHES, ids=lambda value: repr(value)[:24])
def test_a_wish_that_is_not_understood_is_no_error(name: str, value: str, expected: Any) -> None:  # OID-06
    wish: dict[str, Any] = {name: value}
    assert getattr(asked(**wish), name) == expected


@pytest.mark.parametrize(
    ("acr", "is_met"),
    [
        ({"essential": True, "value": PASSWORD_LOGIN}, True),
        ({"essential": True, "values": ["urn:example:passkey", PASSWORD_LOGIN]}, True),
        ({"essential": True}, True),
        ({"value": "urn:example:passkey"}, True),
        (None, True),
        ({"essential": True, "value": "urn:example:passkey"}, False),
        ({"essential": True, "values": ["urn:example:passkey", "1"]}, False),
    ],
    ids=str,
)
def test_a_demand_for_a_login_of_a_kind_that_there_is_not_is_refused_at_once(acr: Any, is_met: bool) -> None:  # OID-07
    claims = json.dumps({"id_token": {"acr": acr}})
    if is_met:
        asked(claims=claims)
    else:
        with pytest.raises(UnmetAuthenticationRequirements):
            asked(claims=claims)


def test_claims_are_read_in_openid_connect_alone() -> None:  # OID-08
    claims = '{"userinfo":{"name":{"essential":true}},"id_token":{"sub":{"value":"usr_1"}}}'
    request = asked(claims=claims)
    assert request.claims.userinfo == {"name": ClaimAsk(essential=True)}
    assert request.wanted_values("sub") == {"usr_1"}
    assert request.wanted_values("name") == request.wanted_values("email") == frozenset()
    assert asked(claims=claims, scope="read").claims == ClaimsRequest({}, {})
    assert asked(claims="no JSON", scope="read").claims == ClaimsRequest({}, {})


def test_a_request_can_be_written_down_and_read_again() -> None:
    """It has to wait somewhere while the user logs in."""
    for request in (asked(), asked(**EVERYTHING)):
        written = msgspec.json.encode(request)
        assert msgspec.json.decode(written, type=AuthorizationRequest) == request


def test_hints_are_not_shown_by_accident() -> None:  # ATK-102
    shown = repr(asked(login_hint="ada@example.com", id_token_hint="eyJhbGciOi"))
    assert "ada@example.com" not in shown
    assert "eyJhbGciOi" not in shown


# --- Whatever comes

NAMES = st.sampled_from(
    [*PARAMETERS, "nonce", "prompt", "max_age", "claims", "resource", "request", "ui_locales", "response_mode", "foo"]
)
VALUES = st.sampled_from([*PARAMETERS.values(), "none", "login", "0", "{}", "openid email", AUDIENCE, ""]) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.sets(st.sampled_from(list(PARAMETERS)), max_size=3))
def test_whatever_comes_is_read_or_refused_and_goes_nowhere_else(
    pairs: list[tuple[str, str]], left_out: set[str]
) -> None:
    sent = [(name, value) for name, value in PARAMETERS.items() if name not in left_out] + pairs
    form = parse_query(urlencode(sent).encode())
    try:
        recipient = find_recipient(form, CLIENT)
        assert recipient.redirect_uri == CALLBACK
        assert recipient.state is None or recipient.state in form.many("state")
        request = parsed(form)
    except (NoRecipient, OAuthError) as refused:
        assert refused.description.isascii()
        return
    assert set(request.scope) <= set(CLIENT.scope)
    assert request.code_challenge == CHALLENGE
    assert request.nonce == form.one("nonce")

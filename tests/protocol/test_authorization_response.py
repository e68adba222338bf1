"""The answer to an authorization request: by query or by form, with state and issuer."""

import re
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.protocol.authorization_response import build_failure, build_location, build_success
from authsvc.protocol.recipients import Recipient, ResponseMode

ISSUER = "https://auth.example/tenant"
CODE = "asc_" + "A" * 43
RECIPIENT = Recipient("cli_1", "https://client.example/cb", True, ResponseMode.QUERY, "the state")
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")


def query_of(location: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(location).query, keep_blank_values=True, strict_parsing=True)


@pytest.mark.parametrize("mode", ResponseMode)
def test_a_code_comes_with_the_state_and_the_issuer(mode: ResponseMode) -> None:  # ISS-01, AUZ-05, AUZ-07, OID-11
    response = build_success(replace(RECIPIENT, response_mode=mode), CODE, ISSUER)
    assert (response.redirect_uri, response.mode) == (RECIPIENT.redirect_uri, mode)
    assert response.fields == (("code", CODE), ("state", "the state"), ("iss", ISSUER))
    assert CODE not in repr(response)


def test_an_error_comes_with_the_state_and_the_issuer() -> None:  # AUZ-03, ISS-01
    response = build_failure(RECIPIENT, errors.InvalidScope("the scope is malformed"), ISSUER)
    assert response.fields == (
        ("error", "invalid_scope"),
        ("error_description", "the scope is malformed"),
        ("state", "the state"),
        ("iss", ISSUER),
    )


def test_where_no_state_came_none_is_sent() -> None:
    for response in (
        build_success(replace(RECIPIENT, state=None), CODE, ISSUER),
        build_failure(replace(RECIPIENT, state=None), errors.AccessDenied(), ISSUER),
    ):
        assert "state" not in dict(response.fields)
    assert response.fields == (("error", "access_denied"), ("iss", ISSUER))  # AUZ-15


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AccessDenied("x"), "access_denied"),
        (errors.LoginRequired("x"), "login_required"),
        (errors.ConsentRequired("x"), "consent_required"),
        (errors.UnsupportedResponseType("x"), "unsupported_response_type"),
        (errors.RequestNotSupported("x"), "request_not_supported"),
        (errors.RequestUriNotSupported("x"), "request_uri_not_supported"),
        (errors.RegistrationNotSupported("x"), "registration_not_supported"),
        (errors.UnmetAuthenticationRequirements("x"), "unmet_authentication_requirements"),
        (errors.UnauthorizedClient("x"), "unauthorized_client"),
        (errors.InvalidTarget("x"), "invalid_target"),
        (errors.Unavailable("x"), "temporarily_unavailable"),
        (errors.TooManyAttempts(), "temporarily_unavailable"),
        (AuthsvcError("x"), "server_error"),
        (errors.ConfigurationError(["x"]), "server_error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_the_code_of_its_standard(error: AuthsvcError, code: str) -> None:
    told = dict(build_failure(RECIPIENT, error, ISSUER).fields)
    assert told["error"] == code
    assert told.get("error_description", "x") == "x"
    assert "code" not in told
    assert ("error_description" in told) == isinstance(error, errors.OAuthError)


@pytest.mark.parametrize(
    ("redirect_uri", "before"),
    [
        ("https://client.example/cb", "https://client.example/cb?"),
        ("https://client.example", "https://client.example?"),
        ("https://client.example/cb?x=1", "https://client.example/cb?x=1&"),  # AUZ-06
        ("https://client.example/cb?x=%2F+a&y", "https://client.example/cb?x=%2F+a&y&"),
        ("https://client.example/cb?", "https://client.example/cb?"),
        ("https://client.example/cb?x=1&", "https://client.example/cb?x=1&"),
        ("http://127.0.0.1:51004/cb", "http://127.0.0.1:51004/cb?"),
        ("com.example.app:/cb", "com.example.app:/cb?"),
    ],
)
def test_the_answer_is_added_to_the_query_that_the_uri_has(redirect_uri: str, before: str) -> None:
    location = build_location(build_success(replace(RECIPIENT, redirect_uri=redirect_uri), CODE, ISSUER))
    assert location == before + f"code={CODE}&state=the%20state&iss=https%3A%2F%2Fauth.example%2Ftenant"
    assert "#" not in location


@pytest.mark.parametrize("state", ["a b&c=d%+/~", '"\\<script>', "x" * 128, "%41", "+", " ", "é".encode().hex(), "#?"])
def test_the_state_is_given_back_as_it_came(state: str) -> None:  # AUZ-05
    location = build_location(build_success(replace(RECIPIENT, state=state), CODE, ISSUER))
    assert ("state", state) in query_of(location)


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1)


@given(PRINTABLE, st.text())
def test_whatever_is_told_ends_no_header_and_adds_no_parameter(state: str, text: str) -> None:  # GEN-09
    for response, names in (
        (build_success(replace(RECIPIENT, state=state), CODE, ISSUER), ["code", "state", "iss"]),
        (
            build_failure(replace(RECIPIENT, state=state), errors.InvalidRequest(text), ISSUER),
            ["error", *(["error_description"] if text else []), "state", "iss"],
        ),
    ):
        location = build_location(response)
        assert re.fullmatch(r"[\x21-\x7e]+", location)
        assert not {'"', "'", "<", ">", "\\", "#"} & set(location)
        pairs = query_of(location)
        assert pairs == list(response.fields)
        assert [name for name, _ in pairs] == names
        assert dict(pairs)["state"] == state
    assert DESCRIPTION.fullmatch(dict(pairs).get("error_description", "x"))

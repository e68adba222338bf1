"""Assertions of clients (CLA-09 to CLA-13, ATK-80)."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidClient
from authsvc.models import AuthMethod, Client
from authsvc.protocol.client_assertion import SingleUse, check_assertion, parse_assertion
from authsvc.protocol.client_auth import parse_credentials
from authsvc.protocol.forms import Form
from tests.protocol.asking import CLIENT, NOW
from tests.signing import ASSERTION_TYPE, Hand, segment

ISSUER = "https://auth.example"
HAND = Hand()
SIGNER = replace(CLIENT, auth_method=AuthMethod.PRIVATE_KEY_JWT, secret_digests=(), jwks=HAND.key_set())
UNIX = NOW.timestamp()


def an_assertion(header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {
        "iss": "cli_1", "sub": "cli_1", "aud": ISSUER, "iat": UNIX, "exp": UNIX + 60, "jti": "once",
    } | changes  # fmt: skip
    return HAND.sign({name: value for name, value in claims.items() if value is not None}, **(header or {}))


def used(text: str, client: Client = SIGNER, *, client_id: str | None = None) -> SingleUse:
    return check_assertion(parse_assertion(text, ASSERTION_TYPE, client_id), client, ISSUER, NOW)


ACCEPTED: dict[str, dict[str, Any]] = {
    "as most make it": {},
    "a list of one": {"aud": [ISSUER]},
    "without iat": {"iat": None},
    "with nbf": {"nbf": UNIX},
    "as long as allowed": {"exp": UNIX + 300},
    "by a clock that is ahead": {"iat": UNIX + 30, "nbf": UNIX + 30, "exp": UNIX + 330},
    "by a clock that is behind": {"iat": UNIX - 89, "exp": UNIX - 29},
    "in fractions": {"exp": UNIX + 0.5},
    "with more in it": {"scope": "read", "client_id": "cli_1"},
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_good_assertion_is_good_once(case: str) -> None:
    single_use = used(an_assertion(**ACCEPTED[case]))
    assert single_use.digest == used(an_assertion(**ACCEPTED[case])).digest
    assert single_use.expires_at >= NOW
    assert used(an_assertion(jti="twice")).digest != single_use.digest


def test_it_is_remembered_for_as_long_as_it_would_be_taken() -> None:
    single_use = used(an_assertion(exp=UNIX + 60))
    last = single_use.expires_at - timedelta(microseconds=1)
    assertion = parse_assertion(an_assertion(exp=UNIX + 60), ASSERTION_TYPE, None)
    check_assertion(assertion, SIGNER, ISSUER, last)
    with pytest.raises(InvalidClient):
        check_assertion(assertion, SIGNER, ISSUER, single_use.expires_at)


def test_two_clients_may_use_the_same_jti() -> None:
    other = replace(SIGNER, client_id="cli_2")
    assert used(an_assertion(iss="cli_2", sub="cli_2"), other).digest != used(an_assertion()).digest


REFUSED: dict[str, dict[str, Any]] = {
    **{f"without {name}": {name: None} for name in ("iss", "sub", "aud", "exp", "jti")},
    "another issuer": {"iss": "cli_2"},
    "another subject": {"sub": "cli_2"},
    "another client": {"iss": "cli_2", "sub": "cli_2"},
    "a subject that is a list": {"iss": ["cli_1"], "sub": ["cli_1"]},
    "for the token endpoint: CLA-10": {"aud": f"{ISSUER}/oauth2/token"},
    "for another server": {"aud": "https://other.example"},
    "for others too": {"aud": [ISSUER, "https://other.example"]},
    "for the token endpoint too": {"aud": [ISSUER, f"{ISSUER}/oauth2/token"]},
    "for us twice": {"aud": [ISSUER, ISSUER]},
    "with a slash": {"aud": f"{ISSUER}/"},
    "for nobody": {"aud": []},
    "over": {"exp": UNIX - 30},
    "good for too long: CLA-12": {"exp": UNIX + 331},
    "good for a year": {"exp": UNIX + 366 * 86400},
    "from the future": {"iat": UNIX + 31},
    "not yet": {"nbf": UNIX + 31},
    "an exp that is a text": {"exp": str(UNIX + 60)},
    "an exp that is true": {"exp": True},
    "an exp that is a list": {"exp": [UNIX + 60]},
    "an exp of null": {},
    "a negative exp": {"exp": -1},
    "an iat that is a text": {"iat": "now"},
    "an empty jti": {"jti": ""},
    "a long jti": {"jti": "j" * 513},
    "a jti that is a number": {"jti": 7},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_claim_that_is_wrong_is_refused(case: str) -> None:  # CLA-09
    text = an_assertion(**REFUSED[case])
    if case == "an exp of null":
        text = HAND.sign({"iss": "cli_1", "sub": "cli_1", "aud": ISSUER, "exp": None, "jti": "x"})
    with pytest.raises(InvalidClient):
        used(text)


@pytest.mark.parametrize("exp", ["NaN", "Infinity", "1e400", "-Infinity", "9007199254740993e3"])
def test_a_number_that_is_no_moment_is_refused(exp: str) -> None:  # JWT-07
    claims = json.dumps({"iss": "cli_1", "sub": "cli_1", "aud": ISSUER, "exp": 0, "jti": "x"}).replace("0", exp)
    with pytest.raises(InvalidClient):
        used(HAND.sign(claims.encode()))


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "client-authentication+jwt", "application/client-authentication+jwt"]
)
def test_a_kind_that_is_right_or_not_told_is_taken(typ: str | None) -> None:  # CLA-11
    used(an_assertion({"typ": typ}))


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "oauth-authz-req+jwt", "logout+jwt", "secevent+jwt", "", "jwt2"])
def test_another_kind_is_not(typ: str) -> None:  # CLA-11, ATK-18
    with pytest.raises(InvalidClient):
        used(an_assertion({"typ": typ}))


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_method": None},
        {"auth_method": AuthMethod.BASIC},
        {"auth_method": AuthMethod.NONE},
        {"assertion_algorithm": "PS256"},
        {"disabled_at": NOW},
        {"client_id": "cli_2"},
    ],
    ids=str,
)
def test_a_client_of_another_kind_has_no_assertion(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidClient):
        used(an_assertion(), replace(SIGNER, **changes))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"}, {"alg": "none"}, {"alg": None}, {"alg": 7}, {"kid": 7}, {"kid": "k" * 129}, {"typ": 7},
        {"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"zip": "DEF"}, {"enc": "A128GCM"},
    ],
    ids=str,
)  # fmt: skip
def test_a_header_that_asks_for_something_else_is_refused(header: dict[str, Any]) -> None:  # JWT-08
    with pytest.raises(InvalidClient):
        used(an_assertion(header))


BROKEN = {
    "empty": "",
    "one segment": "x",
    "two segments": "e30.e30",
    "five segments": "e30.e30.e30.e30.e30",
    "padded": an_assertion() + "==",
    "with a blank": an_assertion() + " ",
    "not ASCII": an_assertion() + "ü",
    "a lone surrogate": an_assertion() + "\ud800",
    "long": an_assertion(x="x" * 8192),
    "a name twice: JWT-06": HAND.sign(b'{"sub":"cli_1","sub":"cli_1","iss":"cli_1"}'),
    "an array": HAND.sign([]),
    "UTF-16: JWT-17": HAND.sign('{"sub":"cli_1"}'.encode("utf-16")),
    "no JSON": HAND.sign(b"{"),
    "deep": HAND.sign(b"[" * 5000),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_jwt_is_no_assertion(case: str) -> None:
    with pytest.raises(InvalidClient):
        parse_assertion(BROKEN[case], ASSERTION_TYPE, None)


@pytest.mark.parametrize(
    "assertion_type", [None, "jwt", ASSERTION_TYPE.upper(), ASSERTION_TYPE.replace("jwt", "saml2")]
)
def test_an_assertion_of_another_type_is_none(assertion_type: str | None) -> None:
    with pytest.raises(InvalidClient):
        parse_assertion(an_assertion(), assertion_type, None)


def test_the_client_id_is_optional_and_then_the_same() -> None:
    used(an_assertion(), client_id="cli_1")
    with pytest.raises(InvalidClient):
        used(an_assertion(), client_id="cli_2")


def test_the_credentials_name_the_client_of_the_assertion() -> None:
    form = Form({"client_assertion": [an_assertion()], "client_assertion_type": [ASSERTION_TYPE]})
    credentials = parse_credentials(None, form)
    assert (credentials.client_id, credentials.secret) == ("cli_1", None)
    assert credentials.method is AuthMethod.PRIVATE_KEY_JWT


@given(st.text(max_size=200) | st.binary(max_size=80).map(lambda raw: f"{segment(raw)}.{segment(raw)}.{segment(raw)}"))
def test_whatever_is_sent_as_an_assertion_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(InvalidClient):
        parse_assertion(text, ASSERTION_TYPE, None)


MOMENTS = st.floats() | st.integers() | st.text(max_size=3) | st.none() | st.booleans()


@given(exp=MOMENTS, iat=MOMENTS, nbf=MOMENTS)
def test_no_moment_makes_an_assertion_good_for_longer_than_that(exp: Any, iat: Any, nbf: Any) -> None:
    claims = {"iss": "cli_1", "sub": "cli_1", "aud": ISSUER, "jti": "x", "exp": exp, "iat": iat, "nbf": nbf}
    try:
        single_use = used(HAND.sign(claims))
    except InvalidClient:
        return
    assert NOW < single_use.expires_at <= NOW + timedelta(seconds=360)
    assert math.isfinite(exp)

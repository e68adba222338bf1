"""PKCE: what challenge is taken, and which verifier answers it (PKC-02 to PKC-07, ATK-78)."""

from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidGrant, InvalidRequest
from authsvc.protocol.forms import Form, parse_form
from authsvc.protocol.pkce import METHODS, check_verifier, parse_challenge

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def form(**parameters: str) -> Form:
    return parse_form(urlencode(parameters).encode(), "application/x-www-form-urlencoded")


def test_the_verifier_of_the_rfc_answers_its_challenge() -> None:  # PKC-07
    check_verifier(CHALLENGE, VERIFIER)


@pytest.mark.parametrize("required", [True, False])
def test_a_challenge_of_s256_is_taken(required: bool) -> None:  # PKC-03
    asked = form(code_challenge=CHALLENGE, code_challenge_method="S256")
    assert parse_challenge(asked, required=required) == CHALLENGE
    assert METHODS == ("S256",)


def test_no_challenge_is_refused_where_one_is_required() -> None:  # PKC-02
    for asked in (form(), form(code_challenge=""), form(code_challenge="", code_challenge_method="")):
        assert parse_challenge(asked, required=False) is None
        with pytest.raises(InvalidRequest, match="code_challenge is missing"):
            parse_challenge(asked, required=True)


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (CHALLENGE, ""),  # PKC-03: no method is plain
        (CHALLENGE, "plain"),
        (CHALLENGE, "s256"),
        (CHALLENGE, "S512"),
        (CHALLENGE, "S256 "),
        ("", "S256"),
        (CHALLENGE[:-1], "S256"),  # PKC-04
        (CHALLENGE + "A", "S256"),
        ("A" * 128, "S256"),
        ("A" * 129, "S256"),
        (CHALLENGE[:-1] + "=", "S256"),
        (CHALLENGE[:-1] + "+", "S256"),
        (CHALLENGE[:-1] + "/", "S256"),
        (CHALLENGE[:-1] + "~", "S256"),
        (CHALLENGE[:-1] + "ü", "S256"),
        (CHALLENGE + "\n", "S256"),
        (" " + CHALLENGE, "S256"),
    ],
)
def test_another_challenge_is_refused(challenge: str, method: str, required: bool) -> None:
    with pytest.raises(InvalidRequest):
        parse_challenge(form(code_challenge=challenge, code_challenge_method=method), required=required)


@pytest.mark.parametrize(
    "verifier",
    [
        None,  # PKC-06
        "",
        VERIFIER[:-1] + "l",  # PKC-01
        VERIFIER.lower(),
        VERIFIER[:-1],  # PKC-04: 42 letters
        VERIFIER + "A" * 86,  # 129
        VERIFIER + "=",
        VERIFIER + "\n",
        VERIFIER + "+",
        VERIFIER + "ü",
        CHALLENGE,  # as plain would have it
    ],
)
def test_another_verifier_gets_nothing(verifier: str | None) -> None:
    with pytest.raises(InvalidGrant):
        check_verifier(CHALLENGE, verifier)


@pytest.mark.parametrize("length", [42, 129])
def test_a_verifier_of_the_wrong_length_is_refused_though_its_digest_is_right(length: int) -> None:  # PKC-04
    verifier = "A" * length
    with pytest.raises(InvalidGrant):
        check_verifier(challenge_of(verifier), verifier)


def test_a_verifier_for_a_code_without_challenge_is_refused() -> None:  # PKC-05
    check_verifier(None, None)
    with pytest.raises(InvalidRequest):
        check_verifier(None, VERIFIER)


def challenge_of(verifier: str) -> str:
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()


VERIFIERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", min_size=43, max_size=128)


@given(VERIFIERS, VERIFIERS)
def test_a_verifier_answers_its_own_challenge_and_no_other(verifier: str, other: str) -> None:
    challenge = parse_challenge(
        form(code_challenge=challenge_of(verifier), code_challenge_method="S256"), required=True
    )
    check_verifier(challenge, verifier)
    if other != verifier:
        with pytest.raises(InvalidGrant):
            check_verifier(challenge, other)

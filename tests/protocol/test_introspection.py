"""RFC 9701: when a signed answer is asked for, and what it says. The rest is asked of the endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.introspection import INACTIVE, build_signed_answer, wants_signed

JWT = "application/token-introspection+jwt"


@pytest.mark.parametrize(
    ("accept", "wants"),
    [
        (JWT, True),
        ("Application/Token-Introspection+JWT", True),
        (f"{JWT};q=0.1", True),
        (f"{JWT}; charset=utf-8 ; q=1.000", True),
        (f"application/json, {JWT}", True),
        (f"{JWT},application/json;q=0.9,*/*;q=0.8", True),
        (f"application/json;q=0.5, {JWT};q=0.5", True),
        (f"application/json, {JWT};q=0.9", False),
        (f"{JWT};q=0", False),
        (f"{JWT};q=0.000", False),
        (f"{JWT};q=x", False),
        (f"{JWT};q=1.1", False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/jwt", False),
        ("application/json", False),
        (f"x{JWT}", False),
        (f"{JWT}x", False),
    ],
)
def test_a_signed_answer_is_for_who_names_it(accept: str, wants: bool) -> None:  # IJR-01
    assert wants_signed(accept) is wants


@given(st.text(alphabet=f",;=q01.* {JWT}", max_size=60))
def test_no_header_is_too_strange(accept: str) -> None:
    assert wants_signed(accept) in {True, False}


@pytest.mark.parametrize("answer", [INACTIVE, b'{"active":true,"sub":"u","exp":9}'])
def test_it_says_what_the_plain_answer_says_to_one_caller(answer: bytes) -> None:  # IJR-02, IJR-03
    told = build_signed_answer(answer, "https://auth.example", "cli", 7)
    assert told.keys() == {"iss", "aud", "iat", "token_introspection"}  # and neither sub nor exp
    assert (told["iss"], told["aud"], told["iat"]) == ("https://auth.example", "cli", 7)
    assert told["token_introspection"]["active"] is (answer != INACTIVE)
    if answer == INACTIVE:
        assert told["token_introspection"] == {"active": False}

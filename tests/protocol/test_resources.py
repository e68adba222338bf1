"""Resource indicators, and the audience of a token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidTarget
from authsvc.protocol.resources import MAX_RESOURCE_LENGTH, audience_of, narrow, parse_resource

A, B, DEFAULT = "https://a.example", "https://b.example", "https://default.example"


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example",
        "https://api.example/",
        "https://api.example:8443/v1/things;a=1",
        "https://api.example/a?b=c",  # SHOULD NOT, and is no MUST NOT
        "https://[2001:db8::1]/",
        "http://localhost:8000/api/v1",
        "urn:example:cooperation-context",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "com.example.app:/api",
        "HTTPS://API.example/%7Euser",
        "https://a.example/" + "x" * (MAX_RESOURCE_LENGTH - 18),
    ],
)
def test_an_absolute_uri_is_a_resource_as_it_is_written(text: str) -> None:
    """RSC-01."""
    assert parse_resource(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api",
        "/api",
        "//api.example/x",
        "api.example",
        "https:",
        "https://",
        "https:///path",
        "https:api.example",
        "https://:443/",
        "https://?a",
        "HTTP://",
        "https://api.example#",
        "https://api.example/#frag",
        "urn:a#b",
        "1http://api.example",
        ":x",
        "https://api.example/a b",
        "https://api.example/%zz",
        "https://api.example/ü",
        'https://api.example/"',
        "https://api.example/\\x",
        "https://api.example/<x>",
        "https://api.example/\n",
        "https://api.example\0",
        " https://api.example",
        "\ud800:x",
        "https://a.example/" + "x" * MAX_RESOURCE_LENGTH,
    ],
)
def test_another_text_is_no_resource(text: str) -> None:
    """RSC-01."""
    with pytest.raises(InvalidTarget, match="absolute URI"):
        parse_resource(text)


@given(st.text() | st.text(alphabet="htps:/#.?%20[]@a"))
def test_any_text_is_a_resource_or_is_refused(text: str) -> None:
    try:
        assert parse_resource(text) == text
    except InvalidTarget:
        return
    assert text.isascii()
    assert "#" not in text


@pytest.mark.parametrize(
    ("resources", "allowed", "audience"),
    [
        ([], [], DEFAULT),  # AT-04
        ([], [A, B], A),
        ([A], [A, B], A),
        ([B], [A, B], B),  # RSC-02
        ([DEFAULT], [], DEFAULT),
    ],
)
def test_a_token_is_for_the_resource_asked_for_or_for_the_first_allowed(
    resources: list[str], allowed: list[str], audience: str
) -> None:
    assert audience_of(resources, allowed, DEFAULT) == audience


@pytest.mark.parametrize(
    ("resources", "allowed"),
    [
        ([A, B], [A, B]),  # RSC-03
        ([A, A], [A]),
        ([B], [A]),
        ([A + "/"], [A]),  # compared letter by letter
        ([A.upper()], [A]),
        ([A], []),
        ([DEFAULT], [A]),
    ],
)
def test_another_resource_or_more_than_one_is_refused(resources: list[str], allowed: list[str]) -> None:
    with pytest.raises(InvalidTarget):
        audience_of(resources, allowed, DEFAULT)


USERINFO, API = "https://auth.example/oauth2/userinfo", "https://auth.example/api/v1"


@pytest.mark.parametrize(
    ("named", "granted", "audience"),
    [
        ([], [A], (A,)),
        ([], [A, USERINFO], (A, USERINFO)),
        ([], [DEFAULT, API, USERINFO], (DEFAULT, API, USERINFO)),
        ([B], [A, B], (B,)),  # RSC-02
        ([A], [A, USERINFO], (A,)),
        ([USERINFO], [A, B, USERINFO], (USERINFO,)),
        ([], [A, B, USERINFO], (USERINFO,)),  # RSC-03: none of the two is guessed
    ],
)
def test_a_token_of_a_grant_is_for_one_resource_and_our_own_endpoints(
    named: list[str], granted: list[str], audience: tuple[str, ...]
) -> None:
    assert narrow(named, granted, {USERINFO, API}) == audience


@pytest.mark.parametrize(
    ("named", "granted"), [([], [A, B]), ([A, B], [A, B]), ([B], [A]), ([USERINFO], [A]), ([A, A], [A])]
)
def test_one_of_several_has_to_be_named_and_no_other(named: list[str], granted: list[str]) -> None:  # RSC-03
    with pytest.raises(InvalidTarget):
        narrow(named, granted, {USERINFO, API})

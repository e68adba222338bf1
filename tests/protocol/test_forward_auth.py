"""What a gateway asks of a token, and what it is told of one (RFC 6750)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from authsvc.errors import InsufficientScope, InvalidRequest, InvalidToken
from authsvc.models import AccessToken, Generations
from authsvc.protocol.forward_auth import Requirement, build_headers, check_scope, find_bearer, parse_requirement

ORDERS = "https://orders.example"


def token(sub: str = "user", client_id: str = "cli", scope: tuple[str, ...] = ("read", "write")) -> AccessToken:
    return AccessToken(
        jti="j", sub=sub, client_id=client_id, kid="k", audience=(ORDERS,), scope=scope, issued_at=0, expires_at=60,
        generations=Generations(0, 0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        ((ORDERS, None, None), Requirement(ORDERS)),
        ((ORDERS, "", None), Requirement(ORDERS)),
        ((ORDERS, "read write", "204"), Requirement(ORDERS, ("read", "write"))),
        ((ORDERS, "read", "200"), Requirement(ORDERS, ("read",), 200)),
    ],
)
def test_a_gateway_says_what_it_wants(said: tuple[str | None, ...], understood: Requirement) -> None:
    assert parse_requirement(*said) == understood


@pytest.mark.parametrize(
    "said",
    [
        (None, "read", None),
        ("", None, None),
        ("orders", None, None),
        (f"{ORDERS} https://billing.example", None, None),
        (f"{ORDERS}#x", None, None),
        (ORDERS, "read  write", None),
        (ORDERS, 'a"b', None),
        (ORDERS, "ü", None),
        (ORDERS, None, ""),
        (ORDERS, None, "401"),
        (ORDERS, None, "200, 204"),
    ],
)
def test_what_cannot_be_understood_lets_nobody_through(said: tuple[str | None, ...]) -> None:
    with pytest.raises(InvalidRequest):
        parse_requirement(*said)


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], None),
        ([""], None),
        (["Basic eDp5"], None),
        (["DPoP abc"], None),
        (["Bearer abc"], "abc"),
        (["bearer abc"], "abc"),
        (["BEARER   abc  "], "abc"),
        (["Bearer"], ""),
        (["Bearer "], ""),
        (["Bearer abc", "Bearer abc"], ""),
        (["Bearer abc", "Basic eDp5"], ""),
        (["Bearer", "Bearer abc"], ""),
    ],
)
def test_a_token_is_that_of_the_one_header(headers: list[str], found: str | None) -> None:
    assert find_bearer(headers) == found


@pytest.mark.parametrize(
    ("has", "needs", "is_enough"),
    [
        (("read", "write"), (), True),
        ((), (), True),
        (("read", "write"), ("write",), True),
        (("read", "write"), ("write", "read"), True),
        (("read",), ("read", "write"), False),
        (("read",), ("READ",), False),
        (("reader",), ("read",), False),
        ((), ("read",), False),
    ],
)
def test_every_scope_that_is_wanted_has_to_be_there(
    has: tuple[str, ...], needs: tuple[str, ...], is_enough: bool
) -> None:
    if is_enough:
        check_scope(token(scope=has), Requirement(ORDERS, needs))
        return
    with pytest.raises(InsufficientScope) as told:
        check_scope(token(scope=has), Requirement(ORDERS, needs))
    assert told.value.scope == " ".join(needs)


def test_whoever_is_behind_the_gateway_is_told_who_came_through_it() -> None:
    assert dict(build_headers(token())) == {
        b"auth-subject": b"user",
        b"auth-client": b"cli",
        b"auth-scope": b"read write",
    }
    assert dict(build_headers(token(scope=())))[b"auth-scope"] == b""


def test_whoever_is_behind_it_knows_the_user_as_the_client_does() -> None:  # IDT-10, ATK-66
    assert dict(build_headers(replace(token(), pairwise_sub="p_1")))[b"auth-subject"] == b"p_1"
    assert dict(build_headers(replace(token("\n"), pairwise_sub="p_1")))[b"auth-subject"] == b"p_1"
    with pytest.raises(InvalidToken):
        build_headers(replace(token(), pairwise_sub="p_1, admin"))


@given(sub=st.text(max_size=20), client_id=st.text(max_size=20))
def test_no_claim_says_more_than_the_value_of_its_header(sub: str, client_id: str) -> None:  # ATK-66
    """Not another header, no other value after a blank or a comma is trimmed: the very text, or nothing at all."""
    try:
        headers = build_headers(token(sub, client_id))
    except InvalidToken:
        assert not all(text and all("!" <= letter <= "~" for letter in text) for text in (sub, client_id))
        return
    assert [value.decode() for _, value in headers] == [sub, client_id, "read write"]
    for _, value in headers:
        assert value.strip() == value
        assert not set(value) & set(b"\r\n\0\t")

"""Scopes: their letters, and who gets which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidScope
from authsvc.protocol.scopes import MAX_SCOPE_LENGTH, format_scope, granted_scope, parse_scope

# RFC 6749 §3.3: NQCHAR
SCOPE_LETTERS = [chr(code) for code in (0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F))]


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("read", ("read",)),
        ("read write", ("read", "write")),
        ("write read", ("write", "read")),
        ("read write read", ("read", "write")),
        ("Read read", ("Read", "read")),  # case-sensitive
        ("https://api.example/read:all", ("https://api.example/read:all",)),
        ("".join(SCOPE_LETTERS), ("".join(SCOPE_LETTERS),)),
        ("x" * MAX_SCOPE_LENGTH, ("x" * MAX_SCOPE_LENGTH,)),
    ],
)
def test_a_scope_is_split_at_blanks_and_each_is_named_once(text: str, scope: tuple[str, ...]) -> None:
    """SCO-01."""
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a  b",
        " a",
        "a ",
        'a"b',
        "a\\b",
        "a\tb",
        "a\nb",
        "a\n",
        "a\0b",
        "ü",
        "a\u00a0b",
        "a\x7f",
        "\ud800",
        "x" * (MAX_SCOPE_LENGTH + 1),
        " ".join(map(str, range(10_000))),  # ATK-100
        "a " * 50_000 + '"',  # ATK-100
    ],
)
def test_a_malformed_scope_is_refused(text: str) -> None:
    """SCO-01."""
    with pytest.raises(InvalidScope, match="malformed"):
        parse_scope(text)


@pytest.mark.parametrize(
    ("requested", "allowed", "granted"),
    [
        (None, ("a", "b"), ("a", "b")),
        (None, (), ()),
        (("b",), ("a", "b"), ("b",)),
        (("b", "a"), ("a", "b"), ("b", "a")),
    ],
)
def test_everything_allowed_is_granted_unless_less_is_requested(
    requested: tuple[str, ...] | None, allowed: tuple[str, ...], granted: tuple[str, ...]
) -> None:
    """SCO-02."""
    assert granted_scope(requested, allowed) == granted


@pytest.mark.parametrize(
    ("requested", "allowed"), [(("c",), ("a", "b")), (("a", "c"), ("a",)), (("A",), ("a",)), (("a",), ())]
)
def test_more_than_allowed_is_refused(requested: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    with pytest.raises(InvalidScope, match="wider"):
        granted_scope(requested, allowed)


@given(st.lists(st.text(st.sampled_from(SCOPE_LETTERS), min_size=1), min_size=1, max_size=9, unique=True))
def test_a_scope_comes_back_from_its_text(scope: list[str]) -> None:
    assert parse_scope(format_scope(scope)) == tuple(scope)


def test_no_scope_is_an_empty_text() -> None:
    assert format_scope(()) == ""

"""What a form of ours carries: good for one thing, in one browser (CSR-01)."""

from dataclasses import replace

import pytest

from authsvc.protocol.own_forms import Purpose, build_form_token, is_form_token

KEY, OTHER = bytes(32), bytes(31) + b"\x01"
PURPOSE = Purpose("/login", sealed="s", sid="sid")
OWN = build_form_token(KEY, PURPOSE, "b")


@pytest.mark.parametrize("changed", ["path", "sealed", "sid"])
def test_a_token_is_for_one_thing_alone(changed: str) -> None:
    assert is_form_token(OWN, build_form_token(KEY, PURPOSE, "b"))
    assert not is_form_token(OWN, build_form_token(KEY, replace(PURPOSE, **{changed: "x"}), "b"))


def test_a_token_is_for_one_browser_and_of_one_deployment() -> None:
    assert not is_form_token(OWN, build_form_token(KEY, PURPOSE, "c"))
    assert not is_form_token(OWN, build_form_token(OTHER, PURPOSE, "b"))


@pytest.mark.parametrize("text", ["", "x", "ü", "\x00"])
def test_a_token_that_is_none_is_refused(text: str) -> None:
    assert not is_form_token(text, OWN)


def test_a_part_does_not_run_into_the_next() -> None:
    one = build_form_token(KEY, Purpose("/login", sealed="c", sid="d"), "ab")
    assert one != build_form_token(KEY, Purpose("/login", sealed="c", sid="bd"), "a")

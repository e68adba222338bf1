"""Requests that wait: nobody else can make one, and each comes back as it went, for a while (AUZ-17)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import ExpiredRequest, NoRecipient
from authsvc.protocol.forms import Form
from authsvc.protocol.sealed_request import (
    LIFE,
    MAX_LENGTH,
    PARAMETERS,
    WaitingRequest,
    open_sealed,
    seal,
)
from tests.protocol.asking import NOW, a_form, parsed

KEY, OTHER = bytes(32), bytes(31) + b"\x01"
MICROSECOND = timedelta(microseconds=1)


def sealed(form: Form | None = None) -> str:
    return seal(KEY, WaitingRequest(form or a_form(), NOW))


def test_it_comes_back_as_it_went() -> None:
    form = a_form(state='"<ü', resource=["https://a.example", "https://b.example"], unknown="x", prompt="")
    again = open_sealed(KEY, sealed(form), NOW)
    assert again.born_at == NOW
    assert again.form.pick(PARAMETERS) == form.pick(PARAMETERS)
    assert again.form.many("resource") == ["https://a.example", "https://b.example"]
    assert again.form.one("unknown") is None, "nobody reads it"


def test_it_means_the_same() -> None:
    form = a_form(scope="openid email", prompt="login", max_age="5", claims='{"userinfo": {"name": null}}')
    assert parsed(open_sealed(KEY, sealed(form), NOW).form) == parsed(form)


def test_what_was_repeated_is_so_still() -> None:
    again = open_sealed(KEY, sealed(a_form(nonce=["a", "b"])), NOW)
    assert again.form.is_repeated("nonce")


def test_the_moment_of_birth_is_kept_to_the_microsecond() -> None:
    born = NOW + 123_457 * MICROSECOND
    assert open_sealed(KEY, seal(KEY, WaitingRequest(a_form(), born)), NOW).born_at == born


@pytest.mark.parametrize(("waited", "is_over"), [(LIFE - MICROSECOND, False), (LIFE, True), (2 * LIFE, True)])
def test_it_waits_for_ten_minutes(waited: timedelta, is_over: bool) -> None:
    if not is_over:
        open_sealed(KEY, sealed(), NOW + waited)
        return
    with pytest.raises(ExpiredRequest):
        open_sealed(KEY, sealed(), NOW + waited)


def test_of_another_deployment_it_is_none() -> None:
    with pytest.raises(NoRecipient):
        open_sealed(OTHER, sealed(), NOW)


@given(st.data())
def test_no_byte_of_it_can_be_changed(data: st.DataObject) -> None:
    raw = bytearray(urlsafe_b64decode(sealed() + "=="))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(NoRecipient):
        open_sealed(KEY, urlsafe_b64encode(raw).decode(), NOW)


@given(st.text())
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with pytest.raises(NoRecipient):
        open_sealed(KEY, text, NOW)


def test_a_long_request_travels_and_one_that_no_url_can_hold_is_refused() -> None:
    form = a_form(state="s" * 1024, nonce="n" * 1024, claims="c" * 2048, id_token_hint="h" * 2048, scope="x" * 1500)
    assert len(sealed(form)) < MAX_LENGTH
    open_sealed(KEY, sealed(form), NOW)
    with pytest.raises(NoRecipient):
        sealed(a_form(login_hint="x" * MAX_LENGTH))

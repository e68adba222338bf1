"""Which language somebody is answered in (RFC 4647 §3.4; OpenID Connect Core §3.1.2.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.languages import MAX_LENGTH, choose_language

OFFERED = ("en", "de", "pt-BR", "zh-Hant")


@pytest.mark.parametrize(
    ("accept_language", "chosen"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("de-AT-1996", "de"),
        ("de_AT", "de"),
        ("fr, de", "de"),
        ("en;q=0.5, de;q=0.9", "de"),
        ("de;q=0.5, en", "en"),
        ("de , en", "de"),
        ("en; q=0.1 ,de;q = 0.2", "de"),
        ("de;q=0, fr", "en"),
        ("fr;q=1.000, de;q=0.001", "de"),
        ("*", "en"),
        ("*, de;q=0.5", "de"),
        ("pt-br", "pt-BR"),
        ("pt", "en"),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-Hant-x-own", "zh-Hant"),
        ("zh", "en"),
        ("de;q=2", "en"),
        ("de;q=0.1234", "en"),
        ("de;level=1", "en"),
        ("d\u00e9", "en"),
        ("\u0664", "en"),
        ("de" + "," * 5000, "de"),
        ("x" * MAX_LENGTH + ",de", "en"),
    ],
)
def test_the_browser_is_asked_by_weight(accept_language: str | None, chosen: str) -> None:
    assert choose_language(None, accept_language, OFFERED) == chosen


@pytest.mark.parametrize(
    ("ui_locales", "chosen"),
    [("de", "de"), ("fr de-CH en", "de"), ("se", "de"), ("", "de"), ("en de", "en"), ("  EN-gb  ", "en"), ("*", "de"),
     ("en;q=0.1", "de"), ("en,de", "de"), ("<script>", "de")],
)  # fmt: skip
def test_what_the_client_asks_for_goes_before_the_browser(ui_locales: str, chosen: str) -> None:
    assert choose_language(ui_locales, "de, en;q=0.1", OFFERED) == chosen


@given(st.none() | st.text(), st.none() | st.text(alphabet="de-,;q=0.19* "), st.permutations(OFFERED))
def test_it_is_always_one_that_is_offered(
    ui_locales: str | None, accept_language: str | None, offered: list[str]
) -> None:
    assert choose_language(ui_locales, accept_language, offered) in offered


@given(st.sampled_from(OFFERED), st.sampled_from(["", "-AT", "-x-y", "-1996"]))
def test_a_wish_that_can_be_met_is_met(language: str, more: str) -> None:
    assert choose_language(language + more, None, OFFERED) == language
    assert choose_language(None, f"fr, {language}{more};q=0.3", OFFERED) == language

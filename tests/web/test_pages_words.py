"""What the pages say: every word in every language, and in which of them somebody is answered."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files

import pytest
from markupsafe import Markup

from authsvc.web.pages import catalogue
from authsvc.web.pages.catalogue import (
    DEFAULT,
    SCOPES,
    Words,
    build_catalogue,
    find_faults,
    own_texts,
    parse_texts,
    placeholders,
)
from authsvc.web.pages.renderer import Pages, Wishes
from tests.pages.site import BRAND
from tests.pages.states import STATES

LANGUAGES = sorted(own_texts())
OTHERS = [language for language in LANGUAGES if language != DEFAULT]
ENGLISH = build_catalogue(own_texts(), {})["en"]


def test_there_are_english_and_german() -> None:
    assert LANGUAGES == ["de", "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_all_that_is_said_in_english(language: str) -> None:
    assert own_texts()[language].keys() == own_texts()[DEFAULT].keys()


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("key", sorted(own_texts()[DEFAULT]))
def test_what_is_put_in_is_the_same_in_every_language(language: str, key: str) -> None:
    texts = own_texts()
    assert placeholders(texts[language][key]) == placeholders(texts[DEFAULT][key])
    assert texts[language][key].strip() == texts[language][key] != ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_our_own_words_have_no_fault(language: str) -> None:
    assert find_faults(own_texts()[language]) == []


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    keys: set[str] = set()

    class Listening(Words):
        def __call__(self, key: str, **values: object) -> Markup:
            keys.add(key)
            assert set(values) >= placeholders(own_texts()[DEFAULT][key]), key
            return super().__call__(key, **values)

        def scope(self, scope: str) -> Markup:
            keys.add(SCOPES + scope)
            return super().scope(scope)

    monkeypatch.setattr(catalogue, "Words", Listening)
    yield keys


def test_every_word_is_said_somewhere_and_every_page_has_its_words(used: set[str]) -> None:
    pages = Pages(BRAND)
    for state in STATES.values():
        pages.draw(state.page, Wishes("de"))
    known = own_texts()[DEFAULT].keys() - {"page.months"}
    # What no state happens to show, and a template names all the same.
    text = "".join(file.read_text() for file in files("authsvc.web.pages").joinpath("templates").iterdir())
    named = set(re.findall(r"""t\(["']([a-z_.]+[a-z_])["']""", text)) | {"page.wait_minute", "page.wait_minutes"}
    assert named <= known
    assert known == {key for key in used if key in known} | named


# --- Saying it


def test_what_is_put_in_is_escaped_and_markup_is_kept() -> None:
    assert ENGLISH("login.to_client", client="<b>") == "to continue to &lt;b&gt;"
    assert ENGLISH("login.to_client", client=Markup("<b>x</b>")) == "to continue to <b>x</b>"
    assert ENGLISH("login.to_client", client="{client}") == "to continue to {client}"


def test_the_words_themselves_are_escaped() -> None:
    words = build_catalogue(own_texts(), {"en": {"login.title": "<i>Hi</i>", "scopes.x": "<i>{x}</i>"}})["en"]
    assert words("login.title") == "&lt;i&gt;Hi&lt;/i&gt;"
    assert words.scope("x") == "&lt;i&gt;{x}&lt;/i&gt;"


def test_a_scope_is_said_in_words_and_an_unknown_one_by_its_name() -> None:
    assert ENGLISH.scope("email") == "See your e-mail address"
    assert ENGLISH.scope("orders:<read>") == "Use the permission “orders:&lt;read&gt;”"
    assert ENGLISH.scope("other") == "Use the permission “other”"


@pytest.mark.parametrize(
    ("language", "time", "date"),
    [("en", "1 March 2026, 07:05 UTC", "1 March 2026"), ("de", "1. März 2026, 07:05 UTC", "1. März 2026")],
)
def test_a_moment_is_told_in_utc_and_in_a_form_that_a_script_can_read(language: str, time: str, date: str) -> None:
    words = build_catalogue(own_texts(), {})[language]
    moment = datetime(2026, 3, 1, 7, 5, 59, tzinfo=UTC)
    assert words.time(moment) == f'<time datetime="2026-03-01T07:05:59Z">{time}</time>'
    assert words.date(moment) == f'<time datetime="2026-03-01">{date}</time>'


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1, "Wait a moment"), (29, "Wait a moment"), (30, "about a minute"), (60, "about a minute"),
     (61, "about 2 minutes"), (900, "about 15 minutes")],
)  # fmt: skip
def test_how_long_to_wait_is_never_told_too_short(seconds: int, told: str) -> None:
    assert told in ENGLISH.wait(seconds)


# --- Which language


@pytest.mark.parametrize(
    ("wishes", "language"),
    [
        (Wishes(), "en"),
        (Wishes(None, "de-DE,de;q=0.9,en;q=0.8"), "de"),
        (Wishes("en", "de"), "en"),
        (Wishes("se", "de"), "de"),
        (Wishes("fr", "ja"), "en"),
    ],
)
def test_the_client_is_asked_first_then_the_browser(wishes: Wishes, language: str) -> None:
    answer = Pages(BRAND).draw(STATES["login"].page, wishes)
    assert f'<html lang="{language}"'.encode() in answer.body
    assert (b"content-language", language.encode()) in answer.headers


# --- An operator's words


def test_operators_words_go_before_ours_and_what_they_lack_is_ours() -> None:
    said = build_catalogue(own_texts(), {"de": {"login.title": "Servus"}, "fr": {"login.title": "Bonjour"}})
    assert list(said) == ["en", "de", "fr"]
    assert said["de"]("login.title") == "Servus"
    assert said["de"]("login.password") == "Passwort"
    assert said["fr"]("login.title") == "Bonjour"
    assert said["fr"]("login.password") == "Password"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('[login]\ntitle = "Hi"', []),
        ('[scopes]\n"orders:read" = "See your {orders}"', []),
        ('[login]\ntitel = "Hi"', ["there is no login.titel"]),
        ('[login]\nto_client = "to {name}"', ["login.to_client has no {name}"]),
        ('[login]\nto_client = "to {client.name}"', ["login.to_client has no {client.name}"]),
        ('[login]\nto_client = "to {}"', ["login.to_client has no {}"]),
        ('[login]\nto_client = "to {client"', ["the braces of login.to_client do not match"]),
        ('[page]\nmonths = "one two"', ["page.months must be twelve words"]),
    ],
)
def test_a_fault_in_them_is_found_before_anybody_reads_it(text: str, faults: list[str]) -> None:
    assert find_faults(parse_texts(text)) == faults


@pytest.mark.parametrize("text", ["[login", "[login]\ntitle = 1", "title = []", "[login]\ntitle = 'a'\ntitle = 'b'"])
def test_what_are_no_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_texts(text)

"""What a page is made of: its text, its form, its headers (spec: HDR-02..04, AUZ-08, AUZ-09, AUZ-16, oidf)."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.web.pages.content_policy import build_policy
from authsvc.web.pages.renderer import SENDS_ITSELF, Pages, Wishes
from authsvc.web.pages.views import EVERY_PAGE, FormPostPage, LoginPage, Page
from authsvc.web.responses import Answer
from tests.pages.site import BRAND, LANGUAGES
from tests.pages.states import CALLBACK, STATES
from tests.web.markup import Element, find, parse

EVERY_STATE = pytest.mark.parametrize("name", STATES)


@lru_cache
def pages() -> Pages:
    return Pages(BRAND)


def draw(page: Page, language: str = "en", status: int = 200) -> Answer:
    return pages().draw(page, Wishes(language), status)


def headers_of(answer: Answer) -> dict[str, str]:
    told = [*answer.headers, *answer.prepared.headers]
    assert len(told) == len({name for name, _ in told})
    return {name.decode(): value.decode() for name, value in told}


def policy_of(page: Page) -> dict[str, list[str]]:
    parts = headers_of(draw(page))["content-security-policy"].split("; ")
    return {name: values for name, *values in (part.split(" ") for part in parts)}


def test_every_page_has_a_state_to_be_looked_at() -> None:
    assert {type(state.page) for state in STATES.values()} == set(EVERY_PAGE)


# --- Every page


@EVERY_STATE
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_says_what_it_is(name: str, language: str) -> None:
    state = STATES[name]
    answer = draw(state.page, language, state.status)
    assert answer.status == state.status
    elements = parse(answer.body)
    (html,) = [each for each in elements if each.name == "html"]
    assert html.attributes["lang"] == language
    (title,) = [each for each in elements if each.name == "title"]
    (heading,) = [each for each in elements if each.name == "h1"]
    assert heading.text
    assert title.text.endswith(f" – {BRAND.name}")
    assert [each.name for each in elements].count("main") == 1
    ids = [each.attributes["id"] for each in elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for element in elements:
        for attribute in ("aria-describedby", "aria-labelledby", "for"):
            assert set((element.attributes.get(attribute) or "").split()) <= set(ids)
    assert sum("autofocus" in each.attributes for each in elements) <= 1


@EVERY_STATE
def test_a_page_is_guarded(name: str) -> None:  # HDR-02, HDR-03, HDR-04, AUZ-08, ATK-69
    state = STATES[name]
    headers = headers_of(draw(state.page, "de", state.status))
    policy = policy_of(state.page)
    assert {
        key: value for key, value in headers.items() if key not in ("content-security-policy", "clear-site-data")
    } == {
        "content-type": "text/html; charset=utf-8",
        "content-language": "de",
        "cache-control": "no-store",
        "pragma": "no-cache",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
    assert ("clear-site-data" in headers) == name.startswith("logged-out")
    for directive in ("default-src", "base-uri", "object-src", "frame-ancestors"):
        assert policy[directive] == ["'none'"]
    assert policy["style-src"] == ["'self'"]
    assert policy["img-src"][:2] == ["'self'", "data:"]
    assert policy["form-action"][0] == "'self'"
    assert len(policy["script-src"]) == 1
    assert "unsafe" not in headers["content-security-policy"]


@EVERY_STATE
def test_nothing_in_a_page_comes_from_elsewhere_or_runs(name: str) -> None:  # AUZ-09, HDR-02
    page = STATES[name].page
    for element in parse(draw(page).body):
        assert "style" not in element.attributes
        assert not any(attribute.startswith("on") for attribute in element.attributes)
        assert element.name not in ("style", "iframe", "object", "embed", "base")
        for attribute in ("src", "action", "formaction"):
            address = element.attributes.get(attribute) or "/"
            if address.startswith("https:"):
                assert name == "login-foreign-logo"
            else:
                assert address.startswith(("/", "data:image/"))
                assert not address.startswith("//")
        if element.name == "link":
            assert (element.attributes["href"] or "").startswith("/static/")
        if element.name == "script":
            assert ("src" in element.attributes) != (element.text == SENDS_ITSELF)
        if element.name == "a":
            assert (element.attributes["href"] or "").startswith(("/account", "https://"))


@EVERY_STATE
def test_every_field_has_a_label_and_every_form_is_posted_with_what_it_carries(name: str) -> None:
    page = STATES[name].page
    body = draw(page).body
    labelled = {each.attributes.get("for") for each in find(body, "label")}
    for field in find(body, "input"):
        if field.attributes.get("type") in ("text", "password") and "hidden" not in field.attributes:
            assert field.attributes["id"] in labelled
            assert field.attributes["autocomplete"] in ("username", "current-password", "new-password")
            assert "maxlength" not in field.attributes  # what is pasted is never cut off
    for each in find(body, "form"):
        assert each.attributes["method"] == "post"
    hidden = {(each.attributes["name"], each.attributes["value"]) for each in find(body, "input", type="hidden")}
    if (form := getattr(page, "form", None)) and not name.endswith("-none"):  # where there is anything to be sent
        assert set(form.hidden) <= hidden
        assert find(body, "form", action=form.action)


# --- What a stranger may have written


def _spoil(value: Any, spoilt: str) -> Any:
    """The same view, with that behind every text that is in it."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value + spoilt if value else value
    if isinstance(value, tuple):
        return tuple(_spoil(each, spoilt) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _spoil(getattr(value, each.name), spoilt) for each in fields(value)})
    return value


def _skeleton(elements: list[Element]) -> list[tuple[str, frozenset[str]]]:
    return [(each.name, frozenset(each.attributes)) for each in elements]


MARKUP = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' autofocus onfocus='alert(1)", "{{ 7*7 }}",
          "{client}", "{0}", "&lt;b&gt;", "</title></textarea></style>", "<!--", "\x00", "\u202e", "]]>")  # fmt: skip


@EVERY_STATE
def test_no_text_in_a_view_becomes_markup(name: str) -> None:
    page = STATES[name].page
    innocent = _skeleton(parse(draw(page).body))
    for markup in MARKUP:
        answer = draw(_spoil(page, markup))
        assert _skeleton(parse(answer.body)) == innocent, markup
        assert b"<script>alert" not in answer.body


@given(st.sampled_from(list(STATES)), st.text(alphabet="<>&\"'`=/ {}%#;:\n\r\t\x00-a1!\u2028\u202e\ufffd", max_size=12))
def test_no_letters_do(name: str, letters: str) -> None:
    page = STATES[name].page
    answer = draw(_spoil(page, letters))
    assert _skeleton(parse(answer.body)) == _skeleton(parse(draw(page).body))
    for value in headers_of(answer).values():
        assert value.isascii()
        assert value.isprintable()


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "JaVaScRiPt:x", "//evil.example", " https:x"]
)
def test_an_address_that_leads_nowhere_good_is_no_link_and_no_picture(address: str) -> None:
    page = STATES["login"].page
    assert page.client is not None
    client = replace(page.client, policy=address, terms=address, homepage=address, logo=address)
    for each in (page, STATES["error-request"].page, STATES["logged-out-client"].page):
        body = draw(replace(each, client=client)).body
        assert address.encode() not in body
        assert not find(body, "a")


def test_what_was_entered_is_there_again_but_for_the_password() -> None:
    body = draw(STATES["login-wrong"].page).body
    assert find(body, "input", id="username")[0].attributes["value"] == "ada.lovelace@example.com"
    for field in find(body, "input", type="password") + find(
        draw(STATES["password-short"].page).body, "input", type="password"
    ):
        assert "value" not in field.attributes


# --- What the forms send, by names that others rely on (oidf)


@pytest.mark.parametrize(
    ("name", "buttons"),
    [
        ("login", {"login-submit": {}}),
        ("login-no-logo", {"login-submit": {}, "login-cancel": {"name": "answer", "value": "cancel"}}),
        (
            "consent",
            {
                "consent-allow": {"name": "answer", "value": "allow"},
                "consent-deny": {"name": "answer", "value": "deny"},
                "consent-switch": {"name": "answer", "value": "switch"},
            },
        ),
        ("form-post", {"form-post-continue": {}}),
        (
            "logout",
            {
                "logout-confirm": {"name": "answer", "value": "logout"},
                "logout-stay": {"name": "answer", "value": "stay"},
            },
        ),
        ("password", {"account-logout": {}, "password-submit": {}}),
    ],
)
def test_the_buttons_have_the_names_that_others_rely_on(name: str, buttons: Mapping[str, Mapping[str, str]]) -> None:
    found = {
        str(each.attributes["id"]): {key: each.attributes[key] for key in ("name", "value") if key in each.attributes}
        for each in find(draw(STATES[name].page).body, "button", type="submit")
    }
    assert found == buttons
    # Enter presses the first one.
    assert next(iter(found)) == next(iter(buttons))


def test_the_fields_have_the_names_that_others_rely_on() -> None:
    login, password = draw(STATES["login"].page).body, draw(STATES["password"].page).body
    assert [each.attributes["id"] for each in find(login, "input", name="username")] == ["username"]
    assert [each.attributes["id"] for each in find(login, "input", name="password")] == ["password"]
    assert len(find(password, "input", name="current_password", autocomplete="current-password")) == 1
    assert len(find(password, "input", name="new_password", autocomplete="new-password")) == 1
    assert find(draw(STATES["sessions"].page).body, "button", name="session", value="s2")
    assert not find(draw(STATES["sessions"].page).body, "button", name="session", value="s1")  # this one: log out
    assert find(draw(STATES["connections"].page).body, "button", name="client_id", value="c1")


@pytest.mark.parametrize(
    ("name", "focus"),
    [
        ("login", "username"), ("login-known", "password"), ("login-wrong", "password"), ("login-empty", "username"),
        ("login-locked", "problem"), ("login-busy", "problem"), ("login-expired", "password"),
        ("consent-expired", "problem"), ("password-wrong", "current-password"), ("password-short", "new-password"),
        ("password-guessable", "new-password"), ("password-locked", "problem"), ("password-expired", "problem"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_read_out_with_what_has_the_focus(name: str, focus: str) -> None:
    """Without a script: by `autofocus`, and because the field is described by the message."""
    body = draw(STATES[name].page).body
    (focused,) = [each for each in parse(body) if "autofocus" in each.attributes]
    assert focused.attributes["id"] == focus
    if find(body, "div", id="problem") and focus != "problem":
        assert "problem" in (focused.attributes["aria-describedby"] or "").split()
        assert find(body, "div", id="problem")[0].attributes["role"] == "alert"
        assert find(body, "title")[0].text.startswith("Error: ")


def test_a_form_post_page_sends_itself_where_it_should_and_works_without(name: str = "form-post") -> None:
    page = STATES[name].page
    assert isinstance(page, FormPostPage)
    page = replace(page, form=replace(page.form, action=CALLBACK))
    body = draw(page).body
    assert find(body, "form", action=CALLBACK)
    fields = {each.attributes["name"]: each.attributes["value"] for each in find(body, "input", type="hidden")}
    assert fields == dict(page.form.hidden)
    assert [each.text for each in find(body, "script")] == [SENDS_ITSELF]
    assert find(body, "button", type="submit")
    assert not any(each.attributes.get("name") == "submit" for each in parse(body))  # it would hide the method
    policy = policy_of(page)
    assert policy["form-action"] == ["'self'", "https:"]
    assert policy["script-src"] == ["'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='"]


# --- Where forms may lead (AUZ-16)


@pytest.mark.parametrize(
    ("address", "schemes"),
    [
        ("https://shop.example/callback?x=1", ["https:"]),
        ("HTTPS://shop.example", ["https:"]),
        ("http://127.0.0.1:51004/", ["http:", "https:"]),
        ("http://[::1]:51004/", ["http:", "https:"]),
        ("com.example.app:/callback", ["com.example.app:"]),
        ("javascript:alert(1)", []),
        ("JavaScript:alert(1)", []),
        ("data:text/html,x", []),
        ("x;script-src *:y", []),
        ("x\r\nset-cookie: x", []),
        ("*:x", []),
        ("/callback", []),
        ("", []),
        ("\u00fc:z", []),
    ],
)
def test_forms_may_lead_to_where_they_end(address: str, schemes: list[str]) -> None:
    """And on from there: from its redirect URI a client sends people to whichever site it likes."""
    page = STATES["login"].page
    assert policy_of(replace(page, returns_to=address))["form-action"] == ["'self'", *schemes]
    assert policy_of(STATES["account"].page)["form-action"] == ["'self'"]


def test_a_picture_may_come_from_where_it_is_and_nowhere_else() -> None:
    page = STATES["login-foreign-logo"].page
    assert policy_of(page)["img-src"] == ["'self'", "data:", "https://cdn.shop.example"]
    assert isinstance(page, LoginPage)
    assert page.client is not None
    for logo in ("http://shop.example/logo.png", "https://*/x", "https://*.example", "https://a;script-src *",
                 "https://a b", "https://a,b", "https://a\r\nx: y", "https://a:99999", "https://[", "https://[::1]/x",
                 "https://", "javascript:x", ""):  # fmt: skip
        client = replace(page.client, logo=logo)
        assert policy_of(replace(page, client=client))["img-src"] == ["'self'", "data:"]


@given(st.text(), st.none() | st.text())
def test_no_address_gets_a_directive_into_the_policy(address: str, logo: str | None) -> None:
    policy = build_policy(forms=(address, f"{address}:x"), logo=logo and f"https://{logo}").decode("ascii")
    assert [part.split(" ")[0] for part in policy.split("; ")] == [
        "default-src", "script-src", "style-src", "img-src", "form-action", "base-uri", "object-src", "frame-ancestors",
    ]  # fmt: skip
    assert policy.isprintable()
    assert "," not in policy
    assert policy.count(";") == 7

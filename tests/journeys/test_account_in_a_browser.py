"""A person looks after their account in a real browser: what is ended there is dead, and every page can be read."""

from pathlib import Path
from urllib.parse import urlencode

import httpx2

from tests.browser import Browser, Tab
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.judging import ALL_RULES, AXE, FAULTS, SIDEWAYS, SMALL
from tests.journeys.service import Service, serving
from tests.journeys.test_code_flow_in_a_browser import CHALLENGE, fill_in, listening

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
NEW = "another good password"
SCOPE = "openid email offline_access"


def check_page(tab: Tab) -> None:
    """On a phone, then at a desk."""
    tab.run(AXE)
    for width in (320, 1280):
        tab.look(width)
        assert tab.js(FAULTS % ALL_RULES) == []
        assert tab.js(SIDEWAYS) == 0
        assert tab.js(SMALL) == []
    assert tab.complaints() == []


def press(tab: Tab, button: str) -> None:
    tab.js(f"document.getElementById('{button}').click()")
    tab.wait_for_load()


def headings(tab: Tab) -> list[str]:
    found = tab.js("[...document.querySelectorAll('h2')].map(each => each.textContent.replace(/\\s+/g, ' ').trim())")
    return [str(each) for each in found]


def notice(tab: Tab) -> str:
    return str(tab.js("document.querySelector('[role=status]').textContent.trim()"))


def log_in_elsewhere(service: Service) -> str:
    answer = fetch.post(f"{service.base}/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    return str(answer.json()["access_token"])


def is_let_in(service: Service, token: str) -> bool:
    answer = fetch.get(f"{service.base}/api/v1/me", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def redeem(service: Service, client_id: str, callback: str, code: str) -> httpx2.Response:
    form = {
        "grant_type": "authorization_code", "client_id": client_id, "code": code, "code_verifier": VERIFIER,
        "redirect_uri": callback,
    }  # fmt: skip
    return fetch.post(f"{service.base}/oauth2/token", data=form)


def test_a_person_looks_after_their_account(database_url: str, browser: Browser, tmp_path: Path) -> None:
    with (
        serving(database_url, tmp_path / "log", "--migrate") as service,
        listening() as (callback, told),
        browser.open_tab() as tab,
    ):
        service.cli("user", "create", "--email", "ada@example.com", "--password-stdin", stdin=PASSWORD)
        gateway = service.client("--introspect", "any")
        made = service.cli("client", "create", "--name", "Corner Shop", "--public", "--application-type", "native",
                           "--grant", "authorization_code", "--grant", "refresh_token", "--redirect-uri",
                           "http://127.0.0.1/cb", "--scope", SCOPE)  # fmt: skip
        asked = {
            "client_id": made["client_id"], "redirect_uri": callback, "response_type": "code", "scope": SCOPE,
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip

        # They come to where they wanted, by way of the login.
        elsewhere, more = log_in_elsewhere(service), log_in_elsewhere(service)
        tab.open(f"{service.base}/account/sessions")
        fill_in(tab, PASSWORD)
        assert tab.js("location.pathname") == "/account/sessions"
        assert headings(tab) == ["Chrome, Linux This one", "Unknown device", "Unknown device"]
        check_page(tab)
        press(tab, "end-2")
        assert notice(tab) == "That session has ended."
        assert sorted([is_let_in(service, elsewhere), is_let_in(service, more)]) == [False, True]
        tab.js("document.querySelector('[name=others]').click()")
        tab.wait_for_load()
        assert headings(tab) == ["Chrome, Linux This one"]
        assert not is_let_in(service, elsewhere) and not is_let_in(service, more)
        check_page(tab)

        # An app is allowed something, and then it is not.
        tab.open(f"{service.base}/oauth2/authorize?{urlencode(asked)}")
        check_page(tab)
        press(tab, "consent-allow")
        tokens = redeem(service, made["client_id"], callback, told[-1]["code"][0]).json()
        assert service.introspect(gateway, tokens["access_token"]).json()["active"]
        tab.open(f"{service.base}/account/connections")
        assert headings(tab) == ["Corner Shop"]
        check_page(tab)
        press(tab, "end-1")
        assert notice(tab) == "The access has ended."
        assert service.introspect(gateway, tokens["access_token"]).json() == {"active": False}
        form = {
            "grant_type": "refresh_token", "client_id": made["client_id"], "refresh_token": tokens["refresh_token"],
        }  # fmt: skip
        assert fetch.post(f"{service.base}/oauth2/token", data=form).json()["error"] == "invalid_grant"
        check_page(tab)

        # A new password, at the second try.
        tab.open(f"{service.base}/account/password")
        check_page(tab)
        for current in ("not the password", PASSWORD):
            tab.js("document.getElementById('current-password').focus()")
            tab.type(current)
            tab.js("document.getElementById('new-password').focus()")
            tab.type(NEW)
            press(tab, "password-submit")
            tab.complaints()  # of a status that is no success
        assert tab.js("location.pathname") == "/account"
        assert notice(tab).startswith("Your password has been changed")
        check_page(tab)
        tab.js("location.reload()")
        tab.wait_for_load()
        assert tab.js("location.pathname") == "/account", "with its new cookie it is in as before"

        # Out, and going back does not lead in again.
        press(tab, "account-logout")
        assert tab.js("document.querySelector('h1').textContent") == "You are logged out"
        check_page(tab)
        tab.js("history.back()")
        tab.wait_for_load()
        fill_in(tab, NEW)
        assert tab.js("location.pathname") == "/account"
        assert tab.js("document.cookie") == ""

"""A login in a real browser: what it sends along by itself is what our forms rely on, and the policy of the pages lets
people go back to the client (AUZ-16, SES-02, CSR-01). And what people do: press twice, go back, open a second tab, say
no. Whatever they meet is in plain words, and there is a way on."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from authsvc.embedded import Stores
from authsvc.protocol import sealed_request
from authsvc.protocol.forms import Form
from authsvc.protocol.sealed_request import LIFE, WaitingRequest
from authsvc.settings import load
from tests.browser import Browser, Tab
from tests.house_of import PASSWORD, FakeClock, flows_on
from tests.journeys.judging import find_faults_at_both_widths
from tests.journeys.service import Service, serving
from tests.stores import fresh_database

ADA, BOB = "ada@example.com", "bob@example.com"

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


class Callback(BaseHTTPRequestHandler):
    """An app on the loopback: it notes what it is told, by a query or by a form."""

    told: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        self._note(urlsplit(self.path).query)

    def do_POST(self) -> None:
        self._note(self.rfile.read(int(self.headers["content-length"])).decode())

    def _note(self, text: str) -> None:
        if self.path.startswith("/cb"):
            told = {"method": [self.command]} | parse_qs(text)
            if "referer" in self.headers:
                told["referer"] = [self.headers["referer"]]
            self.told.append(told)
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>back</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    told: list[dict[str, list[str]]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Noting", (Callback,), {"told": told}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/cb", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass(frozen=True)
class Stage:
    """A service, a client that is asked about each time and one that is remembered, and where both are answered."""

    service: Service
    app: str
    site: str
    callback: str
    told: list[dict[str, list[str]]]

    def asking(self, client: str, **more: str) -> str:
        asked = {
            "client_id": client, "redirect_uri": self.callback, "response_type": "code", "scope": "openid",
            "state": "a b", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{self.service.base}/oauth2/authorize?{urlencode(asked | more)}"

    def last(self) -> dict[str, str]:
        """What the client was told last."""
        return {name: value for name, (value,) in self.told[-1].items()}


@pytest.fixture(scope="module")
def stage(stores: Stores, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    log = tmp_path_factory.mktemp("service") / "log"
    with (
        fresh_database(stores, migrated_template) as database_url,
        serving(database_url, log) as service,
        listening() as (callback, told),
    ):
        for email in (ADA, BOB):
            service.cli("user", "create", "--email", email, "--password-stdin", stdin=PASSWORD)
        common = ("--application-type", "native", "--grant", "authorization_code", "--scope", "openid email",
                  "--redirect-uri", "http://127.0.0.1/cb")  # fmt: skip
        app = service.cli("client", "create", "--name", "App", "--public", *common)["client_id"]
        site = service.cli("client", "create", "--name", "Site", *common)["client_id"]
        yield Stage(service, app, site, callback, told)
        assert "Traceback" not in log.read_text()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    """Of a browser that nobody has used before."""
    with browser.open_tab() as tab:
        yield tab


def fill_in(tab: Tab, password: str = PASSWORD, email: str = ADA) -> None:
    tab.js("document.getElementById('username').focus()")
    tab.js("document.getElementById('username').value = ''")
    tab.type(email)
    tab.js("document.getElementById('password').focus()")
    tab.type(password)
    tab.click("login-submit")


def has(tab: Tab, button: str) -> bool:
    return bool(tab.js(f"document.getElementById('{button}') !== null"))


def text(tab: Tab) -> str:
    return str(tab.js("document.body.innerText"))


def is_back(tab: Tab) -> bool:
    """At the client."""
    return bool(tab.js("document.title === 'back'"))


def wait_until_back(tab: Tab) -> None:
    """By a page that leads there by itself."""
    tab.until("document.title === 'back' && document.readyState === 'complete'")


def test_a_person_logs_in_consents_and_comes_back(stage: Stage, tab: Tab) -> None:
    tab.open(stage.asking(stage.app))
    assert find_faults_at_both_widths(tab) == []
    fill_in(tab, "not the password")
    assert has(tab, "problem")
    assert find_faults_at_both_widths(tab) == []
    tab.complaints()  # of a status that is no success
    fill_in(tab)
    assert find_faults_at_both_widths(tab) == []
    tab.click("consent-allow")
    assert is_back(tab)
    answer = stage.last()
    assert answer.keys() == {"method", "code", "state", "iss"}, "and no address of ours"
    assert (answer["method"], answer["state"], answer["iss"]) == ("GET", "a b", stage.service.base)
    assert tab.complaints() == []

    # Who is logged in is asked once more, as this may be any app; the answer is posted by a form that sends itself.
    tab.open(stage.asking(stage.app, response_mode="form_post"))
    tab.leave("document.getElementById('consent-allow').click()")
    wait_until_back(tab)
    answer = stage.last()
    assert answer.keys() == {"method", "code", "state", "iss"}
    assert answer["method"] == "POST"
    assert tab.complaints() == []

    # What a script of a page reads of the cookies is nothing.
    tab.open(f"{stage.service.base}/login")
    assert tab.js("document.cookie") == ""


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_a_no_is_told_to_the_client_and_asked_again_another_time(stage: Stage, tab: Tab, mode: str) -> None:
    for button in ("login-cancel", "consent-deny"):
        tab.open(stage.asking(stage.app, response_mode=mode))
        if button == "consent-deny":
            fill_in(tab)
        tab.leave(f"document.getElementById('{button}').click()")
        wait_until_back(tab)
        answer = stage.last()
        assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "a b", stage.service.base)
        assert "code" not in answer
    tab.open(stage.asking(stage.app))
    assert has(tab, "consent-allow")
    assert tab.complaints() == []


def test_a_button_may_be_pressed_twice(stage: Stage, tab: Tab) -> None:
    """While the answer to the first press is on its way. The browser goes by the second."""
    tab.open(stage.asking(stage.app))
    tab.js(f"document.getElementById('username').value = '{ADA}'")
    tab.js(f"document.getElementById('password').value = '{PASSWORD}'")
    for button, then in (("login-submit", "consent-allow"), ("consent-allow", None)):
        for _ in range(2):
            tab.leave(f"document.getElementById('{button}')?.click()")
        tab.until(f"document.getElementById('{then}') !== null" if then else "document.title === 'back'")
    assert "code" in stage.last()


def test_the_way_back_leads_on(stage: Stage, tab: Tab) -> None:
    tab.open(stage.asking(stage.app))
    fill_in(tab, "not the password")
    fill_in(tab)
    tab.click("consent-allow")
    first = stage.last()
    # A question is asked anew, with the same answers to it.
    tab.go_back()
    assert has(tab, "consent-allow")
    tab.click("consent-allow")
    assert is_back(tab)
    assert stage.last()["code"] != first["code"]
    # Further back there was a form for a password. Who is logged in by now does not meet it again.
    tab.open(stage.asking(stage.app, prompt="login"))
    fill_in(tab)
    assert has(tab, "consent-allow")
    tab.go_back()
    assert has(tab, "consent-allow")
    assert not has(tab, "password")
    tab.click("consent-deny")
    assert is_back(tab)


def test_what_a_browser_has_forgotten_is_asked_anew_in_words(stage: Stage, tab: Tab) -> None:
    """Its cookies were deleted while a page was open, or it keeps none."""
    tab.open(stage.asking(stage.app))
    tab.call("Network.clearBrowserCookies")
    fill_in(tab)
    assert "your browser refuses cookies" in text(tab)
    assert tab.js("document.getElementById('username').value") == ADA
    fill_in(tab)
    assert has(tab, "consent-allow")
    tab.call("Network.clearBrowserCookies")
    tab.click("consent-allow")
    fill_in(tab)
    tab.click("consent-allow")
    assert is_back(tab)
    assert "code" in stage.last()

    tab.open(f"{stage.service.base}/login?request=of-nobody")
    assert "Go back and try again" in text(tab)
    assert find_faults_at_both_widths(tab) == []


def waiting_for(stage: Stage, left_s: float) -> tuple[str, float]:
    """The login page of a request that has so many seconds left, and when they are over, as browsers tell the time."""

    async def seal() -> tuple[str, float]:
        asked = parse_qs(urlsplit(stage.asking(stage.app)).query)
        async with flows_on(load(stage.service.environ), FakeClock(datetime.now(UTC))) as flows:
            key = await flows.authorization._secret.get()
            over_at = datetime.now(UTC) + timedelta(seconds=left_s)
            sealed = sealed_request.seal(key, WaitingRequest(Form(asked), over_at - LIFE))
            return f"{stage.service.base}/login?request={sealed}", 1000 * over_at.timestamp()

    return asyncio.run(seal())


def test_who_comes_back_too_late_is_told_to_begin_again(stage: Stage, tab: Tab) -> None:
    """After ten minutes: while the page was open, and before it was."""
    address, over_at = waiting_for(stage, 10)
    tab.open(address)
    assert has(tab, "login-submit")
    tab.until(f"Date.now() > {over_at}")
    fill_in(tab)
    assert "It was open for too long" in text(tab)
    assert find_faults_at_both_widths(tab) == []
    tab.open(address)
    assert "It was open for too long" in text(tab)


def test_two_tabs_are_two_requests(stage: Stage, tab: Tab) -> None:
    other = tab.open_another()
    tab.open(stage.asking(stage.app, state="here"))
    other.open(stage.asking(stage.site, state="there"))
    fill_in(tab)
    # The other one still shows its form. Whoever fills it in logs in anew, in both.
    fill_in(other, email=BOB)
    assert "bob@example.com" in text(other)
    other.click("consent-allow")
    assert (stage.last()["state"], "code" in stage.last()) == ("there", True)
    # Here stands a question to somebody who is gone: it is put to the one who is there.
    assert ADA in text(tab)
    tab.click("consent-allow")
    assert BOB in text(tab)
    assert "Nothing has been allowed" in text(tab)
    assert find_faults_at_both_widths(tab) == []
    tab.click("consent-switch")
    fill_in(tab)
    assert ADA in text(tab)
    tab.click("consent-allow")
    assert (stage.last()["state"], "code" in stage.last()) == ("here", True)


def test_who_has_logged_in_in_one_tab_has_done_so_in_the_other(stage: Stage, tab: Tab) -> None:
    other = tab.open_another()
    tab.open(stage.asking(stage.app, state="here"))
    other.open(stage.asking(stage.app, state="there"))
    fill_in(tab)
    tab.click("consent-allow")
    # It is wrong, and does not matter any more.
    fill_in(other, "not the password")
    assert has(other, "consent-allow")
    other.click("consent-allow")
    assert (stage.last()["state"], "code" in stage.last()) == ("there", True)


def test_no_page_stands_in_a_frame(stage: Stage, tab: Tab) -> None:  # AUZ-08, ATK-69
    """Where somebody else's page lies above it, and has people press buttons that they do not see."""
    tab.open(stage.callback)
    for address in (stage.asking(stage.app), f"{stage.service.base}/login"):
        tab.js(f"""new Promise(told => {{
            const frame = document.createElement("iframe");
            frame.onload = told;
            frame.src = {json.dumps(address)};
            document.body.append(frame);
        }})""")
        assert any("frame-ancestors" in each for each in tab.complaints())


def test_a_client_that_asks_silently_shows_nobody_a_page(stage: Stage, tab: Tab) -> None:  # OID-03
    silent = stage.asking(stage.site, prompt="none", response_mode="form_post")
    tab.open(silent)
    wait_until_back(tab)
    assert stage.last()["error"] == "login_required"
    tab.open(stage.asking(stage.site))
    fill_in(tab)
    tab.open(silent)
    wait_until_back(tab)
    assert stage.last()["error"] == "consent_required"
    tab.open(stage.asking(stage.site))
    tab.click("consent-allow")
    for mode in ("form_post", "query"):
        tab.open(stage.asking(stage.site, prompt="none", response_mode=mode))
        wait_until_back(tab)
        assert "code" in stage.last()
    assert tab.complaints() == []

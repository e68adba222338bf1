"""A login in a real browser: what it sends along by itself is what our forms rely on, and the policy of the pages lets
people go back to the client (AUZ-16, SES-02, CSR-01)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.browser import Tab, running_browser
from tests.house_of import PASSWORD
from tests.journeys.service import serving

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
            self.told.append({"method": [self.command]} | parse_qs(text))
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


def fill_in(tab: Tab, password: str) -> None:
    tab.js("document.getElementById('username').focus()")
    tab.js("document.getElementById('username').value = ''")
    tab.type("ada@example.com")
    tab.js("document.getElementById('password').focus()")
    tab.type(password)
    tab.press("Enter")
    tab.wait_for_load()


def test_a_person_logs_in_consents_and_comes_back(database_url: str, tmp_path: Path) -> None:
    with (
        serving(database_url, tmp_path / "log", "--migrate") as service,
        listening() as (callback, told),
        running_browser() as browser,
        browser.open_tab() as tab,
    ):
        service.cli("user", "create", "--email", "ada@example.com", "--password-stdin", stdin=PASSWORD)
        made = service.cli("client", "create", "--name", "App", "--public", "--application-type", "native", "--grant",
                           "authorization_code", "--redirect-uri", "http://127.0.0.1/cb", "--scope",
                           "openid email")  # fmt: skip
        asked = {
            "client_id": made["client_id"], "redirect_uri": callback, "response_type": "code", "scope": "openid",
            "state": "a b", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip
        address = f"{service.base}/oauth2/authorize?"

        tab.open(address + urlencode(asked))
        fill_in(tab, "not the password")
        assert tab.js("document.getElementById('problem') !== null")
        tab.complaints()  # of a status that is no success
        fill_in(tab, PASSWORD)
        tab.js("document.getElementById('consent-allow').click()")
        tab.wait_for_load()
        assert tab.js("document.title") == "back"
        (answer,) = told
        assert (answer["method"], answer["state"], answer["iss"]) == (["GET"], ["a b"], [service.base])
        assert "code" in answer
        assert tab.complaints() == []

        # Who is logged in is asked once more, as this may be any app; the answer is posted by a form that sends itself.
        tab.open(address + urlencode(asked | {"response_mode": "form_post"}))
        tab.js("document.getElementById('consent-allow').click()")
        tab.until("document.title === 'back'")
        assert (told[-1]["method"], "code" in told[-1]) == (["POST"], True)
        assert tab.complaints() == []

        # What a script of a page reads of the cookies is nothing.
        tab.open(f"{service.base}/login")
        assert tab.js("document.cookie") == ""

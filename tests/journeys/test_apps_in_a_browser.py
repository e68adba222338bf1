"""/api/v1/session in a real browser, by https: a page on another origin logs in, stays, and logs out, and can read no
token. Nobody else's page reads or changes anything by the cookie (SES-02, CSR-01, ATK-60 to ATK-64)."""

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from authsvc.embedded import Stores
from tests.browser import Browser, Tab
from tests.certificates import write_certificate
from tests.house_of import PASSWORD
from tests.journeys.service import Service, serving
from tests.journeys.test_code_flow_in_a_browser import fill_in
from tests.stores import fresh_database

ADA, EVE = "ada@example.com", "eve@example.com"
IDLE_SECONDS = 7200


class _Blank(BaseHTTPRequestHandler):
    """A page with nothing in it. What its scripts would do, the tests have them do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def _pages(certificate: tuple[Path, Path] | None = None) -> Iterator[int]:
    """Pages on a port of the loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@dataclass(frozen=True)
class Stage:
    service: Service
    database_url: str
    app: str
    """The origin that is listed."""
    hostile: dict[str, str]
    """Origins of others."""

    def sql(self, query: str) -> list[Any]:
        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.database_url)
            try:
                return [tuple(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def stage(stores: Stores, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("service")
    certificate = write_certificate(directory, "tls")
    with ExitStack() as stack:
        app, neighbour, other = (stack.enter_context(_pages(certificate)) for _ in range(3))
        plain = stack.enter_context(_pages())
        database_url = stack.enter_context(fresh_database(stores, migrated_template))
        settings = {
            "AUTHSVC_TLS_CERTIFICATE": str(certificate[0]),
            "AUTHSVC_TLS_KEY": str(certificate[1]),
            "AUTHSVC_APP_ORIGINS": f"https://127.0.0.1:{app}",
            "AUTHSVC_CORS_ORIGINS": f"https://127.0.0.1:{other}",
            "AUTHSVC_SESSION_IDLE_SECONDS": str(IDLE_SECONDS),
        }
        service = stack.enter_context(serving(database_url, directory / "log", **settings))
        for email in (ADA, EVE):
            service.cli("user", "create", "--email", email, "--password-stdin", stdin=PASSWORD)
        service.cli("client", "create", "--name", "Other", "--public", "--grant", "authorization_code",
                    "--redirect-uri", f"https://127.0.0.1:{other}/cb", "--scope", "openid")  # fmt: skip
        yield Stage(service, database_url, f"https://127.0.0.1:{app}", {
            "a neighbour that is not listed": f"https://127.0.0.1:{neighbour}",
            "the page of another client": f"https://127.0.0.1:{other}",
            "another site": f"https://localhost:{neighbour}",
            "a neighbour without TLS": f"http://127.0.0.1:{plain}",
        })  # fmt: skip
        assert "Traceback" not in (directory / "log").read_text()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.open_tab() as tab:
        yield trusting(tab)


def trusting(tab: Tab) -> Tab:
    tab.call("Security.setIgnoreCertificateErrors", ignore=True)
    return tab


# Everything that a script can read of an answer.
ASK = """
(async (address, method, headers, body) => {
    const answer = await fetch(address, {method, headers, body, credentials: "include"});
    return [answer.status, await answer.text(), JSON.stringify([...answer.headers])];
})(%s)
"""
STORED = """
(async () => [
    document.cookie, ...Object.values({...localStorage}), ...Object.values({...sessionStorage}),
    ...(await indexedDB.databases()).map(each => each.name), ...await caches.keys(),
])()
"""


AN_HOUR_PASSES = (
    "UPDATE auth.sessions SET idle_until = idle_until - interval '1 hour', expires_at = expires_at - interval '1 hour'"
)


@dataclass
class Page:
    """A page of an app."""

    tab: Tab
    stage: Stage
    csrf: str = ""

    def __post_init__(self) -> None:
        self.seen: list[str] = []

    def ask(self, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        headers = {"X-CSRF-Token": self.csrf} | ({} if body is None else {"Content-Type": "application/json"})
        address = f"{self.stage.service.base}/api/v1/session{path}"
        asked = [address, method, headers, *([] if body is None else [json.dumps(body)])]
        status, text, heads = self.tab.js(ASK % json.dumps(asked).strip("[]"))
        self.seen += [text, heads]
        told = json.loads(text) if text else {}
        self.csrf = told.get("csrf_token", self.csrf)
        return status, told

    def log_in(self) -> dict[str, Any]:
        status, told = self.ask("POST", body={"email": ADA, "password": PASSWORD})
        assert status == 200, told
        return dict(told)

    def cookies(self) -> list[dict[str, Any]]:
        found = self.tab.call("Network.getCookies", urls=[self.stage.service.base])["cookies"]
        return [each for each in found if each["name"].endswith("sid")]


def test_a_page_logs_in_stays_for_a_day_and_logs_out_and_no_script_can_read_a_token(stage: Stage, tab: Tab) -> None:
    tab.open(stage.app)
    page = Page(tab, stage)
    assert page.ask("GET")[0] == 401
    status, told = page.ask("POST", body={"email": ADA, "password": "not the password"})
    assert (status, told["type"]) == (401, "urn:authsvc:problem:invalid-credentials")
    assert page.log_in()["user"]["email"] == ADA
    (cookie,) = page.cookies()
    shown = {name: cookie.get(name) for name in ("name", "httpOnly", "secure", "sameSite", "path", "session")}
    assert shown == {
        "name": "__Host-sid", "httpOnly": True, "secure": True, "sameSite": "Lax", "path": "/", "session": True,
    }  # fmt: skip

    for _ in range(24):  # an hour each; two without a word, and the session would be over
        stage.sql(AN_HOUR_PASSES)
        status, told = page.ask("POST", "/refresh")
        assert status == 200, told
    assert page.ask("GET")[1]["user"]["email"] == ADA
    assert page.cookies() == [cookie]

    seen = [*page.seen, *tab.js(STORED)]
    for secret in ("eyJ", "asr_", "access_token", "refresh_token", "id_token", cookie["value"]):
        assert not [text for text in seen if secret in text], secret

    assert page.ask("DELETE")[0] == 204
    assert page.cookies() == []
    assert page.ask("GET")[0] == page.ask("POST", "/refresh")[0] == 401


def test_a_page_sends_its_users_to_the_page_of_the_service_and_gets_them_back(stage: Stage, tab: Tab) -> None:
    tab.open(stage.app)
    tab.leave(f"location.href = '{stage.service.base}/login?app={stage.app}'")
    tab.until("document.getElementById('login-submit') !== null")
    fill_in(tab)
    assert tab.js("location.href") == f"{stage.app}/"
    page = Page(tab, stage)
    assert page.ask("GET")[1]["user"]["email"] == ADA
    # Who is logged in comes back without a page in between.
    tab.open(f"{stage.service.base}/login?app={stage.app}")
    assert tab.js("location.href") == f"{stage.app}/"
    assert page.ask("DELETE")[0] == 204


# What a page of somebody else's can try, and what of it its scripts could read.
HOSTILE = """
(async (session, csrf, eve) => {
    const read = [];
    const headers = {"X-CSRF-Token": csrf};
    const cookies = {credentials: "include"}, blind = {...cookies, mode: "no-cors"};
    const json = {"Content-Type": "application/json"};
    for (const [address, how] of [
        [session, cookies],
        [session, {credentials: "same-origin"}],
        [session, blind],
        [session, {...cookies, headers}],
        [session, {...cookies, headers, method: "DELETE"}],
        [session, {...cookies, headers: json, body: eve, method: "POST"}],
        [session, {...blind, body: eve, method: "POST"}],
        [`${session}/refresh`, {...cookies, method: "POST"}],
        [`${session}/refresh`, {...cookies, headers, method: "POST"}],
        [`${session}/refresh`, {...blind, method: "POST"}],
    ]) {
        try {
            const answer = await fetch(address, how);
            if (answer.type !== "opaque") read.push([how, answer.status, await answer.text()]);
        } catch {}
    }
    for (const kind of ["img", "script", "iframe"]) {
        await new Promise(done => {
            const element = document.createElement(kind);
            element.onload = element.onerror = done;
            element.src = session;
            (document.body ?? document.documentElement).append(element);
        });
    }
    for (const [address, enctype] of [
        [session, "text/plain"], [session, "application/x-www-form-urlencoded"], [`${session}/refresh`, "text/plain"],
    ]) {
        const frame = document.createElement("iframe");
        frame.name = "target";
        document.body.append(frame);
        const form = document.createElement("form");
        const input = document.createElement("input");
        Object.assign(form, {action: address, method: "POST", enctype, target: "target"});
        Object.assign(input, {name: eve.slice(0, -1) + ', "x": "', value: '"}'});
        form.append(input);
        document.body.append(form);
        await new Promise(done => { frame.onload = done; form.submit(); });
        try { read.push(["frame", frame.contentDocument.body.innerText]); } catch {}
        frame.remove();
        form.remove();
    }
    return read;
})(%s)
"""
IN_A_SANDBOX = """
new Promise(told => {
    addEventListener("message", event => told(event.data));
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts allow-forms";
    frame.srcdoc = `<body><script>%s.then(read => parent.postMessage([origin, read], "*"))</script>`;
    document.body.append(frame);
})
"""
SNAPSHOT = "SELECT sid, sub, cookie_digest, idle_until, expires_at, seen_at, ended_at FROM auth.sessions ORDER BY sid"


@pytest.fixture
def victim(stage: Stage, tab: Tab) -> Page:
    """Somebody is logged in at the app, and an hour later opens another page. A refresh would be seen by then."""
    tab.open(stage.app)
    page = Page(tab, stage)
    page.log_in()
    stage.sql(AN_HOUR_PASSES)
    return page


def _hostile(page: Page) -> str:
    eve = json.dumps({"email": EVE, "password": PASSWORD})
    return HOSTILE % json.dumps([f"{page.stage.service.base}/api/v1/session", page.csrf, eve])[1:-1]


HOSTS = ["a neighbour that is not listed", "the page of another client", "another site", "a neighbour without TLS"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_page_of_somebody_else_reads_nothing_and_changes_nothing(stage: Stage, victim: Page, host: str) -> None:
    """Not even if it knew the word of the session (CSR-01, ATK-61, ATK-62, ATK-64)."""
    before, cookies = stage.sql(SNAPSHOT), victim.cookies()
    other = trusting(victim.tab.open_another())
    other.open(stage.hostile[host])
    assert other.js(_hostile(victim)) == []
    assert other.js("document.cookie") == ""
    assert (stage.sql(SNAPSHOT), victim.cookies()) == (before, cookies)
    assert victim.ask("POST", "/refresh")[0] == 200
    assert stage.sql(SNAPSHOT) != before


def test_a_sandboxed_frame_in_the_page_itself_does_not_either(stage: Stage, victim: Page) -> None:  # ATK-64: null
    before, cookies = stage.sql(SNAPSHOT), victim.cookies()
    script = _hostile(victim).replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    assert victim.tab.js(IN_A_SANDBOX % script) == ["null", []]
    assert (stage.sql(SNAPSHOT), victim.cookies()) == (before, cookies)
    assert victim.ask("POST", "/refresh")[0] == 200
    assert stage.sql(SNAPSHOT) != before

"""`deploy/examples`, as their READMEs say to run them: beside a service, by one command each, used with a browser."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from authsvc.embedded import Stores
from tests.browser import Browser, Tab
from tests.certificates import write_certificate
from tests.deploy.tools import DEPLOY, ROOT
from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.judging import find_faults_at_both_widths
from tests.journeys.service import Service, free_port, serving, wait_until
from tests.journeys.test_code_flow_in_a_browser import ADA, fill_in, text
from tests.receiver import Receiver, receiving
from tests.stores import fresh_database, run_sql

APP_PORT = free_port()
TOLD = "/backchannel-logout"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def proxy(certificate: tuple[Path, Path]) -> Iterator[Receiver]:
    """In front of the website, for who reaches it by https alone: the service."""
    with receiving(certificate) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def service(
    stores: Stores,
    migrated_template: str,
    certificate: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    log = tmp_path_factory.mktemp("service") / "log"
    settings = {
        "AUTHSVC_APP_ORIGINS": f"http://127.0.0.1:{APP_PORT}",
        "AUTHSVC_ACCESS_TOKEN_SECONDS": "30",  # so that every use of one is by way of a refresh
        "AUTHSVC_OUTBOUND_LOOPBACK": "true",
        "AUTHSVC_OUTBOUND_CA_FILE": str(certificate[0]),
    }
    with (
        fresh_database(stores, migrated_template) as database_url,
        serving(database_url, log, **settings) as service,
    ):
        service.cli("user", "create", "--email", ADA, "--password-stdin", stdin=PASSWORD)
        yield service
        assert "Traceback" not in log.read_text()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.open_tab() as tab:
        yield tab


@contextmanager
def running(example: str, service: Service, port: int) -> Iterator[str]:
    """Where it is."""
    home = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(DEPLOY / "examples" / "run.py"), example, "--issuer", service.base]
    process = subprocess.Popen(
        [*command, "--port", str(port)], cwd=ROOT, env=service.environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or _answers(home), 60)
        yield home
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=30)
        assert said == f"{example}: {home}\n"


def _answers(home: str) -> bool:
    try:
        return fetch.get(home).status_code == 200
    except httpx2.TransportError:
        return False


def is_shown(tab: Tab, id: str) -> None:
    tab.until(f"document.getElementById('{id}').checkVisibility()")


def test_a_person_uses_the_single_page_app(service: Service, tab: Tab) -> None:
    with running("single-page-app", service, APP_PORT) as home:
        tab.open(home)
        is_shown(tab, "login")
        assert find_faults_at_both_widths(tab) == []
        for password in ("not the password", PASSWORD):
            for id, typed in (("email", ADA), ("password", password)):
                tab.js(f"document.getElementById('{id}').value = ''")
                tab.js(f"document.getElementById('{id}').focus()")
                tab.type(typed)
            tab.js("document.getElementById('log-in').click()")
            tab.until("notice.textContent.includes('wrong') || !session.hidden")
        is_shown(tab, "session")
        assert ADA in text(tab)
        add_note(tab, "<b>milk</b>")
        tab.until("document.querySelector('#notes li')?.textContent === '<b>milk</b>'")
        assert find_faults_at_both_widths(tab) == []
        assert tab.js("document.cookie + Object.keys(localStorage) + Object.keys(sessionStorage)") == ""
        tab.open(home)  # anew: it is known by its cookie
        is_shown(tab, "session")
        tab.until("document.querySelectorAll('#notes li').length === 1")

        service.cli("user", "revoke-tokens", ADA)
        add_note(tab, "too late")
        is_shown(tab, "login")
        assert "not logged in any more" in text(tab)
        tab.click("elsewhere")
        fill_in(tab)
        assert tab.js("location.href") == f"{home}/"
        is_shown(tab, "session")
        tab.until("document.querySelectorAll('#notes li').length === 1")
        tab.js("document.getElementById('log-out').click()")
        is_shown(tab, "login")
        tab.until("document.getElementById('notice').textContent.includes('logged out, here and at the service')")
        assert not [each for each in tab.complaints() if "status of 401" not in each]
        check_that_nobody_gets_past_the_gateway(home)


def add_note(tab: Tab, note: str) -> None:
    tab.js("document.getElementById('text').focus()")
    tab.type(note)
    tab.js("document.getElementById('add-note').click()")


def check_that_nobody_gets_past_the_gateway(home: str) -> None:
    for headers in ({}, {"auth-subject": "usr_admin"}, {"cookie": "sid=" + "A" * 43, "auth-subject": "usr_admin"}):
        assert fetch.get(f"{home}/api/notes", headers=headers).status_code in {401, 403}
    astray = fetch.get(home, headers={"host": "localhost:1"})
    assert (astray.status_code, astray.headers["location"]) == (303, f"{home}/")


def test_a_person_uses_the_server_side_app(service: Service, proxy: Receiver, tab: Tab) -> None:
    with running("server-side-app", service, free_port()) as home:
        tab.open(home)
        assert find_faults_at_both_widths(tab) == []
        tab.click("log-in")
        tab.click("login-cancel")
        assert "access_denied" in text(tab)
        assert tab.complaints() != []  # of the status
        tab.open(f"{home}/login")
        fill_in(tab)
        tab.click("consent-allow")
        assert tab.js("document.getElementById('user').textContent") == ADA
        for _ in range(2):  # each time by a new access token
            assert tab.js("document.querySelector('#orders li').textContent").startswith("An order of usr_")
            tab.open(home)
        assert find_faults_at_both_widths(tab) == []
        assert tab.js("document.cookie") == ""

        service.cli("user", "revoke-tokens", ADA)
        tab.open(home)
        assert "Your login has ended" in text(tab)
        tab.click("log-in")
        fill_in(tab)
        assert tab.js("document.getElementById('user').textContent") == ADA
        tab.click("log-out")
        assert tab.js("location.href") == f"{home}/"
        assert "You are not logged in here" in text(tab)

        (website,) = [each for each in service.cli("client", "list") if each["client_name"] == "Example website"]
        service.cli("client", "update", website["client_id"], "--backchannel-logout-uri", proxy.uri(TOLD))
        live = "SELECT count(*) FROM auth.grants WHERE ended_at IS NULL"
        before = run_sql(service.environ["AUTHSVC_DATABASE_URL"], live)
        tab.click("log-in")
        fill_in(tab)  # at the service nobody was logged in any more either
        assert tab.js("document.getElementById('user').textContent") == ADA
        tab.open(f"{service.base}/oauth2/logout")
        tab.click("logout-confirm")
        (told,) = proxy.wait_for(TOLD)
        check_that_nobody_else_logs_people_out(home, service, told.token)
        tab.open(home)
        assert tab.js("document.getElementById('user').textContent") == ADA, "who has not heard of it yet"
        for _ in range(2):
            assert fetch.post(f"{home}{TOLD}", data={"logout_token": told.token}).status_code == 200
        tab.open(home)
        assert "You are not logged in here" in text(tab)
        wait_until(lambda: run_sql(service.environ["AUTHSVC_DATABASE_URL"], live) == before, 30)
        assert tab.complaints() == []
        # An API takes no token that is none.
        for headers in ({}, {"authorization": "Bearer x"}):
            assert fetch.get(f"{home}/api/orders", headers=headers).status_code == 401
        astray = fetch.get(f"{home}/callback?code=x&state=y")
        assert (astray.status_code, astray.headers["location"]) == (303, "/")


def check_that_nobody_else_logs_people_out(home: str, service: Service, logout_token: str) -> None:
    """Nor by a token of the service that is about something else, or that somebody has changed."""
    head, claims, signature = logout_token.split(".")
    changed = f"{head}.{claims}.{signature[::-1]}"
    for token in ("", "x", f"{head}.{claims}.", changed, service.token(service.client())):
        assert fetch.post(f"{home}{TOLD}", data={"logout_token": token}).status_code == 400, token
    assert fetch.get(f"{home}{TOLD}").status_code == 405

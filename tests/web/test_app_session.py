"""/api/v1/session, for apps in browsers (spec: SES-01, SES-02, CSR-01, ATK-50, ATK-60 to ATK-64, ATK-67, ATK-68)."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx2
import pytest

from tests.house_of import CHEAP_HASHES, ISSUER, PASSWORD, House, bearer, database_away, house_on, settings_for
from tests.web.answers import check_not_stored, check_problem

SESSION = "/api/v1/session"
REFRESH = f"{SESSION}/refresh"
APP = "https://app.example.com"
OURS = {"sec-fetch-site": "same-origin", "origin": ISSUER}
NEIGHBOUR = {"sec-fetch-site": "same-site", "origin": APP}
ADA = {"email": "ada@example.com", "password": PASSWORD}
ROUTES = [("POST", SESSION), ("GET", SESSION), ("DELETE", SESSION), ("POST", REFRESH)]
STRANGERS: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    "a listed one from afar": {"sec-fetch-site": "cross-site", "origin": APP},
    "a neighbour that is not listed": {"sec-fetch-site": "same-site", "origin": "https://blog.example.com"},
    "a neighbour that hides": {"sec-fetch-site": "same-site"},
    "an address that was typed": {"sec-fetch-site": "none"},
    "a page without an origin": {"sec-fetch-site": "same-origin", "origin": "null"},
    "an old browser on another site": {"origin": "https://evil.example"},
    "no browser at all": {},
}


@pytest.fixture
async def house(database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(database_url, app_origins=(APP,), **CHEAP_HASHES)) as house:
        yield house


@pytest.fixture(scope="module")
async def shared(shared_database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(shared_database_url, app_origins=(APP,), **CHEAP_HASHES)) as house:
        await house.user()
        yield house


class App:
    """A page in a browser."""

    def __init__(self, house: House, **said: str) -> None:
        self.house = house
        self.said = said or OURS
        self.cookie = ""
        self.csrf = ""

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        # Said always: else the HTTP client would send the cookie of whoever asked last.
        own = {**self.said, "cookie": f"sid={self.cookie}" if self.cookie else "none=1"}
        more: dict[str, Any] = {} if body is None else {"json": body}
        return await self.house.http.request(method, path, headers={**own, **headers}, **more)

    async def log_in(self) -> httpx2.Response:
        answer = await self.ask("POST", SESSION, ADA)
        assert answer.status_code == 200, answer.text
        self.cookie = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        self.csrf = answer.json()["csrf_token"]
        return answer

    async def refresh(self) -> httpx2.Response:
        return await self.ask("POST", REFRESH, **{"x-csrf-token": self.csrf})

    async def log_out(self) -> httpx2.Response:
        return await self.ask("DELETE", SESSION, **{"x-csrf-token": self.csrf})


async def logged_in(house: House, **said: str) -> App:
    app = App(house, **said)
    await app.log_in()
    return app


async def look(app: App) -> httpx2.Response:
    return await app.ask("GET", SESSION)


# --- The story


@pytest.mark.parametrize("said", [OURS, NEIGHBOUR], ids=["our own", "a listed neighbour"])
async def test_a_page_logs_in_looks_goes_on_and_logs_out(house: House, said: dict[str, str]) -> None:
    sub = await house.user()
    app = App(house, **said)
    answer = await app.log_in()
    cookie = answer.headers["set-cookie"]
    assert cookie == f"sid={app.cookie}; Path=/; HttpOnly; SameSite=Lax"  # on loopback; by https SES-02 holds
    told = answer.json()
    assert told.keys() == {"user", "expires_at", "idle_until", "csrf_token"}  # and no token of any kind
    assert told["user"]["sub"] == sub
    check_not_stored(answer)
    for answer in (await look(app), await app.refresh()):
        assert (answer.status_code, answer.json()) == (200, told)
        assert "set-cookie" not in answer.headers
        check_not_stored(answer)

    gone = await app.log_out()
    assert (gone.status_code, gone.headers["set-cookie"].rpartition("; ")[2]) == (204, "Max-Age=0")
    site = APP if said is NEIGHBOUR else None
    check_problem(await look(app), 401, "no-session", site)  # SES-04, ATK-68
    check_problem(await app.refresh(), 401, "no-session", site)
    assert (await app.log_out()).status_code == 204  # a retry: it is done once more


async def test_who_is_there_stays_logged_in_and_who_only_looks_does_not(house: House) -> None:  # SES-03
    await house.user()
    app = await logged_in(house)
    idle, most = house.settings.session_idle_seconds, house.settings.session_seconds
    began = house.clock.now()

    def at(text: str) -> float:
        return (datetime.fromisoformat(text) - began).total_seconds()

    for hours in range(8, 24 * 6, 8):  # twice as long as anybody may be idle
        house.clock.advance(8 * 3600)
        told = (await app.refresh()).json()
        assert (at(told["idle_until"]), at(told["expires_at"])) == (3600 * hours + idle, most)
    house.clock.advance(idle - 1)
    seen = (await look(app)).json()
    assert seen["idle_until"] == told["idle_until"]
    house.clock.advance(2)
    check_problem(await app.refresh(), 401, "no-session")


async def test_no_session_is_refreshed_beyond_its_end(house: House) -> None:  # SES-03
    async with house_on(settings_for(house.settings.database_url, session_seconds=600, **CHEAP_HASHES)) as short:
        await short.user()
        app = await logged_in(short)
        short.clock.advance(599)
        told = (await app.refresh()).json()
        assert told["idle_until"] == told["expires_at"]
        short.clock.advance(1)
        check_problem(await app.refresh(), 401, "no-session")


async def test_each_login_has_a_cookie_of_its_own_and_the_old_one_is_dead(house: House) -> None:  # SES-01, ATK-60
    await house.user()
    app = await logged_in(house)
    old = App(house)
    old.cookie, old.csrf = app.cookie, app.csrf
    await app.log_in()
    assert app.cookie != old.cookie
    check_problem(await old.ask("GET", SESSION), 401, "no-session")
    check_problem(await old.refresh(), 401, "no-session")
    assert (await app.refresh()).status_code == 200


async def test_a_wrong_password_is_as_wrong_as_elsewhere_and_counted_with_it(house: House) -> None:  # ATK-50
    async with house_on(
        settings_for(house.settings.database_url, login_attempts_per_account=3, **CHEAP_HASHES)
    ) as strict:
        await strict.user()
        app, wrong = App(strict), {"email": ADA["email"], "password": "not the password of ours"}
        check_problem(await app.ask("POST", SESSION, wrong), 401, "invalid-credentials")
        for _ in range(2):
            await strict.http.post("/api/v1/login", json=wrong)
        check_problem(await app.ask("POST", SESSION, ADA), 429, "too-many-attempts")


# --- Who may ask


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_cookie_counts_for_pages_of_ours_alone(shared: House, method: str, path: str, stranger: str) -> None:
    # CSR-01, ATK-61, ATK-62, ATK-64
    app = await logged_in(shared)
    app.said = STRANGERS[stranger]
    answer = await app.ask(method, path, ADA if path == SESSION else {}, **{"x-csrf-token": app.csrf})
    check_problem(answer, 403, "forbidden", APP if app.said.get("origin") == APP else None)
    assert "set-cookie" not in answer.headers
    app.said = OURS
    assert (await app.refresh()).status_code == 200  # and nothing has happened


@pytest.mark.parametrize("token", [None, "", "x", "of another session"])
@pytest.mark.parametrize(("method", "path"), [("DELETE", SESSION), ("POST", REFRESH)])
async def test_what_changes_something_needs_the_token_of_this_session(
    shared: House, method: str, path: str, token: str | None
) -> None:  # CSR-01
    app = await logged_in(shared)
    value = (await logged_in(shared)).csrf if token == "of another session" else token
    headers = {} if value is None else {"x-csrf-token": value}
    check_problem(await app.ask(method, path, {}, **headers), 403, "forbidden")
    assert (await app.refresh()).status_code == 200


async def test_a_cookie_and_an_access_token_do_not_come_together(shared: House) -> None:  # ATK-67
    app = await logged_in(shared)
    headers = {**bearer(await shared.log_in()), "x-csrf-token": app.csrf}
    for method, path in ROUTES:
        check_problem(await app.ask(method, path, {}, **headers), 400, "invalid-request")


async def test_a_form_is_no_request_of_an_app(shared: House) -> None:  # ATK-61
    for content_type in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"):
        answer = await shared.http.post(SESSION, content=b"{}", headers={**OURS, "content-type": content_type})
        check_problem(answer, 415, "unsupported-media-type")


async def test_the_cookie_opens_nothing_else_of_the_api(shared: House) -> None:
    app = await logged_in(shared)
    check_problem(await app.ask("GET", "/api/v1/me"), 401, "missing-token")


# --- What a browser lets a page read


async def test_a_listed_neighbour_may_read_with_cookies_and_nobody_else(shared: House) -> None:  # ATK-64
    asked = {"access-control-request-method": "DELETE", "access-control-request-headers": "x-csrf-token"}
    for path in (SESSION, REFRESH):
        method = {"access-control-request-method": "POST"}
        answer = await shared.http.options(path, headers={**asked, **method, "origin": APP})
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "x-csrf-token" in answer.headers["access-control-allow-headers"]
        assert answer.headers["vary"] == "origin"
        for origin in ("https://evil.example", "null", f"{APP}.evil.example", f"{APP}:8443", "https://example.com"):
            answer = await shared.http.options(path, headers={**asked, **method, "origin": origin})
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    answer = await (await logged_in(shared, **NEIGHBOUR)).refresh()
    assert answer.headers["access-control-allow-origin"] == APP
    # Elsewhere cookies are not allowed to anybody.
    answer = await shared.http.options("/api/v1/me", headers={"origin": APP, "access-control-request-method": "GET"})
    assert "access-control-allow-credentials" not in answer.headers


async def test_without_the_store_nobody_is_logged_out(house: House) -> None:  # C4
    await house.user()
    app = await logged_in(house)
    async with database_away(house.settings.database_url):
        for answer in (await app.ask("GET", SESSION), await app.refresh(), await app.log_out()):
            check_problem(answer, 503, "temporarily-unavailable")
            assert "set-cookie" not in answer.headers
    assert (await app.refresh()).status_code == 200

"""/account/password: with the current one, by the rules, and this browser goes on with a new cookie (PWR-09)."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from authsvc.errors import Unavailable
from tests.house_of import CHEAP_HASHES, PASSWORD, House, house_on, settings_for
from tests.web.browsing import Browser
from tests.web.markup import find
from tests.web.test_account import alert_of, enter, is_login, notice_of

PATH = "/account/password"
NEW = "another good password"
GOOD = {"current_password": PASSWORD, "new_password": NEW}


@pytest.fixture(scope="module")
async def peopled(shared: House) -> AsyncIterator[House]:
    await shared.user()
    yield shared


@pytest.fixture
async def inside(peopled: House) -> Browser:
    """Of a user whose password is changed by none of these."""
    browser = Browser(peopled)
    await enter(browser)
    return browser


async def send(browser: Browser, **fields: str) -> httpx2.Response:
    return await send_from(browser, await browser.http.get(PATH), fields)


async def send_from(browser: Browser, page: httpx2.Response, fields: dict[str, str]) -> httpx2.Response:
    token = find(page.text, "input", name="token")[-1].attributes["value"]
    same = {"sec-fetch-site": "same-origin"}
    return await browser.http.post(PATH, data=fields | {"token": str(token)}, headers=same)


async def test_a_new_password_ends_all_else_and_this_browser_goes_on(peopled: House) -> None:
    await peopled.user("eve@example.com")
    here, there = Browser(peopled), Browser(peopled)
    for browser in (here, there):
        await enter(browser, "eve@example.com")
    old, token = here.http.cookies["sid"], await peopled.log_in("eve@example.com")
    gateway = await peopled.client(introspection="any")
    answer = await send(here, **GOOD)
    (cookie,) = answer.headers.get_list("set-cookie")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Lax")
    assert old not in cookie
    page = await here.follow(answer)
    assert page.url.path == "/account"
    assert notice_of(page)
    assert is_login(await there.follow(await there.http.get("/account")))
    assert await peopled.introspect(gateway, token) == {"active": False}
    there.http.cookies.set("sid", old, domain="127.0.0.1")
    assert is_login(await there.follow(await there.http.get("/account"))), "the old cookie opens nothing"
    refused = await peopled.http.post("/api/v1/login", json={"email": "eve@example.com", "password": PASSWORD})
    assert refused.status_code == 401
    await peopled.log_in("eve@example.com", NEW)
    assert "Last changed on" in page.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"current_password": "wrong"}, "The current password is wrong"),
        ({"current_password": "x" * 300}, "The current password is wrong"),
        ({"current_password": ""}, "Enter your current password"),
        ({"new_password": ""}, "Enter your current password"),
        ({"new_password": "x" * 14}, "too short"),
        ({"new_password": "x" * 257}, "too long"),
        ({"new_password": "é" * 600}, "too long"),
        ({"new_password": "ada-ada-ada-2026"}, "easily guessed"),
        ({"new_password": "password1234567"}, "easily guessed"),
    ],
)
async def test_what_is_wrong_is_told_on_the_page(inside: Browser, fields: dict[str, str], words: str) -> None:
    answer = await send(inside, **(GOOD | fields))  # PWR-01, PWR-07
    assert answer.status_code == 400
    assert words in alert_of(answer)
    assert "set-cookie" not in answer.headers
    assert not any("value" in each.attributes for each in find(answer.text, "input", type="password"))
    assert (await inside.http.get(PATH)).status_code == 200
    await inside.house.log_in()


async def test_a_wrong_password_is_noted_as_by_the_other_door(inside: Browser) -> None:
    query = (
        "SELECT count(*) FROM audit.security_events WHERE event = 'authn_password_change_fail' "
        "AND details->>'reason' = 'password' AND sid IS NOT NULL"
    )
    before = await inside.house.sql(query)
    await send(inside, **(GOOD | {"current_password": "wrong"}))
    await inside.house.flows.account._revocations._audit._write()
    assert await inside.house.sql(query) > before


async def test_too_many_attempts_are_told_with_a_time(database_url: str) -> None:  # PWR-09, LOG-08
    async with house_on(settings_for(database_url, **(CHEAP_HASHES | {"login_attempts": 2}))) as house:
        await house.user()
        browser = Browser(house)
        await enter(browser)
        for _ in range(2):
            assert (await send(browser, **(GOOD | {"current_password": "wrong"}))).status_code == 400
        answer = await send(browser, **GOOD)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert alert_of(answer)
        await house.log_in()


async def test_pressed_twice_it_is_changed_once_and_the_second_says_what_to_do(house: House) -> None:
    await house.user()
    browser, late = Browser(house), Browser(house)
    await enter(browser)
    page = await browser.http.get(PATH)
    for name in ("sid", "browser"):
        late.http.cookies.set(name, browser.http.cookies[name], domain="127.0.0.1")
    assert (await send_from(browser, page, GOOD)).status_code == 303
    told = await late.follow(await send_from(late, page, GOOD))
    assert is_login(told)
    assert alert_of(told)
    assert (await send(browser, current_password=NEW, new_password=PASSWORD)).status_code == 303


async def test_who_is_logged_out_while_it_is_hashed_is_told_that_nothing_has_changed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.user()
    browser = Browser(house)
    await enter(browser)
    passwords = house.flows.browser_sessions._password_change._passwords
    hashed = passwords.hash

    async def late(prepared: bytes) -> str:
        session = await house.flows.browser_sessions.find(browser.http.cookies["sid"])
        assert session is not None
        await house.flows.browser_sessions.end(session)
        return await hashed(prepared)

    monkeypatch.setattr(passwords, "hash", late)
    told = await browser.follow(await send(browser, **GOOD))
    assert is_login(told)
    assert "has changed nothing" in alert_of(told)
    await house.log_in()


async def test_what_cannot_be_known_is_not_called_wrong(inside: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(prepared: bytes, stored: str | None) -> bool:
        raise Unavailable(retry_after=7)

    monkeypatch.setattr(inside.house.flows.browser_sessions._password_change._passwords, "verify", away)
    answer = await send(inside, **GOOD)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert "not yours" in alert_of(answer)
    assert "set-cookie" not in answer.headers

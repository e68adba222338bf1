"""An app in a browser has its users log in on the page of the service, and gets them back (spec: ATK-60, ATK-65)."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.house_of import CHEAP_HASHES, ISSUER, PASSWORD, House, house_on, settings_for
from tests.web.browsing import EMAIL, Browser
from tests.web.test_app_session import APP, NEIGHBOUR, OURS, SESSION
from tests.web.test_browser_attacks import ELSEWHERE, leads

FORM = {"username": EMAIL, "password": PASSWORD}


@pytest.fixture(scope="module")
async def shared(shared_database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(shared_database_url, app_origins=(APP,), **CHEAP_HASHES)) as house:
        await house.user()
        yield house


@pytest.mark.parametrize("app", [APP, ISSUER], ids=["a listed neighbour", "our own"])
async def test_who_has_logged_in_on_our_page_is_back_at_the_app_and_known_there(shared: House, app: str) -> None:
    browser = Browser(shared)
    page = await browser.follow(await browser.http.get("/login", params={"app": app}))
    (targets,) = re.findall("form-action ([^;]*);", page.headers["content-security-policy"])
    assert f"{urlsplit(app).scheme}:" in targets.split(), "or the way back is barred"
    assert (await browser.send(page, FORM | {"password": "wrong"})).status_code == 400
    answer = await browser.send(page, FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{app}/")
    said = NEIGHBOUR if app == APP else OURS
    assert (await browser.http.get(SESSION, headers=said)).json()["user"]["email"] == EMAIL
    # Who is logged in already meets no page, and no old form either.
    for path in (page.url, "/login"):
        params = {} if path == page.url else {"app": app}
        answer = await browser.http.get(path, params=params or None)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{app}/")


@pytest.mark.parametrize(
    "app", [*ELSEWHERE, "", "null", f"{APP}/", f"{APP}.evil.example", f"{APP}:8443", "http://app.example.com"], ids=repr
)
async def test_nobody_is_led_to_an_origin_that_is_not_listed(shared: House, app: str) -> None:  # ATK-65
    answer = await Browser(shared).http.get("/login", params={"app": app})
    if app:
        assert answer.status_code == 400
    leads(answer)


async def test_an_app_that_is_listed_no_more_gets_nobody_back(shared: House) -> None:
    browser = Browser(shared)
    page = await browser.follow(await browser.http.get("/login", params={"app": APP}))
    async with house_on(settings_for(shared.settings.database_url, **CHEAP_HASHES)) as stricter:
        browser.http._transport = stricter.http._transport
        answer = await browser.send(page, FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")

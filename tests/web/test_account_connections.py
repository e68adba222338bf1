"""/account/connections: which clients are listed, and what it means to end one's access."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import House
from tests.web.browsing import Browser, a_client
from tests.web.markup import find
from tests.web.test_account import enter, notice_of
from tests.web.test_account_sessions import another

PATH = "/account/connections"
SCOPE = "openid offline_access read"


@pytest.fixture
async def inside(house: House) -> AsyncIterator[Browser]:
    await house.user()
    await house.user("bob@example.com")
    browser = Browser(house)
    await enter(browser)
    yield browser


@pytest.fixture
async def client(house: House) -> Client:
    return await a_client(house, name="Corner <Shop>")


async def submit(browser: Browser, **fields: str) -> httpx2.Response:
    page = await browser.http.get(PATH)
    token = find(page.text, "input", name="token")[-1].attributes["value"]
    same = {"sec-fetch-site": "same-origin"}
    return await browser.follow(await browser.http.post(PATH, data=fields | {"token": str(token)}, headers=same))


async def test_a_client_that_was_allowed_something_is_there_with_what_it_may(inside: Browser, client: Client) -> None:
    assert not find((await inside.http.get(PATH)).text, "h2")
    await inside.code(client, scope=SCOPE)
    page = await inside.http.get(PATH)
    assert [each.text.strip() for each in find(page.text, "h2")] == ["Corner <Shop>"]
    assert len(find(page.text, "li")) == 4 + 1 + 3
    assert "Connected apps: 1" in (await inside.http.get("/account")).text


async def test_its_tokens_are_dead_and_it_has_to_ask_again(inside: Browser, client: Client) -> None:
    house = inside.house
    gateway, other = await house.client(introspection="any"), await a_client(house)
    tokens = (await inside.redeem(client, await inside.code(client, scope=SCOPE))).json()
    others = (await inside.redeem(other, await inside.code(other, scope=SCOPE))).json()
    waiting = await inside.code(client, scope=SCOPE)
    page = await submit(inside, client_id=client.client_id)
    assert notice_of(page)
    assert "Corner" not in page.text
    assert await house.introspect(gateway, tokens["access_token"]) == {"active": False}
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refused = await house.http.post("/oauth2/token", data=form, auth=house.basic(client))
    assert refused.json()["error"] == "invalid_grant"
    assert (await inside.redeem(client, waiting)).json()["error"] == "invalid_grant"
    assert (await house.introspect(gateway, others["access_token"]))["active"]
    assert find((await inside.authorize(client, scope=SCOPE)).text, "button", id="consent-allow")


async def test_another_users_connection_stays(inside: Browser, client: Client) -> None:
    bob = await another(inside, "bob@example.com")
    await bob.code(client, scope=SCOPE, email="bob@example.com")
    await inside.code(await a_client(inside.house), scope=SCOPE)
    await submit(inside, client_id=client.client_id)
    assert "Corner" in (await bob.http.get(PATH)).text


@pytest.mark.parametrize("client_id", ["", "nobody", "x" * 10_000, "'; DELETE FROM auth.grants --", "\N{SNOWMAN}"])
async def test_what_is_no_client_ends_nothing(inside: Browser, client: Client, client_id: str) -> None:
    await inside.code(client, scope=SCOPE)
    page = await submit(inside, client_id=client_id)
    assert page.status_code == 200
    assert "Corner" in page.text


async def test_no_client_learns_that_somebody_looks(inside: Browser, house: House) -> None:
    await inside.code(await a_client(house, logo_uri="https://cdn.client.example/logo.png"), scope=SCOPE)
    page = await inside.http.get(PATH)
    assert "cdn.client.example" not in page.text + page.headers["content-security-policy"]

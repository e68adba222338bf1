"""Requests that clients push, and users bring the name of (PAR-01 to PAR-08)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from authsvc.models import Client, GrantType
from tests.house_of import CHEAP_HASHES, House, house_on, settings_for
from tests.signing import Hand
from tests.web.answers import check_not_stored, check_oauth_error
from tests.web.browsing import CALLBACK, EMAIL, Browser, a_client, an_object, answer_of, asking
from tests.web.forging import claims_of
from tests.web.markup import find

URN = "urn:ietf:params:oauth:request_uri:"
HAND = Hand()


@pytest.fixture(scope="module")
async def house(shared: House) -> AsyncIterator[House]:
    await shared.user(EMAIL)
    yield shared


@pytest.fixture(scope="module")
async def client(house: House) -> Client:
    return await a_client(house)


async def push(house: House, client: Client, form: dict[str, str] | None = None, **changes: Any) -> httpx2.Response:
    asked = asking(client, **changes) if form is None else form
    if client.is_public:
        return await house.http.post("/oauth2/par", data=asked | {"client_id": client.client_id})
    return await house.http.post("/oauth2/par", data=asked, auth=house.basic(client))


async def pushed(house: House, client: Client, **changes: Any) -> str:
    answer = await push(house, client, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_uri"])


def is_page(answer: httpx2.Response, code: str) -> bool:
    return answer.status_code == 400 and code in answer.text and "location" not in answer.headers


async def log_in(browser: Browser, page: httpx2.Response) -> httpx2.Response:
    """To the end: back at the client."""
    page = await browser.log_in(page)
    return await browser.submit(page, answer="allow") if find(page.text, "button", id="consent-allow") else page


# --- It is taken, and leads to a code


async def test_a_pushed_request_goes_all_the_way(house: House, client: Client) -> None:  # PAR-03
    answer = await push(house, client, redirect_uri=CALLBACK)
    assert answer.status_code == 201
    check_not_stored(answer)
    told = answer.json()
    assert told.keys() == {"request_uri", "expires_in"}
    assert told["expires_in"] == 90
    assert told["request_uri"].startswith(URN)
    assert len(told["request_uri"]) == len(URN) + 43
    browser = Browser(house)
    page = await browser.follow(await browser.ask(client, {"request_uri": told["request_uri"]}))
    back = answer_of(await log_in(browser, page))
    assert back["state"] == "the state"
    assert (await browser.redeem(client, back["code"])).json()["scope"] == "openid read"


async def test_it_is_posted_to_the_authorization_endpoint_too(house: House, client: Client) -> None:
    browser, uri = Browser(house), await pushed(house, client)
    form = {"client_id": client.client_id, "request_uri": uri}
    page = await browser.follow(await browser.http.post("/oauth2/authorize", data=form))
    assert "code" in answer_of(await log_in(browser, page))


async def test_a_public_client_pushes_too(house: House) -> None:
    client, browser = await a_client(house, public=True), Browser(house)
    page = await browser.follow(await browser.ask(client, {"request_uri": await pushed(house, client)}))
    assert "code" in answer_of(await log_in(browser, page))


async def test_what_comes_beside_it_is_not_read(house: House, client: Client) -> None:  # PAR-05
    browser, uri = Browser(house), await pushed(house, client)
    beside = {
        "scope": "openid profile email",
        "state": "another",
        "redirect_uri": "https://evil.example/",
        "prompt": "none",
    }
    page = await browser.follow(await browser.ask(client, {"request_uri": uri, **beside}))
    back = answer_of(await log_in(browser, page))
    assert back["state"] == "the state"
    assert (await browser.redeem(client, back["code"])).json()["scope"] == "openid read"


async def test_resources_are_pushed_and_named_one_by_one(house: House) -> None:  # RSC-02
    first, second, third = (f"https://{name}.example/" for name in "abc")
    client, browser = await a_client(house, audiences=(first, second, third)), Browser(house)
    asked: dict[str, Any] = asking(client, scope="read offline_access") | {"resource": [first, second]}
    answer = await push(house, client, asked)
    page = await browser.follow(await browser.ask(client, {"request_uri": answer.json()["request_uri"]}))
    code = answer_of(await log_in(browser, page))["code"]
    tokens = (await browser.redeem(client, code, resource=first)).json()
    assert claims_of(tokens["access_token"])["aud"] == first
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    refused = await house.http.post("/oauth2/token", data=form | {"resource": third}, auth=house.basic(client))
    check_oauth_error(refused, 400, "invalid_target")
    tokens = (await house.http.post("/oauth2/token", data=form | {"resource": second}, auth=house.basic(client))).json()
    assert claims_of(tokens["access_token"])["aud"] == second


async def test_nobody_reads_the_name_of_a_request_in_the_store(house: House, client: Client) -> None:
    uri = await pushed(house, client)
    kept = await house.sql("SELECT string_agg(pushed_requests::text, '') FROM auth.pushed_requests")
    assert uri.removeprefix(URN) not in kept


# --- It is good for one answer


async def test_it_is_answered_once(house: House, client: Client) -> None:  # PAR-04
    browser, uri = Browser(house), await pushed(house, client)
    page = await browser.follow(await browser.ask(client, {"request_uri": uri}))
    again = await browser.follow(await browser.ask(client, {"request_uri": uri}))
    assert find(again.text, "button", id="login-submit"), "a page can be loaded again"
    assert "code" in answer_of(await log_in(browser, page))
    assert is_page(await browser.ask(client, {"request_uri": uri}), "expired_request")
    waiting = await browser.follow(await browser.http.get(again.url))
    assert is_page(waiting, "expired_request"), "nor is the one that waited in another tab"


async def test_an_error_is_an_answer(house: House, client: Client) -> None:
    browser, uri = Browser(house), await pushed(house, client, prompt="none")
    assert answer_of(await browser.ask(client, {"request_uri": uri}))["error"] == "login_required"
    assert is_page(await browser.ask(client, {"request_uri": uri}), "expired_request")


async def test_a_no_is_an_answer(house: House, client: Client) -> None:
    browser, uri = Browser(house), await pushed(house, client)
    page = await browser.follow(await browser.ask(client, {"request_uri": uri}))
    assert answer_of(await browser.submit(page, answer="cancel"))["error"] == "access_denied"
    assert is_page(await browser.submit(page, answer="cancel"), "expired_request")


async def test_of_two_tabs_at_once_one_gets_a_code(house: House) -> None:
    """One statement, one winner; what the loser has written goes with its transaction."""
    client, browser = await a_client(house, first_party=True), Browser(house)
    await log_in(browser, await browser.authorize(client))
    for _ in range(5):
        uri = await pushed(house, client)
        codes = await house.sql("SELECT count(*) FROM auth.authorization_codes")
        answers = await asyncio.gather(*(browser.ask(client, {"request_uri": uri}) for _ in range(6)))
        won = [each for each in answers if each.status_code == 303]
        assert len(won) == 1
        assert "code" in answer_of(won[0])
        assert all(is_page(each, "expired_request") for each in answers if each is not won[0])
        assert await house.sql("SELECT count(*) FROM auth.authorization_codes") == codes + 1


async def test_it_waits_for_its_user_but_not_for_its_browser(database_url: str) -> None:
    async with house_on(settings_for(database_url, **CHEAP_HASHES)) as own:
        await own.user(EMAIL)
        client, browser = await a_client(own), Browser(own)
        first, second = await pushed(own, client), await pushed(own, client)
        own.clock.advance(89)
        page = await browser.follow(await browser.ask(client, {"request_uri": first}))
        own.clock.advance(1)
        assert is_page(await browser.ask(client, {"request_uri": second}), "expired_request")
        own.clock.advance(300)
        assert "code" in answer_of(await log_in(browser, page))


@pytest.mark.parametrize("case", ["unknown", "another client's", "no client"])
async def test_it_is_for_its_client_alone(house: House, client: Client, case: str) -> None:
    other, browser = await a_client(house), Browser(house)
    uri = f"{URN}{'x' * 43}" if case == "unknown" else await pushed(house, client)
    asking_one = {"client_id": "cli_unknown"} if case == "no client" else {}
    answer = await browser.ask(other, {"request_uri": uri, "redirect_uri": CALLBACK, **asking_one})
    assert is_page(answer, "expired_request")


async def test_two_names_are_none(house: House, client: Client) -> None:
    uri = await pushed(house, client)
    for extra in ([("request_uri", uri)], [("request", "x")]):
        query = urlencode([("client_id", client.client_id), ("request_uri", uri), *extra])
        assert is_page(await Browser(house).http.get(f"/oauth2/authorize?{query}"), "invalid_request")


async def test_a_client_that_changes_in_between_is_read_anew(database_url: str) -> None:
    async with house_on(settings_for(database_url, **CHEAP_HASHES)) as own:
        await own.user(EMAIL)
        client, browser = await a_client(own), Browser(own)
        page = await browser.follow(await browser.ask(client, {"request_uri": await pushed(own, client)}))
        await own.flows.clients.update(client.client_id, {"scope": "openid"})
        own.clock.advance(1)
        assert answer_of(await browser.log_in(page))["error"] == "invalid_scope"


# --- What is wrong is told to the client at once

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a name of another: PAR-01": ({"request_uri": f"{URN}{'x' * 43}"}, "invalid_request"),
    "an address": ({"request_uri": "https://client.example/r"}, "invalid_request"),
    "a foreign redirect URI: PAR-02, PAR-08": ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
    "no redirect URI, in OpenID Connect": ({"redirect_uri": None}, "invalid_request"),
    "a scope that it has not": ({"scope": "openid admin"}, "invalid_scope"),
    "no PKCE": ({"code_challenge": None}, "invalid_request"),
    "plain PKCE": ({"code_challenge_method": "plain"}, "invalid_request"),
    "another response type": ({"response_type": "token"}, "unsupported_response_type"),
    "no response type": ({"response_type": None}, "invalid_request"),
    "another response mode": ({"response_mode": "fragment"}, "invalid_request"),
    "a foreign resource: RSC-01": ({"resource": "https://other.example/"}, "invalid_target"),
    "prompts that contradict each other": ({"prompt": "none login"}, "invalid_request"),
    "a registration": ({"registration": "{}"}, "registration_not_supported"),
    "an object of a client without keys": ({"request": "e30.e30.e30"}, "request_not_supported"),
    "another client": ({"client_id": "first-party"}, "invalid_request"),
    "too long a request": ({"login_hint": "x" * 20_000}, "invalid_request"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_told(house: House, client: Client, case: str) -> None:
    changes, error = WRONG[case]
    before = await house.sql("SELECT count(*) FROM auth.pushed_requests")
    check_oauth_error(await push(house, client, **changes), 400, error)
    assert await house.sql("SELECT count(*) FROM auth.pushed_requests") == before


async def test_what_needs_its_user_is_not_asked_yet(house: House, client: Client) -> None:  # PAR-02
    await pushed(house, client, prompt="none", max_age="0")


async def test_who_does_not_prove_themselves_pushes_nothing(house: House, client: Client) -> None:
    check_oauth_error(await house.http.post("/oauth2/par", data=asking(client)), 401, "invalid_client")
    client_only = await house.client(redirect_uris=(CALLBACK,), grant_types=(GrantType.CLIENT_CREDENTIALS,))
    check_oauth_error(await push(house, client_only, scope=None), 400, "unauthorized_client")


async def test_it_is_posted_and_nothing_else(house: House) -> None:  # PAR-07
    answer = await house.http.get("/oauth2/par")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    large = await house.http.post("/oauth2/par", data={"state": "x" * 70_000})
    assert large.status_code == 413


async def test_nobody_fills_the_store(database_url: str) -> None:  # PAR-07
    async with house_on(settings_for(database_url, pushed_requests_per_minute=3)) as own:
        public, client = await a_client(own, public=True), await a_client(own)
        for each in (public, client):
            for _ in range(3):
                await pushed(own, each)
            check_oauth_error(await push(own, each), 429, "temporarily_unavailable")
        assert await own.sql("SELECT count(*) FROM auth.pushed_requests") == 6


# --- Who has to


async def test_a_client_that_has_to_push_cannot_do_without(house: House) -> None:  # PAR-06
    client, browser = await a_client(house, require_pushed_request=True), Browser(house)
    assert answer_of(await browser.authorize(client))["error"] == "invalid_request"
    page = await browser.follow(await browser.ask(client, {"request_uri": await pushed(house, client)}))
    assert "code" in answer_of(await log_in(browser, page))


async def test_a_client_that_has_to_sign_cannot_do_without(house: House) -> None:  # JAR-05
    client = await a_client(house, require_signed_request=True, jwks=HAND.key_set())
    browser = Browser(house)
    assert answer_of(await browser.authorize(client))["error"] == "invalid_request"
    check_oauth_error(await push(house, client), 400, "invalid_request")
    answer = await push(house, client, {"request": an_object(house, client, HAND)})
    page = await browser.follow(await browser.ask(client, {"request_uri": answer.json()["request_uri"]}))
    assert "code" in answer_of(await log_in(browser, page))


@pytest.mark.parametrize("setting", ["require_pushed_authorization_requests", "require_signed_request_object"])
async def test_an_operator_can_demand_it_of_all(database_url: str, setting: str) -> None:
    changes: dict[str, Any] = {setting: True}
    async with house_on(settings_for(database_url, **CHEAP_HASHES, **changes)) as own:
        assert (await own.http.get("/.well-known/openid-configuration")).json()[setting] is True
        client = await a_client(own, jwks=HAND.key_set())
        assert answer_of(await Browser(own).authorize(client))["error"] == "invalid_request"
        good = {"request": an_object(own, client, HAND)}
        if setting == "require_pushed_authorization_requests":
            good = {"request_uri": (await push(own, client, good)).json()["request_uri"]}
        page = await Browser(own).follow(await Browser(own).ask(client, good))
        assert find(page.text, "button", id="login-submit")

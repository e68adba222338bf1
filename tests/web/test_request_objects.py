"""Requests that clients sign (JAR-01 to JAR-06)."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import ISSUER, House
from tests.signing import Hand
from tests.web.answers import check_oauth_error
from tests.web.browsing import CALLBACK, EMAIL, Browser, a_client, an_object, answer_of
from tests.web.markup import find

HAND = Hand()


@pytest.fixture(scope="module")
async def house(shared: House) -> AsyncIterator[House]:
    await shared.user(EMAIL)
    yield shared


@pytest.fixture(scope="module")
async def client(house: House) -> Client:
    return await a_client(house, jwks=HAND.key_set())


async def back_from(browser: Browser, page: httpx2.Response) -> dict[str, str]:
    page = await browser.follow(page)
    if find(page.text, "button", id="login-submit"):
        page = await browser.log_in(page)
    if find(page.text, "button", id="consent-allow"):
        page = await browser.submit(page, answer="allow")
    return answer_of(page)


async def test_a_signed_request_goes_all_the_way(house: House, client: Client) -> None:
    browser = Browser(house)
    back = await back_from(browser, await browser.ask(client, {"request": an_object(house, client, HAND)}))
    assert back["state"] == "the state"
    assert (await browser.redeem(client, back["code"])).json()["scope"] == "openid read"


async def test_only_what_is_signed_counts(house: House, client: Client) -> None:  # JAR-01
    browser = Browser(house)
    beside = {"scope": "openid profile", "state": "another", "redirect_uri": "https://evil.example/", "prompt": "none"}
    back = await back_from(browser, await browser.ask(client, {"request": an_object(house, client, HAND), **beside}))
    assert back["state"] == "the state"
    assert (await browser.redeem(client, back["code"])).json()["scope"] == "openid read"


async def test_what_is_left_out_of_it_is_not_taken_from_beside_it(house: House, client: Client) -> None:
    """As the nonce, and PKCE, of which the answer tells."""
    signed = an_object(house, client, HAND, code_challenge=None, code_challenge_method=None)
    back = answer_of(
        await Browser(house).ask(
            client,
            {"request": signed, "code_challenge": "x" * 43, "code_challenge_method": "S256"},
        )
    )
    assert back["error"] == "invalid_request"


async def test_parameters_stand_in_it_in_their_types(house: House, client: Client) -> None:
    browser = Browser(house)
    signed = an_object(
        house, client, HAND, max_age=3600, claims={"id_token": {"auth_time": {"essential": True}}},
        resource=[f"{ISSUER}/resources"],
    )  # fmt: skip
    back = await back_from(browser, await browser.ask(client, {"request": signed}))
    assert "code" in back


async def test_the_wish_for_a_posted_answer_stands_in_it(house: House, client: Client) -> None:
    signed = an_object(house, client, HAND, response_mode="form_post", prompt="none")
    page = await Browser(house).ask(client, {"request": signed})
    assert page.status_code == 200
    assert "login_required" in page.text


async def test_it_is_posted_too(house: House, client: Client) -> None:
    browser = Browser(house)
    form = {"client_id": client.client_id, "request": an_object(house, client, HAND)}
    assert "code" in await back_from(browser, await browser.http.post("/oauth2/authorize", data=form))


def bad_ones(house: House, client: Client) -> dict[str, str]:
    now = house.clock.unix()
    other = Hand()

    def made(**changes: Any) -> str:
        return an_object(house, client, HAND, **changes)

    return {
        "another's key": an_object(house, client, other),
        "unsigned": HAND.sign({"client_id": client.client_id}, alg="none"),
        "no JWT": "x",
        "another kind: JAR-02": an_object(house, client, HAND, typ="at+jwt"),
        "without issuer": made(iss=None),
        "another issuer": made(iss="cli_other"),
        "without client_id": made(client_id=None),
        "another client_id: JAR-01": made(client_id="cli_other"),
        "for nobody": made(aud=None),
        "for another server": made(aud="https://other.example"),
        "for others too": made(aud=[ISSUER, "https://other.example"]),
        "without end: JAR-03": made(exp=None),
        "over": made(exp=now - 31),
        "good for too long": made(exp=now + 3700),
        "not yet": made(nbf=now + 60),
        "the client as its subject": made(sub=client.client_id),
        "a request in it": made(request="x"),
        "an address in it": made(request_uri="https://client.example/r"),
        "a scope that is a list": made(scope=["openid"]),
        "a state that is true": made(state=True),
        "a NUL": made(state="\0"),
    }


CASES = (
    "another's key", "unsigned", "no JWT", "another kind: JAR-02", "without issuer", "another issuer",
    "without client_id", "another client_id: JAR-01", "for nobody", "for another server", "for others too",
    "without end: JAR-03", "over", "good for too long", "not yet", "the client as its subject", "a request in it",
    "an address in it", "a scope that is a list", "a state that is true", "a NUL",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_a_bad_one_is_refused_where_it_is_known_who_is_told(house: House, client: Client, case: str) -> None:
    bad, browser = bad_ones(house, client)[case], Browser(house)
    back = answer_of(await browser.ask(client, {"request": bad, "redirect_uri": CALLBACK}))
    assert back["error"] == "invalid_request_object"
    for nowhere in ({}, {"redirect_uri": "https://evil.example/"}):
        page = await browser.ask(client, {"request": bad, **nowhere})
        assert (page.status_code, "location" in page.headers) == (400, False)
    posted = {"client_id": client.client_id, "request": bad, "redirect_uri": CALLBACK}
    assert answer_of(await browser.http.post("/oauth2/authorize", data=posted))["error"] == "invalid_request_object"
    answer = await house.http.post("/oauth2/par", data={"request": bad}, auth=house.basic(client))
    check_oauth_error(answer, 400, "invalid_request_object")


def test_every_bad_one_is_tried(shared: House, client: Client) -> None:
    assert set(bad_ones(shared, client)) == set(CASES)


async def test_the_redirect_uri_of_a_good_one_is_registered_too(house: House, client: Client) -> None:  # AUZ-02
    signed = an_object(house, client, HAND, redirect_uri="https://evil.example/")
    page = await Browser(house).ask(client, {"request": signed, "redirect_uri": CALLBACK})
    assert (page.status_code, "location" in page.headers) == (400, False)


async def test_two_are_none(house: House, client: Client) -> None:
    signed = an_object(house, client, HAND)
    named = [("client_id", client.client_id), ("redirect_uri", CALLBACK), ("request", signed)]
    for extra in (("request", signed), ("request_uri", "https://client.example/r")):
        answer = await Browser(house).http.get(f"/oauth2/authorize?{urlencode([*named, extra])}")
        assert answer_of(answer)["error"] == "invalid_request"


async def test_of_a_client_without_keys_none_is_read(house: House) -> None:
    client = await a_client(house)
    answer = await Browser(house).ask(client, {"request": an_object(house, client, HAND), "redirect_uri": CALLBACK})
    assert answer_of(answer)["error"] == "request_not_supported"


async def test_an_agreed_algorithm_is_the_only_one(house: House) -> None:
    client = await a_client(house, jwks=HAND.key_set(), request_object_algorithm="PS256")
    answer = await Browser(house).ask(client, {"request": an_object(house, client, HAND), "redirect_uri": CALLBACK})
    assert answer_of(answer)["error"] == "invalid_request_object"


async def test_a_form_that_was_sealed_knows_that_it_was_signed(house: House) -> None:
    """It is read anew at each step, and the object may be over by then."""
    client = await a_client(house, jwks=HAND.key_set(), require_signed_request=True)
    browser = Browser(house)
    assert "code" in await back_from(browser, await browser.ask(client, {"request": an_object(house, client, HAND)}))


async def test_it_is_no_assertion_and_an_assertion_is_none(house: House, client: Client) -> None:  # ATK-18
    assertion = HAND.assertion(client.client_id, ISSUER, house.clock.unix())
    answer = await Browser(house).ask(client, {"request": assertion, "redirect_uri": CALLBACK})
    assert answer_of(answer)["error"] == "invalid_request_object"

"""Codes that fall into other hands, and requests that would have them sent there (ATK-73, ATK-77 to ATK-79)."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import ISSUER, House
from tests.web.answers import check_oauth_error
from tests.web.browsing import CALLBACK, CHALLENGE, VERIFIER, Browser, a_client, answer_of, asking
from tests.web.forging import claims_of

TOKEN = "/oauth2/token"


@pytest.fixture(scope="module")
async def peopled(shared: House) -> AsyncIterator[House]:
    await shared.user()
    await shared.user("bob@example.com")
    yield shared


@pytest.fixture
def browser(peopled: House) -> Browser:
    return Browser(peopled)


@pytest.fixture(scope="module")
async def client(peopled: House) -> Client:
    return await a_client(peopled)


# --- Where a code would be sent (ATK-79)

ASTRAY = {
    "a host with a suffix": "https://client.example.evil.example/cb",
    "a host with a prefix": "https://evilclient.example/cb",
    "a host that any letter fits": "https://clientxexample/cb",
    "a host behind a name": "https://client.example@evil.example/cb",
    "a host behind a name and a port": "https://client.example:443@evil.example/cb",
    "a host behind a backslash": "https://evil.example\\@client.example/cb",
    "a host in another script": "https://clіent.example/cb",
    "a host with an encoded dot": "https://client%2eexample/cb",
    "a host with a dot behind": "https://client.example./cb",
    "a port": "https://client.example:8443/cb",
    "the port that it has anyway": "https://client.example:443/cb",
    "without TLS": "http://client.example/cb",
    "upper case": "https://client.example/CB",
    "a step up": "https://client.example/cb/../evil",
    "an encoded step up": "https://client.example/cb/..%2fevil",
    "a twice encoded step up": "https://client.example/cb/..%252fevil",
    "a step up behind a parameter": "https://client.example/cb/..;/evil",
    "a slash behind": "https://client.example/cb/",
    "a path behind": "https://client.example/cb/evil",
    "a path parameter": "https://client.example/cb;x",
    "a query": "https://client.example/cb?next=//evil.example",
    "an empty query": "https://client.example/cb?",
    "a fragment": "https://client.example/cb#evil",
    "an empty fragment": "https://client.example/cb#",
    "a line": "https://client.example/cb\r\nLocation: https://evil.example",
    "a NUL": "https://client.example/cb\0",
    "a blank in front": " https://client.example/cb",
    "a blank behind": "https://client.example/cb ",
    "an encoded letter": "https://client.example/%63b",
    "a scheme": "javascript:alert(1)",
    "the other client's": "https://other.example/cb",
    "both in one": "https://client.example/cb https://other.example/cb",
    "none": None,
}
FAULTY: list[dict[str, str | None]] = [
    {},
    {"response_type": "token"},
    {"scope": "not one of its"},
    {"prompt": "none"},
    {"response_mode": "form_post", "prompt": "none login"},
    {"state": "\x07", "code_challenge": None},
]


@pytest.mark.parametrize("case", ASTRAY)
async def test_an_answer_goes_where_it_was_registered_or_nowhere(browser: Browser, client: Client, case: str) -> None:
    """Whatever else is wrong with the request: an error sent elsewhere were an open redirect."""
    two = await a_client(browser.house, redirect_uris=(CALLBACK, f"{CALLBACK}2"))
    await a_client(browser.house, redirect_uris=("https://other.example/cb",))
    for who in (two,) if case == "none" else (client, two):  # RED-07: it may be left out where there is only one
        for faults in FAULTY:
            form = asking(who, **(faults | {"redirect_uri": ASTRAY[case]}))
            for answer in (
                await browser.http.get("/oauth2/authorize", params=form),
                await browser.http.post("/oauth2/authorize", data=form),
            ):
                assert answer.status_code == 400
                assert "location" not in answer.headers
                assert "<form" not in answer.text
                assert "href=" not in answer.text.partition("<body")[2]


# --- Whose code it is (ATK-73, ATK-77)


async def test_a_code_is_redeemed_by_its_client_alone_and_by_no_half_of_it(browser: Browser, client: Client) -> None:
    other, public = await a_client(browser.house), await a_client(browser.house, public=True)
    code = await browser.code(client)
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER,
    }  # fmt: skip

    async def ask(**more: str) -> httpx2.Response:
        return await browser.house.http.post(TOKEN, data=form | more)

    check_oauth_error(await ask(), 401, "invalid_client")
    check_oauth_error(await ask(client_id=client.client_id), 401, "invalid_client")
    check_oauth_error(await ask(client_id=client.client_id, client_secret=""), 401, "invalid_client")
    check_oauth_error(await ask(client_id=public.client_id), 400, "invalid_grant")
    check_oauth_error(await browser.redeem(other, code), 400, "invalid_grant")
    tokens = (await browser.redeem(client, code)).json()
    assert tokens["access_token"]
    # What belongs to a confidential client is refreshed by nobody who cannot prove to be it.
    offline = (await browser.redeem(client, await browser.code(client, scope="offline_access read"))).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": offline["refresh_token"]}
    for who, status, error in (
        ({}, 401, "invalid_client"),
        ({"client_id": client.client_id}, 401, "invalid_client"),
        ({"client_id": public.client_id}, 400, "invalid_grant"),
    ):
        check_oauth_error(await browser.house.http.post(TOKEN, data=refresh | who), status, error)
    again = await browser.house.http.post(TOKEN, data=refresh, auth=browser.house.basic(client))
    assert again.status_code == 200


async def test_a_code_that_comes_again_ends_what_it_brought(browser: Browser, client: Client) -> None:  # ATK-77
    code = await browser.code(client)
    token = (await browser.redeem(client, code)).json()["access_token"]
    for changes in ({"redirect_uri": CALLBACK + "/"}, {"code_verifier": "x" * 43}):
        check_oauth_error(await browser.redeem(client, code, **changes), 400, "invalid_grant")
    assert (await browser.house.introspect(client, token))["active"], "who has only seen the code ends nothing"
    check_oauth_error(await browser.redeem(client, code), 400, "invalid_grant")
    assert not (await browser.house.introspect(client, token))["active"]


# --- Injected, or robbed of its proof (ATK-78)


async def test_a_code_of_one_login_is_worth_nothing_in_another(browser: Browser, client: Client) -> None:
    """Code injection: Bob's code, put by himself into Ada's way back. Her client has another verifier for it; and where
    it goes by the nonce, that is another one, too."""
    bob = Browser(browser.house)
    challenge = "dEDkYO9CXuEUdGrRQeUKGUOEdUZKeZFNGXDHxKSSs_k"
    code = await bob.code(client, "bob@example.com", code_challenge=challenge, nonce="bobs")
    check_oauth_error(await browser.redeem(client, code), 400, "invalid_grant")
    lax = await a_client(browser.house, require_pkce=False)
    code = await bob.code(lax, "bob@example.com", code_challenge=None, code_challenge_method=None, nonce="bobs")
    check_oauth_error(await browser.redeem(lax, code), 400, "invalid_request")
    answer = await browser.redeem(lax, code, code_verifier=None)
    assert claims_of(answer.json()["id_token"])["nonce"] == "bobs"


DOWNGRADES: dict[str, dict[str, str | None]] = {
    "no challenge": {"code_challenge": None, "code_challenge_method": None},
    "an empty one": {"code_challenge": ""},
    "a method without one": {"code_challenge": None},
    "plain": {"code_challenge_method": "plain"},
    "plain, by saying nothing": {"code_challenge_method": None},
    "in lower case": {"code_challenge_method": "s256"},
    "both": {"code_challenge_method": "S256 plain"},
    "one that is too short": {"code_challenge": CHALLENGE[:-1]},
}


@pytest.mark.parametrize("case", DOWNGRADES)
@pytest.mark.parametrize("public", [False, True])
async def test_nobody_is_talked_out_of_the_proof(browser: Browser, case: str, public: bool) -> None:
    client = await a_client(browser.house, public=public)
    told = answer_of(await browser.authorize(client, **DOWNGRADES[case]))
    assert (told["error"], told["iss"]) == ("invalid_request", ISSUER)
    assert "code" not in told


@pytest.mark.parametrize("verifier", [None, "", "x" * 42, "x" * 43, "x" * 128, "x" * 129, CHALLENGE])
async def test_a_code_with_a_challenge_is_redeemed_with_its_verifier(
    browser: Browser, client: Client, verifier: str | None
) -> None:
    code = await browser.code(client)
    check_oauth_error(await browser.redeem(client, code, code_verifier=verifier), 400, "invalid_grant")
    assert (await browser.redeem(client, code)).status_code == 200, "and by that alone it is not used up"


# --- Mixed up with another service (RFC 9207)


async def test_every_answer_says_who_gives_it(browser: Browser, client: Client) -> None:
    """So a client that talks to several services hands no code of ours to another one."""
    answers = [
        answer_of(await browser.authorize(client, prompt="none")),
        answer_of(await browser.authorize(client, scope="none of its")),
        answer_of(await browser.authorize(client, response_type="token")),
        answer_of(await browser.submit(await browser.authorize(client), answer="cancel")),
    ]
    await browser.code(client)
    answers.append(answer_of(await browser.authorize(client)))
    assert "code" in answers[-1]
    for told in answers:
        assert told["iss"] == ISSUER
    metadata = (await browser.http.get("/.well-known/openid-configuration")).json()
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert metadata["issuer"] == ISSUER

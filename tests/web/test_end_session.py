"""/oauth2/logout and the page behind it: who is logged out, who is asked before, and where they go (RPL-01 to RPL-05,
SES-04, CSR-01)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import jwt
import pytest

from authsvc.models import Client
from tests.house_of import ISSUER, House, bearer
from tests.web.browsing import Browser, a_client, answer_of, hidden
from tests.web.forging import claims_of
from tests.web.markup import find

END, CONFIRM, BYE = "/oauth2/logout", "/logout", "https://client.example/bye"
BOB = "bob@example.com"
SAME, CROSS = {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "cross-site"}


@pytest.fixture(scope="module")
async def peopled(shared: House) -> AsyncIterator[House]:
    await shared.user()
    await shared.user(BOB)
    yield shared


@pytest.fixture
def browser(peopled: House) -> Browser:
    return Browser(peopled)


@pytest.fixture(scope="module")
async def client(peopled: House) -> Client:
    return await a_client(
        peopled, name="Corner Shop", post_logout_redirect_uris=(BYE,), client_uri="https://client.example/"
    )


async def tokens_of(browser: Browser, client: Client, email: str = "ada@example.com", **changes: str) -> dict[str, Any]:
    """Logged in, and what the client got by it."""
    answer = await browser.redeem(client, await browser.code(client, email, **changes))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def is_in(browser: Browser) -> bool:
    return (await browser.http.get("/account")).status_code == 200


def is_asked(page: httpx2.Response) -> bool:
    return page.status_code == 200 and bool(find(page.text, "button", id="logout-confirm"))


def is_out(page: httpx2.Response) -> bool:
    return page.status_code == 200 and "You are logged out" in page.text and "clear-site-data" in page.headers


def request(hint: str | None = None, **parameters: str) -> dict[str, str]:
    return ({} if hint is None else {"id_token_hint": hint}) | parameters


# --- By a hint


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_shows_an_id_token_of_the_session_ends_it_and_goes_back(
    browser: Browser, client: Client, method: str
) -> None:  # RPL-01, RPL-05
    tokens = await tokens_of(browser, client)
    sent = request(tokens["id_token"], post_logout_redirect_uri=BYE, state="a b&c", ui_locales="de", logout_hint="x")
    http = browser.http
    answer = await (http.get(END, params=sent) if method == "GET" else http.post(END, data=sent))
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=a%20b%26c")
    assert "no-store" in answer.headers["cache-control"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert not await is_in(browser)
    assert answer_of(await browser.authorize(client, prompt="none"))["error"] == "login_required"
    userinfo = await browser.house.http.get("/oauth2/userinfo", headers=bearer(tokens["access_token"]))
    assert userinfo.status_code == 401


async def test_without_a_place_to_go_to_they_stay_on_a_page(browser: Browser, client: Client) -> None:
    page = await browser.http.get(END, params=request((await tokens_of(browser, client))["id_token"], state="s"))
    assert is_out(page)
    assert find(page.text, "a", href="https://client.example/")
    assert not await is_in(browser)


async def test_a_hint_is_good_when_it_has_expired(browser: Browser, client: Client) -> None:
    hint = (await tokens_of(browser, client))["id_token"]
    browser.house.clock.advance(3600)
    answer = await browser.http.get(END, params=request(hint, post_logout_redirect_uri=BYE))
    assert answer.headers["location"] == BYE
    assert not await is_in(browser)


async def test_the_hint_of_an_offline_grant_names_the_session_too(browser: Browser, client: Client) -> None:
    """And so does that of a refresh."""
    tokens = await tokens_of(browser, client, scope="openid offline_access", prompt="consent")
    assert "sid" not in claims_of(tokens["access_token"])
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = (await browser.house.http.post("/oauth2/token", data=form, auth=browser.house.basic(client))).json()
    assert claims_of(renewed["id_token"])["sid"] == claims_of(tokens["id_token"])["sid"]
    page = await browser.http.get(END, params=request(renewed["id_token"]))
    assert is_out(page)


async def test_what_was_given_to_outlive_sessions_does_and_nothing_else(browser: Browser, client: Client) -> None:
    """BCL-06."""
    house = browser.house
    of_session = await tokens_of(browser, client)
    offline = await tokens_of(browser, client, scope="openid offline_access", prompt="consent")
    unspent = await browser.code(client, scope="openid offline_access")
    assert is_out(await browser.http.get(END, params=request(of_session["id_token"])))
    gateway = await house.client(introspection="any")
    assert await house.introspect(gateway, of_session["access_token"]) == {"active": False}
    assert (await house.introspect(gateway, offline["access_token"]))["active"]
    form = {"grant_type": "refresh_token", "refresh_token": offline["refresh_token"]}
    assert (await house.http.post("/oauth2/token", data=form, auth=house.basic(client))).status_code == 200
    assert (await browser.redeem(client, unspent)).json()["error"] == "invalid_grant"


async def test_what_was_given_before_a_new_login_is_of_the_session_still(browser: Browser, client: Client) -> None:
    house, old = browser.house, await tokens_of(browser, client)
    for _ in range(2):
        house.clock.advance(1)
        await browser.log_in(await browser.authorize(client, prompt="login"))
    gateway = await house.client(introspection="any")
    assert (await house.introspect(gateway, old["access_token"]))["active"]
    assert is_out(await browser.http.get(END, params=request(old["id_token"])))
    assert not await is_in(browser)
    assert await house.introspect(gateway, old["access_token"]) == {"active": False}


# --- Without one that can be believed


async def forged(browser: Browser, client: Client, kind: str) -> str:
    hint = (await tokens_of(browser, client))["id_token"]
    told, (head, body, signature) = claims_of(hint), hint.split(".")
    match kind:
        case "alg none":
            return jwt.encode(told, "", algorithm="none")
        case "another key":
            header = jwt.get_unverified_header(hint)
            return jwt.encode(told, "x" * 32, algorithm="HS256", headers={"kid": header["kid"]})
        case "tampered":
            return f"{head}.{body}.{signature[:-4]}AAAA"
        case "an access token":
            return str((await tokens_of(browser, client))["access_token"])
        case "another user's":
            return str((await tokens_of(Browser(browser.house), client, BOB))["id_token"])
        case "of another session":
            return str((await tokens_of(Browser(browser.house), client))["id_token"])
    return kind


@pytest.mark.parametrize("kind", ["alg none", "another key", "tampered", "an access token", "x", "é"])
async def test_who_shows_what_is_none_of_ours_is_asked_and_goes_nowhere(
    browser: Browser, client: Client, kind: str
) -> None:  # RPL-02
    hint = await forged(browser, client, kind)
    sent = request(hint, post_logout_redirect_uri=BYE, state="s", client_id=client.client_id)
    page = await browser.http.get(END, params=sent)
    assert is_asked(page)
    assert "Corner Shop" not in page.text
    assert await is_in(browser)
    assert is_out(await browser.submit(page, answer="logout"))
    assert not await is_in(browser)


@pytest.mark.parametrize("kind", ["another user's", "of another session"])
async def test_a_hint_of_somebody_elses_session_ends_none_unasked(
    browser: Browser, client: Client, kind: str
) -> None:  # RPL-03
    hint = await forged(browser, client, kind)
    page = await browser.http.get(END, params=request(hint, post_logout_redirect_uri=BYE))
    assert is_asked(page)
    assert await is_in(browser)
    assert (await browser.send(page, {"answer": "logout"})).headers["location"] == BYE


@pytest.mark.parametrize("parameters", [{}, {"state": "s"}, {"post_logout_redirect_uri": BYE}], ids=str)
async def test_who_shows_nothing_is_asked_and_goes_nowhere(
    browser: Browser, client: Client, parameters: dict[str, str]
) -> None:  # RPL-03, RPL-04
    await tokens_of(browser, client)
    page = await browser.http.get(END, params=parameters)
    assert is_asked(page)
    assert "ada@example.com" in page.text
    assert is_out(await browser.submit(page, answer="logout"))
    assert not await is_in(browser)


async def test_a_client_that_is_named_is_shown_and_gets_its_user_back(browser: Browser, client: Client) -> None:
    await tokens_of(browser, client)
    sent = request(client_id=client.client_id, post_logout_redirect_uri=BYE, state="s")
    page = await browser.http.get(END, params=sent)
    assert is_asked(page)
    assert "Corner Shop" in page.text
    assert "form-action 'self' https:" in page.headers["content-security-policy"]
    answer = await browser.send(page, {"answer": "logout"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{BYE}?state=s")
    assert not await is_in(browser)


async def test_a_name_that_is_not_that_of_the_hint_is_an_error(browser: Browser, client: Client) -> None:  # RPL-02
    hint = (await tokens_of(browser, client))["id_token"]
    other = await a_client(browser.house, post_logout_redirect_uris=(BYE,))
    for client_id in (other.client_id, "nobody"):
        sent = request(hint, client_id=client_id, post_logout_redirect_uri=BYE)
        page = await browser.http.get(END, params=sent)
        assert (page.status_code, "location" in page.headers) == (400, False)
    assert await is_in(browser)


@pytest.mark.parametrize("uri", [BYE + "/", BYE + "?x=1", "https://evil.example/", "//evil.example", "javascript:x"])
async def test_nobody_is_sent_where_it_is_not_registered(browser: Browser, client: Client, uri: str) -> None:
    hint = (await tokens_of(browser, client))["id_token"]
    page = await browser.http.get(END, params=request(hint, post_logout_redirect_uri=uri, state="s"))
    assert is_out(page)
    assert uri not in page.text.replace('href="https://client.example/"', "")
    assert not await is_in(browser)


@pytest.mark.parametrize("name", ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"])
async def test_a_parameter_that_comes_twice_is_refused(browser: Browser, name: str) -> None:
    for answer in (
        await browser.http.get(f"{END}?{name}=a&{name}=b"),
        await browser.http.post(END, data={name: ["a", "b"]}),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")


async def test_what_is_too_long_is_refused(browser: Browser) -> None:
    sent = request(ui_locales="x" * 12_000)
    assert (await browser.http.post(END, data=sent)).status_code == 400


# --- Nobody is logged in


async def test_who_is_out_already_goes_on(browser: Browser, client: Client) -> None:
    assert is_out(await browser.http.get(END))
    assert is_out(await browser.http.get(CONFIRM))
    hint = (await tokens_of(Browser(browser.house), client))["id_token"]
    for sent in (request(hint), request(client_id=client.client_id)):
        answer = await browser.http.get(END, params=sent | {"post_logout_redirect_uri": BYE, "state": "s"})
        assert answer.headers["location"] == f"{BYE}?state=s"
        assert "set-cookie" not in answer.headers


async def test_a_foreign_hint_ends_nothing_where_nobody_is_logged_in(browser: Browser, client: Client) -> None:
    other = Browser(browser.house)
    hint = (await tokens_of(other, client))["id_token"]
    assert is_out(await browser.http.get(END, params=request(hint)))
    assert await is_in(other)


# --- From another site


async def test_a_post_from_another_site_comes_without_the_cookie_and_is_led_to_where_it_comes(
    browser: Browser, client: Client
) -> None:
    hint = (await tokens_of(browser, client))["id_token"]
    stranger = Browser(browser.house)
    answer = await stranger.http.post(END, data=request(hint, post_logout_redirect_uri=BYE, state="s"), headers=CROSS)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{CONFIRM}?request=")
    assert hint not in answer.headers["location"]
    went = await browser.http.get(answer.headers["location"])
    assert went.headers["location"] == f"{BYE}?state=s"
    assert not await is_in(browser)


async def test_nobody_else_answers_the_question(browser: Browser, client: Client) -> None:  # CSR-01, ATK-62
    await tokens_of(browser, client)
    page = await browser.http.get(END)
    fields = hidden(page) | {"answer": "logout"}
    for headers in (CROSS, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}):
        assert (await browser.http.post(CONFIRM, data=fields, headers=headers)).status_code == 403
    for changes in ({"token": "x"}, {"request": "x"}, {"token": ""}):
        assert is_asked(await browser.http.post(CONFIRM, data=fields | changes, headers=SAME))
    assert await is_in(browser)


async def test_a_form_of_another_session_asks_again(browser: Browser, client: Client) -> None:
    await tokens_of(browser, client)
    page = await browser.http.get(END)
    await browser.http.get(CONFIRM)
    await browser.submit(await browser.http.get(CONFIRM), answer="logout")
    await tokens_of(browser, client)
    assert is_asked(await browser.send(page, {"answer": "logout"}))
    assert await is_in(browser)


async def test_who_would_rather_stay_stays(browser: Browser, client: Client) -> None:
    await tokens_of(browser, client)
    page = await browser.http.get(END, params={"client_id": client.client_id, "post_logout_redirect_uri": BYE})
    answer = await browser.send(page, {"answer": "stay"})
    assert answer.headers["location"] == "/account"
    assert await is_in(browser)


async def test_a_question_that_has_waited_too_long_leads_nowhere_but_out(browser: Browser, client: Client) -> None:
    await tokens_of(browser, client)
    page = await browser.http.get(END, params={"client_id": client.client_id, "post_logout_redirect_uri": BYE})
    browser.house.clock.advance(600)
    assert is_out(await browser.submit(page, answer="logout"))


async def test_where_a_client_may_have_lost_its_place_meanwhile_nobody_is_sent(browser: Browser) -> None:
    house = browser.house
    client = await a_client(house, post_logout_redirect_uris=(BYE,))
    await tokens_of(browser, client)
    page = await browser.http.get(END, params={"client_id": client.client_id, "post_logout_redirect_uri": BYE})
    await house.flows.clients.update(client.client_id, {"post_logout_redirect_uris": ()})
    house.clock.advance(6)
    assert is_out(await browser.submit(page, answer="logout"))


# --- At the same moment


async def test_two_tabs_log_out_and_both_go_on(browser: Browser, client: Client) -> None:
    hint = (await tokens_of(browser, client))["id_token"]
    sent = request(hint, post_logout_redirect_uri=BYE, state="s")
    pages = [await browser.http.get(CONFIRM) for _ in range(2)]
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.http.cookies.items())}
    by_hint = [browser.house.http.get(END, params=sent, headers=cookie) for _ in range(3)]
    by_form = [
        browser.house.http.post(CONFIRM, data=hidden(page) | {"answer": "logout"}, headers=SAME | cookie)
        for page in pages
    ]
    answers = await asyncio.gather(*by_hint, *by_form)
    assert [answer.headers.get("location") for answer in answers[:3]] == [f"{BYE}?state=s"] * 3
    assert all(is_out(answer) for answer in answers[3:])
    assert not await is_in(browser)
    events = "SELECT count(*) FROM audit.security_events WHERE event = 'session_logout' AND sid = $1"
    assert await browser.house.sql(events, claims_of(hint)["sid"]) == 1


async def test_a_code_that_is_redeemed_while_its_user_logs_out_opens_nothing_that_lives(
    browser: Browser, client: Client
) -> None:
    house, gateway = browser.house, await browser.house.client(introspection="any")
    for _ in range(5):
        hint = (await tokens_of(browser, client))["id_token"]
        code = await browser.code(client)
        redeemed, out = await asyncio.gather(browser.redeem(client, code), browser.http.get(END, params=request(hint)))
        assert is_out(out)
        if redeemed.status_code == 200:
            assert await house.introspect(gateway, redeemed.json()["access_token"]) == {"active": False}
        else:
            assert redeemed.json()["error"] == "invalid_grant"


async def test_a_refresh_while_its_user_logs_out_is_refused_or_worth_nothing(browser: Browser) -> None:
    """Of a login UI: its family ends with its session."""
    house, gateway = browser.house, await browser.house.client(introspection="any")
    login = {"email": "ada@example.com", "password": "correct horse battery staple"}
    tokens = (await house.http.post("/api/v1/login", json=login)).json()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "first-party"}
    refreshed, _ = await asyncio.gather(
        house.http.post("/oauth2/token", data=form),
        house.http.post("/api/v1/logout", headers=bearer(tokens["access_token"])),
    )
    if refreshed.status_code == 200:
        assert await house.introspect(gateway, refreshed.json()["access_token"]) == {"active": False}
        form["refresh_token"] = refreshed.json()["refresh_token"]
    assert (await house.http.post("/oauth2/token", data=form)).json()["error"] == "invalid_grant"


# --- The rest


async def test_the_endpoint_is_told_of(browser: Browser) -> None:
    told = (await browser.http.get("/.well-known/openid-configuration")).json()
    assert told["end_session_endpoint"] == f"{ISSUER}{END}"


async def test_nobody_is_logged_out_by_a_look_at_a_link(browser: Browser, client: Client) -> None:
    hint = (await tokens_of(browser, client))["id_token"]
    for path in (f"{END}?{urlencode(request(hint))}", CONFIRM):
        assert (await browser.http.head(path)).status_code == 405
    assert await is_in(browser)


async def test_the_page_is_in_the_language_that_the_client_asks_for(browser: Browser, client: Client) -> None:
    await tokens_of(browser, client)
    page = await browser.http.get(END, params={"ui_locales": "de"})
    assert page.headers["content-language"] == "de"
    assert (await browser.submit(page, answer="logout")).headers["content-language"] == "de"

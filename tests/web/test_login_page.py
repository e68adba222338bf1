"""/login: who may send its form, what comes of it, and that nothing ends in a fault (SES-*, CSR-*, LOG-*)."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import CHEAP_HASHES, PASSWORD, House, database_away, house_on, settings_for
from tests.web.browsing import EMAIL, Browser, a_client, answer_of, asking, hidden
from tests.web.forging import claims_of
from tests.web.markup import find

FORM = {"username": EMAIL, "password": PASSWORD}
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
async def peopled(shared: House) -> AsyncIterator[House]:
    await shared.user()
    await shared.user("bob@example.com")
    yield shared


@pytest.fixture
def browser(peopled: House) -> Browser:
    return Browser(peopled)


@pytest.fixture
async def client(peopled: House) -> Client:
    return await a_client(peopled)


@pytest.fixture
async def page(browser: Browser, client: Client) -> httpx2.Response:
    return await browser.authorize(client)


def is_login(page: httpx2.Response) -> bool:
    return bool(find(page.text, "button", id="login-submit"))


def session_cookies(answer: httpx2.Response) -> list[str]:
    return [each for each in answer.headers.get_list("set-cookie") if "sid=" in each]


async def test_a_login_gives_a_new_cookie_each_time(browser: Browser, client: Client, page: httpx2.Response) -> None:
    cookies = set()
    for _ in range(2):  # a double click, too
        answer = await browser.send(page, FORM)
        assert answer.status_code == 303
        (cookie,) = session_cookies(answer)
        value, _, attributes = cookie.partition("; ")
        assert attributes == "Path=/; HttpOnly; SameSite=Lax"
        cookies.add(value)
    assert len(cookies) == 2


async def test_by_https_a_cookie_is_of_this_host_alone(database_url: str) -> None:  # SES-02
    settings = settings_for(database_url, issuer="https://auth.example/tenant", **CHEAP_HASHES)
    async with house_on(settings) as house:
        client = await a_client(house)
        base = "https://auth.example"
        answer = await house.http.get(f"{base}/tenant/oauth2/authorize", params=asking(client))
        assert answer.headers["location"].startswith("/tenant/login?request=")
        page = await house.http.get(base + answer.headers["location"])
        (cookie,) = page.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-browser=")
        assert cookie.partition("; ")[2] == "Path=/; Secure; HttpOnly; SameSite=Lax"
        assert find(page.text, "form")[0].attributes["action"] == "/tenant/login"
        answer = await house.http.post(f"{base}/tenant/api/v1/users", json={"email": EMAIL, "password": PASSWORD})
        assert answer.status_code == 201
        answer = await house.http.post(f"{base}/tenant/login", data=hidden(page) | FORM, headers=SAME)
        assert answer.status_code == 303
        (cookie,) = answer.headers.get_list("set-cookie")
        assert cookie.startswith("__Host-sid=")
        assert cookie.partition("; ")[2] == "Path=/; Secure; HttpOnly; SameSite=Lax"


async def test_a_cookie_that_somebody_planted_opens_nothing_and_is_replaced(browser: Browser, client: Client) -> None:
    browser.http.cookies.set("sid", "A" * 43, domain="127.0.0.1")  # SES-01, ATK-60
    browser.http.cookies.set("browser", "not one of ours", domain="127.0.0.1")
    page = await browser.authorize(client)
    assert is_login(page)
    answer = await browser.send(page, FORM)
    (cookie,) = session_cookies(answer)
    assert "A" * 43 not in cookie


# --- What does not work


@pytest.mark.parametrize(
    ("fields", "status", "problem"),
    [
        ({"password": "wrong"}, 400, "password"),
        ({"username": "nobody@example.com"}, 400, "password"),
        ({"username": "no address"}, 400, "password"),
        ({"password": "x" * 5000}, 400, "password"),
        ({"password": ""}, 400, None),
        ({"username": ""}, 400, None),
        ({"username": "\ud7ff" * 300}, 400, "password"),
    ],
)
async def test_a_login_that_fails_is_told_on_the_page(
    browser: Browser, page: httpx2.Response, fields: dict[str, str], status: int, problem: str | None
) -> None:
    answer = await browser.send(page, FORM | fields)
    assert answer.status_code == status
    assert is_login(answer)
    assert find(answer.text, "div", role="alert")
    assert not session_cookies(answer)
    assert PASSWORD not in answer.text
    assert "www-authenticate" not in answer.headers
    again = await browser.submit(answer, **FORM)
    assert find(again.text, "button", id="consent-allow"), "and the next time it works"


async def test_an_unknown_address_and_a_wrong_password_look_the_same(browser: Browser, page: httpx2.Response) -> None:
    texts = set()
    for fields in ({"password": "wrong"}, {"username": "aba@example.com"}):  # LOG-01; addresses of the same length
        answer = await browser.send(page, FORM | fields)
        texts.add(answer.text.replace(str(fields.get("username")), EMAIL))
    assert len(texts) == 1


async def test_too_many_attempts_are_told_with_a_time(database_url: str) -> None:  # LOG-08
    async with house_on(settings_for(database_url, **(CHEAP_HASHES | {"login_attempts": 2}))) as house:
        await house.user()
        browser = Browser(house)
        page = await browser.authorize(await a_client(house))
        for _ in range(2):
            assert (await browser.send(page, FORM | {"password": "wrong"})).status_code == 400
        answer = await browser.send(page, FORM)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert find(answer.text, "div", role="alert")
        assert not session_cookies(answer)


async def test_who_would_rather_not_goes_back(browser: Browser, page: httpx2.Response) -> None:  # AUZ-15
    told = answer_of(await browser.send(page, {"answer": "cancel"}))
    assert told["error"] == "access_denied"
    assert told["state"] == "the state"


# --- Forms of others (CSR-01, CSR-02, ATK-61)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": ""},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
    ],
    ids=str,
)
async def test_what_another_site_sends_is_refused(
    browser: Browser, page: httpx2.Response, headers: dict[str, str]
) -> None:
    answer = await browser.send(page, FORM, headers)
    assert answer.status_code == 403
    assert not session_cookies(answer)
    assert "location" not in answer.headers
    assert not is_login(answer)


@pytest.mark.parametrize("headers", [{}, {"origin": "null"}, {"origin": "http://127.0.0.1:8000"}, SAME], ids=str)
async def test_a_browser_that_says_little_logs_in(
    browser: Browser, page: httpx2.Response, headers: dict[str, str]
) -> None:
    assert (await browser.send(page, FORM, headers)).status_code == 303


@pytest.mark.parametrize("case", ["no token", "another token", "no cookie", "another cookie", "another request"])
async def test_a_form_that_this_browser_was_not_given_is_drawn_anew(
    browser: Browser, client: Client, page: httpx2.Response, case: str
) -> None:
    fields = hidden(page)
    match case:
        case "no token":
            fields["token"] = ""
        case "another token":
            fields["token"] = hidden(await Browser(browser.house).authorize(client))["token"]
        case "no cookie":
            browser.http.cookies.clear()
        case "another cookie":
            browser.http.cookies.set("browser", "A" * 43, domain="127.0.0.1")
        case "another request":
            fields["request"] = hidden(await browser.authorize(client, state="another"))["request"]
    answer = await browser.http.post("/login", data=fields | FORM, headers=SAME)
    assert answer.status_code == 403
    assert is_login(answer)
    assert find(answer.text, "div", role="alert")
    assert not session_cookies(answer)
    browser.http.cookies.clear()
    answer = await browser.send(await browser.authorize(client), FORM)
    assert session_cookies(answer), "and then it works"


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/form-data; boundary=x"])
async def test_a_form_is_a_form(browser: Browser, page: httpx2.Response, content_type: str) -> None:
    answer = await browser.http.post("/login", content=b"{}", headers=SAME | {"content-type": content_type})
    assert answer.status_code in {400, 415}
    assert not session_cookies(answer)


# --- Time, and tabs


@pytest.mark.parametrize("path", ["/login", "/consent"])
async def test_a_request_that_waited_too_long_is_told_in_words(house: House, path: str) -> None:
    await house.user()
    browser = Browser(house)
    page = await browser.authorize(await a_client(house))
    house.clock.advance(600)
    for answer in (
        await browser.http.post(path, data=hidden(page) | FORM, headers=SAME),
        await browser.http.get(path, params={"request": hidden(page)["request"]}),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert find(answer.text, "h1")
        assert "expired_request" in answer.text


@pytest.mark.parametrize("sealed", ["", "x", "A" * 500, "%00", "x" * 13_000])
async def test_a_request_that_was_not_made_here_is_a_page(browser: Browser, sealed: str) -> None:
    for path in ("/login", "/consent"):
        asked = await browser.http.get(path, params={"request": sealed})
        sent = await browser.http.post(path, data={"request": sealed} | FORM, headers=SAME)
        for answer in (sent, asked) if sealed or path == "/consent" else (sent,):
            assert answer.status_code == 400
            assert "location" not in answer.headers
            assert not answer.headers.get_list("set-cookie")


async def test_who_comes_back_to_the_form_goes_on(browser: Browser, client: Client, page: httpx2.Response) -> None:
    """The back button, and another tab in which one has logged in."""
    await browser.submit(page, **FORM)
    assert find((await browser.http.get(f"/consent?request={hidden(page)['request']}")).text, "button")
    again = await browser.http.get("/login", params={"request": hidden(page)["request"]})
    assert again.headers["location"].startswith("/consent?request=")
    wrong = await browser.send(page, FORM | {"password": "wrong"})
    assert wrong.headers["location"].startswith("/consent?request=")


async def test_a_form_may_be_sent_twice_at_once(browser: Browser, client: Client, page: httpx2.Response) -> None:
    """A double click, or an impatient second one: the browser goes by either answer, and both lead on."""
    logins = await asyncio.gather(*(browser.send(page, FORM) for _ in range(2)))
    consent = await browser.follow(logins[1])
    answers = await asyncio.gather(*(browser.send(consent, {"answer": "allow"}) for _ in range(2)))
    codes = {answer_of(each)["code"] for each in answers}
    assert len(codes) == 2, "each good by itself: the client redeems the one that it is told"


async def test_two_tabs_do_not_meet(browser: Browser, client: Client) -> None:
    other = await a_client(browser.house)
    first, second = await browser.authorize(client, state="first"), await browser.authorize(other, state="second")
    for page, state in ((second, "second"), (first, "first")):
        consent = await browser.submit(page, **FORM)
        assert answer_of(await browser.submit(consent, answer="allow"))["state"] == state


# --- Consent


async def test_no_is_an_answer(browser: Browser, page: httpx2.Response) -> None:  # AUZ-15
    consent = await browser.submit(page, **FORM)
    before = await browser.house.sql("SELECT count(*) FROM auth.authorization_codes")
    assert answer_of(await browser.submit(consent, answer="deny"))["error"] == "access_denied"
    assert await browser.house.sql("SELECT count(*) FROM auth.authorization_codes") == before


async def test_consent_is_given_to_what_was_shown(browser: Browser, page: httpx2.Response, client: Client) -> None:
    consent = await browser.submit(page, **FORM)  # AUZ-17
    more = {
        "answer": "allow",
        "scope": "openid read email offline_access",
        "client_id": "x",
        "redirect_uri": "https://x",
    }
    code = answer_of(await browser.send(consent, more))["code"]
    assert (await browser.redeem(client, code)).json()["scope"] == "openid read"


async def test_consent_needs_its_own_form(browser: Browser, page: httpx2.Response, client: Client) -> None:
    consent = await browser.submit(page, **FORM)
    for fields in ({"token": ""}, {"token": hidden(page)["token"]}):
        answer = await browser.send(consent, {"answer": "allow"} | fields)
        assert answer.status_code == 403
        assert find(answer.text, "button", id="consent-allow")
    foreign = await browser.send(consent, {"answer": "allow"}, {"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    assert not find(foreign.text, "button", id="consent-allow")
    odd = await browser.send(consent, {"answer": "perhaps"})
    assert odd.status_code == 400


async def test_a_question_that_was_shown_to_another_user_is_asked_anew(
    browser: Browser, page: httpx2.Response, client: Client
) -> None:
    consent = await browser.submit(page, **FORM)
    await browser.submit(page, **(FORM | {"username": "bob@example.com"}))
    answer = await browser.send(consent, {"answer": "allow"})
    assert answer.status_code == 403
    assert "bob@example.com" in answer.text
    assert "code" in answer_of(await browser.submit(answer, answer="allow"))


async def test_who_has_logged_out_meanwhile_logs_in_first(browser: Browser, page: httpx2.Response) -> None:
    consent = await browser.submit(page, **FORM)
    browser.http.cookies.delete("sid")
    assert is_login(await browser.submit(consent, answer="allow"))


async def test_another_user_may_log_in_instead(browser: Browser, page: httpx2.Response) -> None:
    browser.house.clock.advance(1)
    consent = await browser.submit(page, **FORM)
    browser.house.clock.advance(1)
    page = await browser.submit(consent, answer="switch")
    assert is_login(page)
    assert not find(page.text, "input", id="username")[0].attributes["value"]
    browser.house.clock.advance(1)
    consent = await browser.submit(page, **(FORM | {"username": "bob@example.com"}))
    assert "bob@example.com" in consent.text
    assert "code" in answer_of(await browser.submit(consent, answer="allow"))


async def test_claims_that_are_named_one_by_one_are_shown_and_told(browser: Browser, client: Client) -> None:
    ask = '{"userinfo": {"email": {"essential": true}}, "id_token": {"email": null}}'  # OID-08
    consent = await browser.submit(await browser.authorize(client, claims=ask), **FORM)
    without = await browser.authorize(client)
    assert len(find(consent.text, "li")) == len(find(without.text, "li")) + 1
    tokens = (await browser.redeem(client, answer_of(await browser.submit(consent, answer="allow"))["code"])).json()
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await browser.http.get("/oauth2/userinfo", headers=bearer)).json()["email"] == EMAIL
    assert claims_of(tokens["id_token"])["email"] == EMAIL


# --- When the store is away


async def test_nobody_is_told_anything_wrong_while_the_store_is_away(house: House) -> None:
    await house.user()
    browser, client = Browser(house), await a_client(house)
    page = await browser.authorize(client)
    consent = await browser.submit(page, **FORM)
    async with database_away(house.settings.database_url):
        for answer in (
            await browser.http.get("/oauth2/authorize", params=asking(client)),
            await browser.http.get("/login", params={"request": hidden(page)["request"]}),
            await browser.send(page, FORM),
            await browser.send(consent, {"answer": "allow"}),
        ):
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert not session_cookies(answer)
    assert "code" in answer_of(await browser.submit(consent, answer="allow"))

"""/account: who gets in and how they come back, whose forms are heard, what is said, and how one gets out (CSR-*)."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from authsvc.web.pages.views import Room
from tests.house_of import CHEAP_HASHES, PASSWORD, House, database_away, house_on, settings_for
from tests.web.browsing import EMAIL, Browser, a_client, hidden
from tests.web.markup import find

SAME = {"sec-fetch-site": "same-origin"}
ROOMS = pytest.mark.parametrize("path", list(Room))
FORMS = {
    "/account/sessions": {"others": "all"},
    "/account/connections": {"client_id": "x"},
    "/account/password": {"current_password": PASSWORD, "new_password": "another good password"},
    "/account/logout": {},
}
"""What each page of the account is sent."""


@pytest.fixture(scope="module")
async def peopled(shared: House) -> AsyncIterator[House]:
    await shared.user()
    await connect_all(shared)
    yield shared


async def connect_all(house: House) -> None:
    """Every user has allowed a client something, so that the page for that has a form."""
    await house.sql(
        "INSERT INTO auth.consents SELECT sub, 'first-party', '{openid}', '{}', '{}', created_at, created_at "
        "FROM auth.users"
    )


@pytest.fixture
def browser(peopled: House) -> Browser:
    return Browser(peopled)


@pytest.fixture
async def inside(browser: Browser) -> Browser:
    await enter(browser)
    return browser


async def enter(browser: Browser, email: str = EMAIL, password: str = PASSWORD) -> httpx2.Response:
    """The first page of the account."""
    page = await browser.log_in(await browser.follow(await browser.http.get("/account")), email, password)
    assert page.url.path == "/account", page.text
    return page


def is_login(page: httpx2.Response) -> bool:
    return bool(find(page.text, "button", id="login-submit"))


def notice_of(page: httpx2.Response) -> str:
    return "".join(each.text.strip() for each in find(page.text, "div", role="status"))


def alert_of(page: httpx2.Response) -> str:
    return "".join(each.text.strip() for each in find(page.text, "div", role="alert"))


async def token_of(browser: Browser, path: str) -> str:
    """The token of the form that goes there."""
    page = await browser.http.get(path)
    if path == "/account/logout":
        return hidden(page)["token"]
    tokens = [str(each.attributes["value"]) for each in find(page.text, "input", name="token")]
    assert len(tokens) == 2, "the first is that for logging out"
    return tokens[1]


# --- In


@ROOMS
async def test_who_is_not_logged_in_logs_in_first_and_comes_to_where_they_wanted(browser: Browser, path: str) -> None:
    answer = await browser.http.get(path)
    assert answer.status_code == 303
    login = await browser.follow(answer)
    assert is_login(login)
    assert not find(login.text, "button", id="login-cancel")
    wrong = await browser.send(login, {"username": EMAIL, "password": "wrong"})
    assert (wrong.status_code, is_login(wrong)) == (400, True)
    page = await browser.log_in(wrong)
    assert (page.status_code, page.url.path) == (200, path)
    assert find(page.text, "a", href=path)[0].attributes["aria-current"] == "page"
    assert page.headers["cache-control"] == "no-store"
    again = await browser.follow(await browser.http.get(answer.headers["location"]))
    assert again.url.path == path, "the back button leads on"


async def test_who_only_wants_to_log_in_comes_to_their_account(browser: Browser) -> None:
    assert (await browser.http.get("/login")).headers["location"] == "/account"


@pytest.mark.parametrize(
    "request_", ["https://evil.example", "//evil.example", "/account", "eyJwYXRoIjoiLy9ldmlsLmV4YW1wbGUifQ", "A" * 100]
)
async def test_a_login_leads_nowhere_that_was_not_sealed_here(browser: Browser, request_: str) -> None:
    login = await browser.follow(await browser.http.get("/account"))
    sent = {"username": EMAIL, "password": PASSWORD, "request": request_}
    for answer in (
        await browser.send(login, sent),
        await browser.http.get("/login", params={"request": request_}),
    ):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "set-cookie" not in answer.headers


async def test_a_form_for_one_page_is_not_one_for_another(browser: Browser) -> None:
    pages = [await browser.follow(await browser.http.get(path)) for path in ("/account", "/account/sessions")]
    answer = await browser.send(
        pages[0], {"username": EMAIL, "password": PASSWORD, "request": hidden(pages[1])["request"]}
    )
    assert (answer.status_code, is_login(answer)) == (403, True)
    assert "sid=" not in answer.headers.get("set-cookie", "")


async def test_a_login_for_a_client_and_one_for_the_account_do_not_mix(browser: Browser, peopled: House) -> None:
    client = await a_client(peopled)
    for_client = await browser.authorize(client)
    for_account = await browser.follow(await browser.http.get("/account"))
    fields = {"username": EMAIL, "password": PASSWORD}
    mixed = await browser.send(for_account, fields | {"request": hidden(for_client)["request"]})
    assert mixed.status_code == 403
    assert (await browser.log_in(for_account)).url.path == "/account"
    assert find((await browser.log_in(for_client)).text, "button", id="consent-allow")


async def test_the_overview_says_who_one_is(inside: Browser) -> None:
    page = await inside.http.get("/account")
    assert EMAIL in page.text
    assert notice_of(page) == ""
    links = {str(each.attributes["href"]) for each in find(page.text, "a")}
    assert links == set(Room)


async def test_where_one_is_asked_for_consent_one_is_told_where_to_take_it_back(
    inside: Browser, peopled: House
) -> None:
    consent = await inside.authorize(await a_client(peopled))
    assert find(consent.text, "a", href="/account/connections")


async def test_below_a_path_all_of_it_is_below(database_url: str) -> None:
    settings = settings_for(database_url, issuer="http://127.0.0.1:8000/tenant", **CHEAP_HASHES)
    async with house_on(settings) as house:
        http = Browser(house).http
        answer = await http.post(
            "http://127.0.0.1:8000/tenant/api/v1/users", json={"email": EMAIL, "password": PASSWORD}
        )
        assert answer.status_code == 201
        answer = await http.get("http://127.0.0.1:8000/tenant/account/sessions")
        assert answer.headers["location"].startswith("/tenant/login?request=")
        page = await http.get("http://127.0.0.1:8000" + answer.headers["location"])
        sent = hidden(page) | {"username": EMAIL, "password": PASSWORD}
        answer = await http.post("http://127.0.0.1:8000/tenant/login", data=sent, headers=SAME)
        assert answer.headers["location"] == "/tenant/account/sessions"
        page = await http.get("http://127.0.0.1:8000/tenant/account/sessions")
        actions = {str(each.attributes["action"]) for each in find(page.text, "form")}
        assert actions == {"/tenant/account/logout", "/tenant/account/sessions"}


# --- Forms (CSR-01, ATK-61)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
    ids=str,
)
async def test_what_another_site_sends_is_refused(inside: Browser, path: str, headers: dict[str, str]) -> None:
    fields = FORMS[path] | {"token": await token_of(inside, path)}
    answer = await inside.http.post(path, data=fields, headers=headers)
    assert answer.status_code == 403
    assert not answer.headers.keys() & {"location", "set-cookie"}
    assert (await inside.http.get("/account")).status_code == 200


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("case", ["none", "made up", "another page's", "another session's", "another browser's"])
async def test_a_form_that_was_not_given_for_this_does_nothing_and_is_drawn_anew(
    inside: Browser, path: str, case: str
) -> None:
    match case:
        case "none":
            token = ""
        case "made up":
            token = "A" * 43
        case "another page's":
            token = await token_of(inside, "/account/sessions" if path != "/account/sessions" else "/account/password")
        case "another session's":
            token = await token_of(inside, path)
            inside.http.cookies.delete("sid")
            await enter(inside)
        case _:
            other = Browser(inside.house)
            await enter(other)
            token = await token_of(other, path)
    answer = await inside.http.post(path, data=FORMS[path] | {"token": token}, headers=SAME)
    if path == "/account/logout":
        assert find(answer.text, "button", id="logout-confirm")
    else:
        assert answer.status_code == 403
        assert alert_of(answer)
    assert "sid=" not in answer.headers.get("set-cookie", "")
    assert (await inside.http.get("/account")).status_code == 200
    again = await inside.http.post(path, data=FORMS[path] | {"token": await token_of(inside, path)}, headers=SAME)
    if path != "/account/password":
        assert again.status_code == 303, "and then it works"
    else:
        assert "sid=" in again.headers["set-cookie"]
        await back_to_the_old_password(inside)


async def back_to_the_old_password(browser: Browser) -> None:
    token = await token_of(browser, "/account/password")
    fields = {"current_password": "another good password", "new_password": PASSWORD, "token": token}
    assert (await browser.http.post("/account/password", data=fields, headers=SAME)).status_code == 303


@pytest.mark.parametrize("path", FORMS)
async def test_who_was_logged_out_meanwhile_is_told_so_and_nothing_has_happened(inside: Browser, path: str) -> None:
    token = await token_of(inside, path)
    inside.http.cookies.delete("sid")
    answer = await inside.http.post(path, data=FORMS[path] | {"token": token}, headers=SAME)
    assert answer.status_code == 303
    page = await inside.follow(answer)
    if path == "/account/logout":
        assert page.url.path == path
        assert find(page.text, "a", href="/account")
        return
    assert is_login(page)
    assert alert_of(page)
    page = await inside.log_in(page)
    assert page.url.path == path
    assert alert_of(page) == notice_of(page) == ""


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "multipart/form-data; boundary=x"])
async def test_a_form_is_a_form(inside: Browser, path: str, content_type: str) -> None:
    answer = await inside.http.post(path, content=b"{}", headers=SAME | {"content-type": content_type})
    assert answer.status_code in {400, 415}


@pytest.mark.parametrize("path", [*Room, "/account/logout"])
@pytest.mark.parametrize(
    "query", ["%00", "done=session_ended", "done=x&token=x", "done=session_ended&done=x", "\xff", "token=", "x" * 5000]
)
async def test_a_link_says_of_nothing_that_it_was_done(inside: Browser, path: str, query: str) -> None:
    page = await inside.http.get(f"{path}?{query}")
    assert page.status_code == 200
    assert notice_of(page) == ""


async def test_what_was_done_in_another_session_is_not_said_in_this_one(inside: Browser) -> None:
    token = await token_of(inside, "/account/sessions")
    answer = await inside.http.post("/account/sessions", data={"others": "all", "token": token}, headers=SAME)
    told = answer.headers["location"]
    assert parse_qs(urlsplit(told).query)["done"] == ["others_ended"]
    assert notice_of(await inside.http.get(told))
    other = Browser(inside.house)
    await enter(other)
    assert notice_of(await other.http.get(told)) == ""


# --- Out


async def test_who_logs_out_is_out(inside: Browser, peopled: House) -> None:  # SES-04
    cookie = inside.http.cookies["sid"]
    page = await inside.http.get("/account")
    answer = await inside.send_logout(page)
    assert answer.status_code == 303
    (taken,) = answer.headers.get_list("set-cookie")
    assert taken == "sid=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
    out = await inside.follow(answer)
    assert out.headers["clear-site-data"] == '"cache", "storage"'
    assert "sid" not in inside.http.cookies
    inside.http.cookies.set("sid", cookie, domain="127.0.0.1")
    assert is_login(await inside.follow(await inside.http.get("/account"))), "a copy of the cookie opens nothing"
    twice = await inside.send_logout(page)
    assert twice.headers["location"] == "/account/logout"


async def test_one_may_stay(inside: Browser) -> None:
    page = await inside.http.get("/account/logout")
    assert EMAIL in page.text
    stayed = await inside.submit(page, answer="stay")
    assert stayed.url.path == "/account"
    out = await inside.submit(await inside.http.get("/account/logout"), answer="logout")
    assert find(out.text, "a", href="/account")


async def test_the_tokens_of_the_session_are_dead_with_it(inside: Browser, peopled: House) -> None:
    client, gateway = await a_client(peopled), await peopled.client(introspection="any")
    code = await inside.code(client, scope="read")
    token = (await inside.redeem(client, code)).json()["access_token"]
    assert (await peopled.introspect(gateway, token))["active"]
    await inside.send_logout(await inside.http.get("/account"))
    assert await peopled.introspect(gateway, token) == {"active": False}


# --- When the store is away


async def test_nobody_is_told_anything_wrong_while_the_store_is_away(house: House) -> None:
    await house.user()
    await connect_all(house)
    browser = Browser(house)
    await enter(browser)
    tokens = {path: await token_of(browser, path) for path in FORMS}
    async with database_away(house.settings.database_url):
        for path in [*Room, "/account/logout"]:
            answers = [await browser.http.get(path)]
            if path in FORMS:
                sent = FORMS[path] | {"token": tokens[path]}
                answers.append(await browser.http.post(path, data=sent, headers=SAME))
            for answer in answers:
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.headers["content-type"] == "text/html; charset=utf-8"
                assert "set-cookie" not in answer.headers
    assert (await browser.http.get("/account")).status_code == 200

"""What others would have somebody's browser do: go astray, show a page in a frame, tell addresses (ATK-65 to 69)."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2
import pytest

from authsvc.models import Client, ConsentPolicy
from tests.house_of import ISSUER, PASSWORD, House, bearer
from tests.web.browsing import CALLBACK, EMAIL, Browser, a_client, answer_of, asking, hidden
from tests.web.forging import claims_of
from tests.web.markup import find, parse

SAME = {"sec-fetch-site": "same-origin"}
FORM = {"username": EMAIL, "password": PASSWORD}


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
    """Its users are asked each time."""
    return await a_client(peopled, consent=ConsentPolicy.ALWAYS)


# --- Led astray: there is no parameter that says where to go on (ATK-65)

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "@evil.example",
    ".evil.example",
    "%0d%0aLocation:%20https://evil.example",
    "\r\nLocation: https://evil.example",
]
NAMES = ("next", "return_to", "redirect", "redirect_to", "continue", "url", "post_logout_redirect_uri", "rd", "goto")


def leads(answer: httpx2.Response) -> None:
    """To ourselves, or to where the client was registered."""
    location = answer.headers.get("location", "/")
    assert urlsplit(location)[:2] == ("", "") or location.startswith(CALLBACK + "?"), location
    assert not location.startswith(("//", "/\\"))
    assert "evil.example" not in str(answer.headers.raw)
    for each in parse(answer.text):
        for name in ("href", "src", "action", "formaction"):
            assert "evil.example" not in (each.attributes.get(name) or "")


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=repr)
async def test_nobody_is_led_elsewhere(browser: Browser, client: Client, elsewhere: str) -> None:
    astray = dict.fromkeys(NAMES, elsewhere)
    answer = await browser.http.get("/oauth2/authorize", params=asking(client) | astray)
    leads(answer)
    page = await browser.http.get(answer.headers["location"], params=astray)
    leads(page)
    page = await browser.follow(answer)
    answer = await browser.send(page, FORM | astray)
    assert answer.status_code == 303
    leads(answer)
    consent = await browser.http.get(answer.headers["location"])
    answer = await browser.send(consent, {"answer": "allow"} | astray)
    assert "code" in answer_of(answer)
    leads(answer)


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=repr)
async def test_what_waits_for_a_login_leads_where_it_was_sealed_for(
    browser: Browser, client: Client, elsewhere: str
) -> None:
    """The destination itself is sealed: a form that names another one is of no use."""
    page = await browser.authorize(client)
    for changed in (elsewhere, f"{hidden(page)['request']}{elsewhere}", f"{elsewhere}{hidden(page)['request']}"):
        answer = await browser.http.post("/login", data=hidden(page) | FORM | {"request": changed}, headers=SAME)
        assert answer.status_code == 400
        assert "set-cookie" not in answer.headers
        leads(answer)


@pytest.mark.parametrize("path", ["//evil.example", "//evil.example/login", "/\\evil.example", "/login//evil.example"])
async def test_no_path_is_mended_by_a_redirect(browser: Browser, path: str) -> None:
    answer = await browser.http.get(httpx2.URL(ISSUER + path))
    assert answer.status_code == 404
    leads(answer)


# --- Made to say what somebody else has written (ATK-66)

MARKUP = ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "{{7*7}}", "</title><svg onload=x>"]


@pytest.mark.parametrize("text", [*MARKUP, "x\r\nSet-Cookie: sid=" + "A" * 43, "\u202egnp.exe"], ids=repr)
async def test_what_a_request_says_stays_text(browser: Browser, client: Client, text: str) -> None:
    said = {"login_hint": text, "ui_locales": text, "display": text, "acr_values": text}
    page = await browser.authorize(client, **said)
    assert page.status_code == 200
    shown = text if text.isprintable() else ""
    assert find(page.text, "input", id="username")[0].attributes["value"] == shown
    for name in ("scope", "response_type", "client_id", "redirect_uri", "state", "prompt"):
        answer = await browser.authorize(client, **{name: text})
        for each in (page, answer):
            assert "sid=" not in each.headers.get("set-cookie", "")
            for element in parse(each.text):
                assert element.name not in {"img", "svg"} or str(element.attributes.get("src")).startswith("/static/")
                assert not any(name.startswith("on") for name in element.attributes)
            assert not [script for script in find(each.text, "script") if script.text.strip()]
            assert "49" not in [element.text for element in parse(each.text)]


# --- Two users in one request (ATK-67)


async def test_each_door_knows_one_kind_of_key(browser: Browser) -> None:
    """A cookie opens pages and nothing else, a bearer token opens programs' doors and no page: where both are shown,
    there is never a choice between two users."""
    client = await a_client(browser.house)
    code = await browser.code(client)  # Ada's browser
    adas = (await browser.redeem(client, code)).json()["access_token"]
    bobs = bearer(await browser.house.log_in("bob@example.com"))
    sub_of_bob = (await browser.house.http.get("/api/v1/me", headers=bobs)).json()["sub"]
    assert (await browser.http.get("/api/v1/me", headers=bobs)).json()["sub"] == sub_of_bob
    assert (await browser.http.get("/api/v1/me")).status_code == 401
    assert (await browser.http.get("/oauth2/userinfo")).status_code == 401
    answer = await browser.http.get("/oauth2/authorize", params=asking(client, prompt="none"), headers=bobs)
    again = (await browser.redeem(client, answer_of(answer)["code"])).json()["access_token"]
    assert claims_of(again)["sub"] == claims_of(adas)["sub"] != sub_of_bob
    stranger = Browser(browser.house)
    answer = await stranger.http.get("/oauth2/authorize", params=asking(client, prompt="none"), headers=bobs)
    assert answer_of(answer)["error"] == "login_required"


async def test_two_cookies_of_one_name_are_none(browser: Browser) -> None:  # ATK-67
    client = await a_client(browser.house)
    await browser.code(client)
    ours = browser.http.cookies["sid"]
    stranger = Browser(browser.house)
    for cookie, error in ((f"sid={ours}", None), (f"sid={ours}; sid={'A' * 43}", "login_required")):
        answer = await stranger.http.get(
            "/oauth2/authorize", params=asking(client, prompt="none"), headers={"cookie": cookie}
        )
        assert answer_of(answer).get("error") == error


# --- In a frame, in a cache, over the shoulder (ATK-69)


async def test_every_step_of_a_login_is_guarded(browser: Browser, client: Client) -> None:
    """The redirects too: what stands in their addresses is told to no third page, and kept by no cache."""
    seen = [await browser.http.get("/oauth2/authorize", params=asking(client))]
    seen.append(await browser.http.get(seen[-1].headers["location"]))
    login = seen[-1]
    seen.append(await browser.send(login, FORM | {"password": "wrong"}))
    seen.append(await browser.send(login, FORM))
    seen.append(await browser.http.get(seen[-1].headers["location"]))
    seen.append(await browser.send(seen[-1], {"answer": "allow"}))
    assert "code" in answer_of(seen[-1])
    seen.append(await browser.authorize(client, prompt="none", response_mode="form_post"))
    seen.append(await browser.http.get("/login", params={"request": "x"}))
    seen.append(await browser.http.post("/login", data=FORM, headers={"sec-fetch-site": "cross-site"}))
    seen.append(await browser.http.get("/oauth2/authorize"))
    assert [answer.status_code for answer in seen] == [303, 200, 400, 303, 200, 303, 200, 400, 403, 400]
    for answer in seen:
        assert answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        if answer.status_code != 303:
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"

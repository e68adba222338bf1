"""/account/sessions: what is listed there, and what ends by it (SES-06)."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.house_of import House
from tests.web.browsing import Browser
from tests.web.forging import claims_of
from tests.web.markup import Element, find
from tests.web.test_account import enter, notice_of

PATH = "/account/sessions"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Mobile Safari/604.1"
BOB = "bob@example.com"


@pytest.fixture
async def inside(house: House) -> AsyncIterator[Browser]:
    await house.user()
    await house.user(BOB)
    browser = Browser(house)
    await enter(browser)
    yield browser


async def another(browser: Browser, email: str = "ada@example.com") -> Browser:
    other = Browser(browser.house)
    other.http.headers["user-agent"] = PHONE
    await enter(other, email)
    return other


def buttons(page: httpx2.Response) -> list[Element]:
    return find(page.text, "button", name="session")


async def submit(browser: Browser, **fields: str) -> httpx2.Response:
    page = await browser.http.get(PATH)
    token = find(page.text, "input", name="token")[-1].attributes["value"]
    same = {"sec-fetch-site": "same-origin"}
    return await browser.follow(await browser.http.post(PATH, data=fields | {"token": str(token)}, headers=same))


async def is_in(browser: Browser) -> bool:
    return (await browser.http.get(PATH)).status_code == 200


async def test_each_is_known_by_its_device_and_only_others_have_a_button(inside: Browser) -> None:
    await another(inside)
    page = await inside.http.get(PATH)
    headings = [each.text.split() for each in find(page.text, "h2")]
    assert headings == [["Unknown", "device", "This", "one"], ["Safari,", "iPhone"]]
    assert len(buttons(page)) == 1
    assert find(page.text, "button", name="others")


async def test_of_what_a_browser_says_nothing_is_kept_but_its_name(inside: Browser) -> None:
    evil = Browser(inside.house)
    evil.http.headers["user-agent"] = "Firefox Linux <script>alert(1)</script>" + "x" * 500
    await enter(evil)
    page = await inside.http.get(PATH)
    assert "alert(1)" not in page.text
    assert "Firefox, Linux" in page.text
    assert await inside.house.sql("SELECT count(*) FROM auth.sessions s WHERE s::text LIKE '%script%'") == 0


async def test_one_is_ended_and_the_others_go_on(inside: Browser) -> None:
    first, second = await another(inside), await another(inside)
    page = await inside.http.get(PATH)
    sid = str(buttons(page)[0].attributes["value"])
    done = await submit(inside, session=sid)
    assert notice_of(done)
    assert [await is_in(each) for each in (inside, first, second)].count(False) == 1
    assert sid not in [each.attributes["value"] for each in buttons(done)]
    again = await submit(inside, session=sid)
    assert notice_of(again), "pressed twice, it has ended all the same"
    assert await is_in(inside)


async def test_a_login_ui_is_logged_out_too(inside: Browser) -> None:
    token, gateway = await inside.house.log_in(), await inside.house.client(introspection="any")
    assert claims_of(token)["sid"] in [each.attributes["value"] for each in buttons(await inside.http.get(PATH))]
    await submit(inside, session=str(claims_of(token)["sid"]))
    assert await inside.house.introspect(gateway, token) == {"active": False}


async def test_it_is_told_through_which_client_somebody_came(inside: Browser) -> None:
    client = await inside.house.client(name="Till <7>", public=True, first_party=True)
    await inside.house.log_in(client_id=client.client_id)
    assert "Logged in through Till &lt;7&gt;" in (await inside.http.get(PATH)).text


async def test_all_others_are_ended_at_once(inside: Browser) -> None:
    others = [await another(inside) for _ in range(3)]
    token, gateway = await inside.house.log_in(), await inside.house.client(introspection="any")
    bobs = await another(inside, BOB)
    done = await submit(inside, others="all")
    assert notice_of(done)
    assert not buttons(done)
    assert [await is_in(each) for each in others] == [False] * 3
    assert await inside.house.introspect(gateway, token) == {"active": False}
    assert await is_in(inside)
    assert await is_in(bobs)


async def test_nobody_sees_or_ends_a_session_of_somebody_else(inside: Browser) -> None:
    bobs = await another(inside, BOB)
    sid = str(await inside.house.sql("SELECT sid FROM auth.sessions JOIN auth.users USING (sub) WHERE email = $1", BOB))
    assert sid not in (await inside.http.get(PATH)).text
    for foreign in (sid, "nobody's", "'; DELETE FROM auth.sessions --", "x" * 10_000, "\N{SNOWMAN}"):
        page = await submit(inside, session=foreign)
        assert (page.status_code, notice_of(page)) == (200, "")
    assert await is_in(bobs)


@pytest.mark.parametrize("fields", [{}, {"session": ""}, {"others": "some"}, {"answer": "x"}])
async def test_what_asks_for_nothing_ends_nothing(inside: Browser, fields: dict[str, str]) -> None:
    other = await another(inside)
    page = await submit(inside, **fields)
    assert (page.status_code, notice_of(page)) == (200, "")
    assert await is_in(other)


async def test_who_ends_the_one_they_are_in_is_out(inside: Browser) -> None:
    sid = str(await inside.house.sql("SELECT sid FROM auth.sessions"))
    page = await submit(inside, session=sid)
    assert find(page.text, "button", id="login-submit")

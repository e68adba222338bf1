"""The demo website, which others copy: what it refuses of a service, of a browser and of other sites."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.demo.liar import ACCESS, FOREIGN_KEY, HOME, REFRESH, SECRET, Liar, Visit, lying
from tests.web.markup import find


@pytest.fixture(scope="module")
async def liar() -> AsyncIterator[Liar]:
    async with lying() as liar:
        yield liar


@pytest.fixture
def visit(liar: Liar) -> Visit:
    liar.be_honest()
    return Visit(liar)


async def press(visit: Visit, button: str, **fields: str) -> httpx2.Response:
    (form,) = find(await visit.page(), "form", action=f"/{button}")
    assert form.attributes["method"] == "post"
    token = find(await visit.page(), "input", name="form_token")[0].attributes["value"]
    return await visit.http.post(f"/{button}", data={"form_token": str(token)} | fields)


async def notice(visit: Visit) -> str:
    (section,) = find(await visit.page(), "section", id="notice")
    return section.text.strip().splitlines()[0]


async def test_it_asks_as_it_should(visit: Visit) -> None:
    asked = await visit.depart()
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{HOME}/callback"
    assert asked["code_challenge_method"] == "S256"
    assert asked["scope"] == "openid profile email offline_access"
    again = await visit.depart()
    for name in ("state", "nonce", "code_challenge"):
        assert asked[name] != again[name]
        assert len(asked[name]) >= 20


async def test_who_comes_back_is_logged_in_under_a_new_cookie(visit: Visit) -> None:
    asked = await visit.depart()
    before = visit.http.cookies["demo"]
    answer = await visit.arrive(state=asked["state"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["set-cookie"].removeprefix(f"demo={visit.http.cookies['demo']}; ") == (
        "HttpOnly; Path=/; SameSite=lax"
    )
    assert "Hello, " in await visit.page()
    thief = Visit(visit.liar, visit.site)
    thief.http.cookies.set("demo", before)
    assert "Welcome, stranger" in await thief.page(), "whoever has planted the cookie is not logged in with it"


LIES: dict[str, dict[str, Any]] = {
    "of another login": {"nonce": "another"},
    "without a nonce": {"nonce": None},
    "for another client": {"aud": "another"},
    "for us among others": {"aud": ["website", "another"]},
    "for nobody": {"aud": None},
    "by another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
    "without an end": {"exp": None},
    "about nobody": {"sub": None},
    "for another access token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_id_token_that_is_not_ours_logs_nobody_in(visit: Visit, lie: str) -> None:
    visit.liar.claims = LIES[lie]
    answer = await visit.log_in()
    assert answer.status_code == 400
    assert "bad_tokens" in answer.text
    assert "Welcome, stranger" in await visit.page()


async def test_an_answer_without_tokens_logs_nobody_in(visit: Visit) -> None:
    for member in ("id_token", "access_token", "expires_in"):
        visit.liar.token_answer = {member: None}
        assert (await visit.log_in()).status_code == 400
    assert "Welcome, stranger" in await visit.page()


async def test_a_signature_by_another_key_logs_nobody_in(visit: Visit) -> None:
    visit.liar.key = FOREIGN_KEY
    assert "bad_tokens" in (await visit.log_in()).text


async def test_the_answer_of_another_service_is_not_redeemed(visit: Visit) -> None:
    """A code of ours that another service has got hold of, or the reverse (RFC 9207)."""
    for issuer in ("https://evil.example", None):
        asked = await visit.depart()
        answer = await visit.arrive(state=asked["state"], iss=issuer)
        assert "wrong_issuer" in answer.text
    assert visit.liar.asked == []


async def test_an_answer_that_nobody_waits_for_is_not_redeemed(visit: Visit) -> None:
    """A code that somebody wants to log another one in with (CSRF on login), and one that comes twice."""
    attacker = Visit(visit.liar, visit.site)
    theirs = (await attacker.depart())["state"]
    for state in (theirs, "made-up", None):
        assert "Nobody is waiting" in (await visit.arrive(state=state)).text
    await visit.depart()
    assert "Nobody is waiting" in (await visit.arrive(state=theirs)).text
    assert visit.liar.asked == []
    asked = await visit.depart()
    await visit.arrive(state=asked["state"])
    assert (await visit.arrive(state=asked["state"])).headers["location"] == "/"
    assert len(visit.liar.asked) == 1


async def test_a_no_is_told_in_words_and_asks_nothing(visit: Visit) -> None:
    asked = await visit.depart()
    answer = await visit.arrive(state=asked["state"], code=None, error="access_denied")
    assert "You told authsvc not to" in answer.text
    assert find(answer.text, "a", href="/login")
    assert visit.liar.asked == []


async def test_two_tabs_log_in_each_for_itself(visit: Visit) -> None:
    first, second = await visit.depart(), await visit.depart()
    for asked in (second, first):
        visit.liar.nonce = asked["nonce"]
        assert (await visit.arrive(state=asked["state"])).headers["location"] == "/"
        assert visit.liar.asked[-1]["code_verifier"]
    assert visit.liar.asked[0]["code_verifier"] != visit.liar.asked[1]["code_verifier"]


async def test_what_is_told_of_another_user_is_not_believed(visit: Visit) -> None:
    visit.liar.user = {"sub": "usr_bob", "name": "Bob"}
    assert (await visit.log_in()).status_code == 503
    assert "Bob" not in await visit.page()


async def test_tokens_of_another_user_are_not_taken_for_a_refresh(visit: Visit) -> None:
    await visit.log_in()
    visit.liar.refreshed = {"sub": "usr_bob"}
    await press(visit, "refresh")
    assert await notice(visit) == "You have to log in again"


async def test_a_service_under_another_name_is_not_asked(visit: Visit) -> None:
    visit.liar.metadata = {"issuer": "https://evil.example"}
    answer = await visit.http.get("/login")
    assert answer.status_code == 503
    assert "does not answer" in answer.text


async def test_a_form_of_another_site_does_nothing(visit: Visit) -> None:  # a form token
    await visit.log_in()
    asked = len(visit.liar.asked)
    for button in ("revoke", "refresh", "log-out", "introspect", "ask-userinfo"):
        for form in ({}, {"form_token": ""}, {"form_token": "x" * 43}, {"form_token": "ä"}, {"x": "x" * 2000}):
            assert (await visit.http.post(f"/{button}", data=form)).headers["location"] == "/"
            assert (await visit.http.get(f"/{button}")).status_code == 405
    assert len(visit.liar.asked) == asked
    assert "Hello, " in await visit.page()


async def test_who_presses_twice_uses_a_refresh_token_once(visit: Visit) -> None:
    await visit.log_in()
    visit.liar.answer_slowly = 0.05
    await asyncio.gather(press(visit, "refresh"), press(visit, "refresh"))
    used = [form["refresh_token"] for form in visit.liar.asked if form["grant_type"] == "refresh_token"]
    assert len(used) == len(set(used)) == 2
    assert await notice(visit) == "The tokens are new"


async def test_what_is_revoked_is_shown_as_dead(visit: Visit) -> None:
    await visit.log_in()
    await press(visit, "introspect")
    assert await notice(visit) == "The access token is alive"
    await press(visit, "revoke")
    assert await notice(visit) == "The access token is dead"
    await press(visit, "ask-userinfo")
    assert await notice(visit) == "UserInfo was refused"


@pytest.mark.parametrize("is_away", [False, True])
async def test_who_logs_out_is_forgotten_and_their_tokens_are_revoked(visit: Visit, is_away: bool) -> None:
    await visit.log_in()
    cookie = visit.http.cookies["demo"]
    visit.liar.is_away = is_away
    await press(visit, "log-out")
    assert await notice(visit) == "You are logged out here"
    assert visit.liar.asked[-1]["token"].startswith(REFRESH)
    visit.http.cookies.set("demo", cookie)
    assert "Welcome, stranger" in await visit.page()


@pytest.mark.parametrize("how", ["is_away", "is_busy"])
async def test_a_service_that_is_away_logs_nobody_out(visit: Visit, how: str) -> None:
    await visit.log_in()
    setattr(visit.liar, how, True)
    await press(visit, "refresh")
    assert await notice(visit) == "authsvc does not answer"
    assert "Hello, " in await visit.page()


async def test_no_token_leaves_the_server(visit: Visit) -> None:
    await visit.log_in()
    for button in ("introspect", "ask-userinfo", "refresh", "revoke", "log-out"):
        await press(visit, button)
        await visit.page()
    assert len(visit.seen) > 20
    for answer in visit.seen:
        told = answer.text + str(answer.headers.raw)
        assert not any(secret in told for secret in (ACCESS, REFRESH, SECRET, "the-code"))


@pytest.mark.parametrize(
    ("told", "name"),
    [({}, "Ada"), ({"name": None, "email": "ada@b.example"}, "ada@b.example"), ({"name": None}, "usr_ada")],
)
async def test_a_user_is_called_by_what_is_told(visit: Visit, told: dict[str, Any], name: str) -> None:
    visit.liar.user = told
    await visit.log_in()
    assert find(await visit.page(), "span", id="who")[0].text == name


async def test_names_are_text(visit: Visit) -> None:
    visit.liar.user = {"name": "<script>alert(1)</script>", "email": '"><img src=x>'}
    await visit.log_in()
    page = await visit.page()
    assert not find(page, "script")
    assert not find(page, "img")
    asked = await visit.depart()
    page = (await visit.arrive(state=asked["state"], error="<script>", error_description="<img src=x>")).text
    assert "&lt;script&gt;" in page
    assert not find(page, "script")
    assert not find(page, "img")


async def test_every_answer_is_guarded(visit: Visit) -> None:
    await visit.log_in()
    await visit.page()
    await visit.arrive(state="made-up")
    await visit.http.get("/demo.css")
    for answer in visit.seen:
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["localhost:8090", "evil.example:8090", "127.0.0.1", ""])
async def test_there_is_one_address(visit: Visit, host: str) -> None:
    """Cookies belong to one name; and a stranger's name that points here sees nothing (DNS rebinding)."""
    await visit.log_in()
    answer = await visit.http.get("/", headers={"host": host})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{HOME}/")

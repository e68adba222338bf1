"""/oauth2/authorize: who is answered where, and what has to happen before (AUZ-*, OID-*, PKC-02, ISS-01)."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from authsvc.models import ApplicationType, Client, ConsentPolicy, GrantType
from tests.house_of import ISSUER, House
from tests.web.answers import check_not_stored
from tests.web.browsing import CALLBACK, CHALLENGE, EMAIL, Browser, a_client, answer_of, asking
from tests.web.markup import find

AUTHORIZE = "/oauth2/authorize"


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


def is_login(page: Any) -> bool:
    return bool(page.status_code == 200 and find(page.text, "button", id="login-submit"))


def is_consent(page: Any) -> bool:
    return bool(page.status_code == 200 and find(page.text, "button", id="consent-allow"))


async def test_from_a_request_to_a_code(browser: Browser) -> None:
    client = await a_client(browser.house)
    page = await browser.authorize(client)
    assert is_login(page)
    page = await browser.log_in(page)
    assert is_consent(page)
    answer = await browser.send(page, {"answer": "allow"})
    check_not_stored(answer)
    told = answer_of(answer)
    assert answer.headers["location"].startswith(CALLBACK + "?code=")
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("the state", ISSUER)  # AUZ-05, ISS-01
    assert len(told["code"]) >= 43  # AUZ-12
    stored = await browser.house.sql("SELECT string_agg(c::text, '') FROM auth.authorization_codes c")
    assert told["code"] not in stored
    # Now it is known who this is, and what is allowed.
    again = answer_of(await browser.authorize(client))
    assert again["code"] != told["code"]


async def test_post_does_what_get_does(browser: Browser, client: Client) -> None:  # AUZ-01
    page = await browser.follow(await browser.http.post(AUTHORIZE, data=asking(client)))
    assert is_login(page)
    await browser.code(client)
    assert "code" in answer_of(await browser.http.post(AUTHORIZE, data=asking(client)))


async def test_a_post_from_another_site_comes_without_cookies_and_finds_its_session_all_the_same(
    browser: Browser, client: Client
) -> None:
    await browser.code(client)
    stranger = Browser(browser.house)
    answer = await stranger.http.post(AUTHORIZE, data=asking(client, prompt="none"))
    assert answer.headers["location"].startswith("/login?request=")
    assert "code" in answer_of(await browser.http.get(answer.headers["location"]))
    assert answer_of(await stranger.http.get(answer.headers["location"]))["error"] == "login_required"


@pytest.mark.parametrize("path", [AUTHORIZE, "/login", "/consent"])
async def test_who_only_looks_at_a_link_leaves_no_code_behind(browser: Browser, client: Client, path: str) -> None:
    await browser.code(client)
    waiting = await Browser(browser.house).http.get(AUTHORIZE, params=asking(client))
    query = asking(client) if path == AUTHORIZE else dict(parse_qsl(urlsplit(waiting.headers["location"]).query))
    codes = "SELECT count(*) FROM auth.authorization_codes"
    before = await browser.house.sql(codes)
    answer = await browser.http.head(path, params=query)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "GET, POST", b"")
    assert await browser.house.sql(codes) == before
    assert "code" in answer_of(await browser.http.get(path, params=query)), "what a look would have given"


async def test_the_built_in_client_sends_nobody_here(browser: Browser) -> None:
    answer = await browser.http.get(AUTHORIZE, params={"client_id": "first-party", "response_type": "code"})
    assert answer.status_code == 400
    assert "location" not in answer.headers


# --- Where nobody is sent anywhere (AUZ-02)

REPEATED = [("client_id", "x"), ("redirect_uri", CALLBACK)]
NOWHERE: dict[str, dict[str, str | None]] = {
    "no client": {"client_id": None},
    "an unknown client": {"client_id": "cli_nobody"},
    "a client that cannot be one": {"client_id": "ü" * 500},
    "no redirect URI": {"redirect_uri": None},
    "an empty one": {"redirect_uri": ""},
    "a foreign one": {"redirect_uri": "https://evil.example/cb"},
    "a slash too many": {"redirect_uri": CALLBACK + "/"},
    "another case": {"redirect_uri": CALLBACK.upper()},
    "a query": {"redirect_uri": CALLBACK + "?x=1"},
    "a fragment": {"redirect_uri": CALLBACK + "#x"},
    "a user in it": {"redirect_uri": "https://client.example@evil.example/cb"},
    "a script": {"redirect_uri": "javascript:alert(1)"},
    "a line feed": {"redirect_uri": CALLBACK + "\r\nx: y"},
    "without scheme": {"redirect_uri": "//client.example/cb"},
    "no text": {"redirect_uri": "\ud7ff\uffff"},
}


@pytest.mark.parametrize("case", NOWHERE)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_cannot_be_known_is_told_on_a_page(browser: Browser, client: Client, case: str, method: str) -> None:
    form = asking(client, **NOWHERE[case])
    if method == "GET":
        answer = await browser.http.get(AUTHORIZE, params=form)
    else:
        answer = await browser.http.post(AUTHORIZE, data=form)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "location" not in answer.headers
    assert "evil.example" not in answer.text
    check_not_stored(answer)
    assert answer.headers["x-frame-options"] == "DENY"  # AUZ-08


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_who_is_named_twice_is_told_on_a_page(browser: Browser, client: Client, name: str) -> None:
    form = asking(client)
    query = urlencode([*form.items(), (name, form[name])])
    answer = await browser.http.get(f"{AUTHORIZE}?{query}")
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "query",
    ["", "%00", "client_id=%ff", "&".join(f"a{number}=" for number in range(100)), "request=x", "=&=&;", "request=%"],
)
async def test_garbage_is_a_page(browser: Browser, query: str) -> None:
    for answer in (
        await browser.http.get(f"{AUTHORIZE}?{query}"),
        await browser.http.post(
            AUTHORIZE, content=query.encode(), headers={"content-type": "application/x-www-form-urlencoded"}
        ),
        await browser.http.post(AUTHORIZE, json={"client_id": "x"}),
        await browser.http.get(f"/login?{query or 'request=x'}"),
        await browser.http.get(f"/consent?{query}"),
        await browser.http.put(AUTHORIZE),
    ):
        assert answer.status_code in {400, 405, 415}
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "location" not in answer.headers


async def test_a_client_that_is_disabled_gets_nothing(browser: Browser) -> None:
    client = await a_client(browser.house)
    page = await browser.authorize(client)
    await browser.house.flows.clients.disable(client.client_id)
    browser.house.clock.advance(2)
    answer = await browser.log_in(page)
    assert answer.status_code == 400
    assert "location" not in answer.headers


# --- What is told to the client (AUZ-03)

TOLD: dict[str, tuple[dict[str, str | None], str]] = {
    "no response_type": ({"response_type": None}, "invalid_request"),  # AUZ-04
    "implicit": ({"response_type": "token"}, "unsupported_response_type"),  # AUZ-07
    "hybrid": ({"response_type": "code id_token"}, "unsupported_response_type"),
    "a scope it has not": ({"scope": "openid admin"}, "invalid_scope"),
    "no challenge": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),  # PKC-02
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),  # PKC-03
    "no method": ({"code_challenge_method": None}, "invalid_request"),
    "a resource it may not have": ({"resource": "https://other.example"}, "invalid_target"),
    "none and more": ({"prompt": "none login"}, "invalid_request"),  # OID-02
    "nobody is there": ({"prompt": "none"}, "login_required"),  # OID-03
    "an age that is none": ({"max_age": "-1"}, "invalid_request"),
    "a response mode": ({"response_mode": "fragment"}, "invalid_request"),  # OID-11
    "a request object": ({"request": "x.y.z"}, "request_not_supported"),
    "a request elsewhere": ({"request_uri": "https://client.example/r"}, "request_uri_not_supported"),
    "a registration": ({"registration": "{}"}, "registration_not_supported"),  # OID-10
    "claims that are none": ({"claims": "["}, "invalid_request"),
    "an assurance that is not offered": (
        {"claims": '{"id_token": {"acr": {"essential": true, "values": ["gold"]}}}'},
        "unmet_authentication_requirements",  # OID-07
    ),
    "a hint that is none": ({"prompt": "none", "id_token_hint": "x.y.z"}, "login_required"),
}


@pytest.mark.parametrize("case", TOLD)
async def test_what_else_is_wrong_is_told_to_the_client(browser: Browser, client: Client, case: str) -> None:
    changes, error = TOLD[case]
    answer = await browser.authorize(client, **changes)
    told = answer_of(answer)
    assert answer.headers["location"].startswith(CALLBACK + "?")
    assert told["error"] == error
    assert (told["state"], told["iss"]) == ("the state", ISSUER)
    assert "code" not in told
    check_not_stored(answer)


async def test_a_client_without_the_grant_is_told_so(browser: Browser) -> None:  # AUZ-04
    client = await browser.house.client(redirect_uris=(CALLBACK,))
    assert answer_of(await browser.authorize(client, scope=None))["error"] == "unauthorized_client"


@pytest.mark.parametrize("state", ["a b&c=d%+/~", "x" * 1024, "'\"<script>alert(1)</script>"])
async def test_state_comes_back_byte_for_byte(browser: Browser, client: Client, state: str) -> None:  # AUZ-05
    assert answer_of(await browser.authorize(client, state=state, prompt="none"))["state"] == state
    await browser.code(client)
    assert answer_of(await browser.authorize(client, state=state))["state"] == state


async def test_a_state_that_cannot_be_told_is_an_error_without_it(browser: Browser, client: Client) -> None:
    told = answer_of(await browser.authorize(client, state="x" * 1025))
    assert told["error"] == "invalid_request"
    assert "state" not in told


async def test_a_redirect_uri_keeps_its_own_query(browser: Browser) -> None:  # AUZ-06
    client = await a_client(browser.house, redirect_uris=(CALLBACK + "?x=1",), consent=ConsentPolicy.NEVER)
    await browser.code(client)
    answer = await browser.authorize(client)
    assert answer.headers["location"].startswith(CALLBACK + "?x=1&code=")


async def test_wishes_that_are_not_understood_are_no_errors(browser: Browser, client: Client) -> None:  # OID-06
    wishes = {
        "display": "wap", "ui_locales": "se xx-", "claims_locales": "se", "acr_values": "1 2", "login_hint": "buffy@x",
        "extra": "foobar",
    }  # fmt: skip
    page = await browser.authorize(client, **wishes)
    assert is_login(page)
    assert find(page.text, "input", id="username")[0].attributes["value"] == "buffy@x"


async def test_the_page_speaks_the_language_that_the_client_asks_for(browser: Browser, client: Client) -> None:
    page = await browser.authorize(client, ui_locales="de")
    assert find(page.text, "html")[0].attributes["lang"] == "de"


# --- form_post (OID-11)


async def test_an_answer_may_be_posted(browser: Browser, client: Client) -> None:
    await browser.code(client)
    for changes, member in (({}, "code"), ({"scope": "admin"}, "error")):
        page = await browser.authorize(client, response_mode="form_post", **changes)
        assert page.status_code == 200
        (form,) = find(page.text, "form")
        assert form.attributes["action"] == CALLBACK
        fields = {each.attributes["name"]: each.attributes["value"] for each in find(page.text, "input")}
        assert member in fields
        assert (fields["state"], fields["iss"]) == ("the state", ISSUER)
        check_not_stored(page)


# --- Who is there (OID-03 to OID-05)


async def test_a_silent_request_is_answered_at_once(browser: Browser) -> None:
    client = await a_client(browser.house)
    assert answer_of(await browser.authorize(client, prompt="none"))["error"] == "login_required"
    await browser.log_in(await browser.authorize(client))
    assert answer_of(await browser.authorize(client, prompt="none"))["error"] == "consent_required"
    await browser.code(client)
    assert "code" in answer_of(await browser.authorize(client, prompt="none"))
    more = await browser.authorize(client, prompt="none", scope="openid read email")
    assert answer_of(more)["error"] == "consent_required"


async def test_a_fresh_login_is_asked_for_once(browser: Browser, client: Client) -> None:  # OID-04
    await browser.code(client)
    for changes in ({"prompt": "login"}, {"max_age": "0"}, {"prompt": "select_account"}):
        browser.house.clock.advance(1)
        page = await browser.authorize(client, **changes)
        assert is_login(page)
        browser.house.clock.advance(1)
        assert "code" in answer_of(await browser.log_in(page))
    assert "code" in answer_of(await browser.authorize(client, max_age="10000"))


async def test_who_is_logged_in_is_asked_to_confirm_it(browser: Browser, client: Client) -> None:
    await browser.code(client)
    browser.house.clock.advance(1)
    page = await browser.authorize(client, prompt="login")
    assert find(page.text, "input", id="username")[0].attributes["value"] == EMAIL
    page = await browser.authorize(client, prompt="select_account")
    assert not find(page.text, "input", id="username")[0].attributes["value"]


async def test_a_hint_at_somebody_else_is_heeded(browser: Browser, client: Client) -> None:  # OID-05
    tokens = (await browser.redeem(client, await browser.code(client))).json()
    hint = tokens["id_token"]
    assert "code" in answer_of(await browser.authorize(client, prompt="none", id_token_hint=hint))
    other = Browser(browser.house)
    await other.code(client, email="bob@example.com")
    silent = await other.authorize(client, prompt="none", id_token_hint=hint)
    assert answer_of(silent)["error"] == "login_required"
    other.house.clock.advance(86_400)  # it may have expired
    page = await other.authorize(client, id_token_hint=hint)
    assert is_login(page)
    other.house.clock.advance(1)
    assert answer_of(await other.log_in(page, "bob@example.com"))["error"] == "login_required"
    other.house.clock.advance(1)
    page = await other.authorize(client, id_token_hint=hint)
    assert "code" in answer_of(await other.log_in(page, EMAIL))


async def test_a_hint_of_another_client_says_nothing(browser: Browser, client: Client) -> None:
    another = await a_client(browser.house)
    hint = (await browser.redeem(another, await browser.code(another))).json()["id_token"]
    assert answer_of(await browser.authorize(client, prompt="none", id_token_hint=hint))["error"] == "login_required"


# --- Consent


@pytest.mark.parametrize(("policy", "times"), [("always", 2), ("remember", 1), ("never", 0)])
async def test_consent_is_asked_for_as_the_operator_wants_it(browser: Browser, policy: str, times: int) -> None:
    client = await a_client(browser.house, consent=ConsentPolicy(policy))
    page = await browser.log_in(await browser.authorize(client))
    asked = 0
    for _ in range(2):
        if is_consent(page):
            asked += 1
            page = await browser.submit(page, answer="allow")
        assert "code" in answer_of(page)
        page = await browser.authorize(client)
    assert asked == times


async def test_an_app_that_may_be_anybody_asks_each_time(browser: Browser) -> None:  # AUZ-14
    client = await a_client(
        browser.house, public=True, application_type=ApplicationType.NATIVE, redirect_uris=("com.example.app:/cb",),
    )  # fmt: skip
    page = await browser.log_in(await browser.authorize(client))
    for _ in range(2):
        assert is_consent(page)
        answer = await browser.send(page, {"answer": "allow"})
        assert answer.headers["location"].startswith("com.example.app:/cb?code=")
        page = await browser.authorize(client)
    answer = await browser.http.get(AUTHORIZE, params=asking(client, prompt="none"))
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["consent_required"]


async def test_an_app_on_the_loopback_is_answered_at_its_port_of_the_day(browser: Browser) -> None:  # RED-02
    client = await a_client(
        browser.house, public=True, application_type=ApplicationType.NATIVE, redirect_uris=("http://127.0.0.1/cb",)
    )
    uri = "http://127.0.0.1:51004/cb"
    page = await browser.log_in(await browser.authorize(client, redirect_uri=uri))
    answer = await browser.send(page, {"answer": "allow"})
    assert answer.headers["location"].startswith(uri + "?code=")
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    assert (await browser.redeem(client, code, redirect_uri=uri)).status_code == 200


async def test_a_client_may_do_without_a_challenge_if_the_operator_says_so(browser: Browser) -> None:
    client = await a_client(browser.house, require_pkce=False, grant_types=(GrantType.AUTHORIZATION_CODE,))
    code = await browser.code(client, code_challenge=None, code_challenge_method=None, nonce=None)
    assert (await browser.redeem(client, code, code_verifier=None, redirect_uri=None)).status_code == 400
    tokens = await browser.redeem(client, code, code_verifier=None)
    assert tokens.status_code == 200
    code = await browser.code(client, code_challenge=CHALLENGE, code_challenge_method="S256")
    assert (await browser.redeem(client, code, code_verifier=None)).json()["error"] == "invalid_grant"  # PKC-06


# --- What is counted


async def test_every_end_of_a_request_is_counted_once(browser: Browser) -> None:
    def counted(outcome: str) -> float:
        return float(browser.house.metrics.authorization_requests[outcome]._value.get())

    client = await a_client(browser.house)

    outcomes = ("issued", "access_denied", "login_required", "invalid_scope", "no_recipient", "expired_request")
    before = {outcome: counted(outcome) for outcome in outcomes}
    await browser.authorize(client, prompt="none")
    await browser.authorize(client, scope="admin")
    await browser.authorize(client, redirect_uri="https://evil.example/cb")
    await browser.http.get("/login", params={"request": "none of ours"})
    page = await browser.authorize(client)
    assert "code" in answer_of(await browser.submit(await browser.log_in(page), answer="allow"))
    assert "code" in answer_of(await browser.authorize(client))
    page = await browser.authorize(client, prompt="consent")
    assert answer_of(await browser.submit(page, answer="deny"))["error"] == "access_denied"
    browser.house.clock.advance(3600)
    await browser.send(page, {"answer": "allow"})
    after = {outcome: counted(outcome) - before[outcome] for outcome in outcomes}
    assert after == {
        "issued": 2, "access_denied": 1, "login_required": 1, "invalid_scope": 1, "no_recipient": 2,
        "expired_request": 1,
    }  # fmt: skip

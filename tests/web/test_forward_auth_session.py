"""/oauth2/forward-auth by the cookie of an app: may this request pass? (SES-04, CSR-01, ATK-61, ATK-62, ATK-67)"""

from collections.abc import AsyncIterator

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import CHEAP_HASHES, House, bearer, database_away, house_on, settings_for
from tests.web.answers import check_not_stored
from tests.web.test_app_session import APP, NEIGHBOUR, OURS, SESSION, STRANGERS, App, logged_in
from tests.web.test_forward_auth import GATE, INVALID, check_fault_of_the_gateway, check_refused, said

ORDERS = "https://orders.example"
NOBODY = 'Bearer realm="authsvc"'


@pytest.fixture(scope="module")
async def shared(shared_database_url: str) -> AsyncIterator[House]:
    settings = settings_for(shared_database_url, app_origins=(APP,), default_audience=ORDERS, **CHEAP_HASHES)
    async with house_on(settings) as house:
        await house.user()
        yield house


async def a_gateway(house: House, serves: str = ORDERS) -> Client:
    return await house.client(serves=(serves,))


async def ask(app: App, gateway: Client, *, says: str | None = "allow", **headers: str) -> httpx2.Response:
    own = said(app.house, gateway, audience=ORDERS, scope="email", session=says)
    return await app.ask("GET", GATE, **{"x-csrf-token": app.csrf, **own, **headers})


@pytest.mark.parametrize(
    "page", [OURS, NEIGHBOUR, {"sec-fetch-site": "same-origin"}], ids=["our own", "a neighbour", "a GET"]
)
async def test_an_app_is_let_through_by_its_cookie_until_it_logs_out(shared: House, page: dict[str, str]) -> None:
    app, gateway = await logged_in(shared), await a_gateway(shared)
    sub = (await app.ask("GET", SESSION)).json()["user"]["sub"]
    csrf, app.said = app.csrf, page
    answer = await ask(app, gateway)
    assert (answer.status_code, answer.content) == (204, b"")
    assert {name: value for name, value in answer.headers.items() if name.startswith("auth-")} == {
        "auth-subject": sub,
        "auth-client": "first-party",
        "auth-scope": "profile email",
    }  # and nothing that could be kept
    check_not_stored(answer)
    app.said, app.csrf = OURS, csrf
    await app.log_out()
    app.said = page
    check_refused(await ask(app, gateway), 401, NOBODY)


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_nobody_else_is_let_through_by_it(shared: House, stranger: str) -> None:  # ATK-61
    app, gateway = await logged_in(shared), await a_gateway(shared)
    app.said = STRANGERS[stranger]
    check_refused(await ask(app, gateway), 403, NOBODY)


async def test_a_request_brings_the_token_of_its_session_whatever_its_method(shared: House) -> None:  # ATK-62
    app, gateway = await logged_in(shared), await a_gateway(shared)
    other = await logged_in(shared)
    for token in ("", "x", other.csrf):
        check_refused(await ask(app, gateway, **{"x-csrf-token": token}), 403, NOBODY)
    assert (await ask(app, gateway)).status_code == 204


async def test_a_gateway_that_does_not_say_so_lets_nobody_through_by_a_cookie(shared: House) -> None:
    app, gateway = await logged_in(shared), await a_gateway(shared)
    check_refused(await ask(app, gateway, says=None), 401, NOBODY)
    for says in ("", "yes", "allow, allow"):
        check_fault_of_the_gateway(await ask(app, gateway, says=says), "invalid_request")


async def test_a_cookie_and_an_access_token_do_not_come_together(shared: House) -> None:  # ATK-67
    app, gateway = await logged_in(shared), await a_gateway(shared)
    token = bearer(await shared.log_in())
    for brought in (token, bearer("x"), {"authorization": "Basic eDp5"}):
        check_refused(await ask(app, gateway, **brought), 401, INVALID)
    # A token alone passes as it always has, and so it does beside cookies that are none of ours.
    app.cookie = ""
    assert (await ask(app, gateway, **token)).status_code == 204


async def test_a_session_is_worth_what_the_gateway_may_see_and_no_more(shared: House) -> None:  # INT-06
    app = await logged_in(shared)
    check_refused(await ask(app, await a_gateway(shared, "https://billing.example")), 401, INVALID)
    gateway = await a_gateway(shared)
    other = {"gateway-audience": "https://billing.example"}
    check_refused(await ask(app, gateway, **other), 401, INVALID)
    answer = await ask(app, gateway, **{"gateway-scope": "admin"})
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    for cookie in ("", "A" * 43, "x"):
        app.cookie = cookie
        check_refused(await ask(app, gateway), 401, NOBODY)


async def test_who_is_no_gateway_learns_nothing_of_a_session(shared: House) -> None:
    app, gateway = await logged_in(shared), await a_gateway(shared)
    app.said = STRANGERS["another site"]
    nobody = {"gateway-authorization": "Basic eDp5"}
    check_fault_of_the_gateway(await ask(app, gateway, **nobody), "invalid_client")


async def test_calls_through_a_gateway_keep_a_session_in_use_and_the_refused_do_not(database_url: str) -> None:
    settings = settings_for(database_url, default_audience=ORDERS, **CHEAP_HASHES)
    async with house_on(settings) as house:
        await house.user()
        app, gateway = await logged_in(house), await a_gateway(house)
        idle_until = {(await app.ask("GET", SESSION)).json()["idle_until"]}
        for token, status in (("x", 403), (app.csrf, 204)):
            house.clock.advance(3600)
            assert (await ask(app, gateway, **{"x-csrf-token": token})).status_code == status
            idle_until.add((await app.ask("GET", SESSION)).json()["idle_until"])
            assert len(idle_until) == (1 if status == 403 else 2)
        async with database_away(house.settings.database_url):  # C4
            assert (await ask(app, gateway)).status_code == 503
        assert (await ask(app, gateway)).status_code == 204

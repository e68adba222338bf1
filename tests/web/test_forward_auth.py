"""/oauth2/forward-auth: may this request pass? (INT-05, INT-06, INT-13, INT-14, ATK-24, ATK-29, ATK-66, ATK-99)"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from authsvc.embedded import Stores
from authsvc.entropy import SystemEntropy
from authsvc.models import Client, IntrospectionRight
from authsvc.web.forward_auth import AtOnce
from authsvc.web.middleware import Observer
from tests.house_of import CHEAP_HASHES, PASSWORD, House, bearer, database_away, house_on, settings_for
from tests.stores import fresh_database
from tests.web.answers import check_equal, check_not_stored
from tests.web.asked import Asked, Lines
from tests.web.raw import raw_call

GATE = "/oauth2/forward-auth"
ORDERS = "https://orders.example/api"
BILLING = "https://billing.example/api"
OWN, AUDIENCE, ANY = IntrospectionRight.OWN, IntrospectionRight.AUDIENCE, IntrospectionRight.ANY


@pytest.fixture(scope="module", params=[True, False], ids=["at once", "with a task"])
def offers(request: pytest.FixtureRequest) -> bool:
    """The same whichever way it is answered."""
    return bool(request.param)


@pytest.fixture(scope="module")
def own_database_url(stores: Stores, migrated_template: str, offers: bool) -> Iterator[str]:
    with fresh_database(stores, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
async def shared(own_database_url: str, offers: bool) -> AsyncIterator[House]:
    async with house_on(settings_for(own_database_url, **CHEAP_HASHES), offers=offers) as house:
        yield house


def proof(house: House, gateway: Client) -> str:
    return "Basic " + b64encode(":".join(house.basic(gateway)).encode()).decode()


def said(house: House, gateway: Client, **more: str | None) -> dict[str, str]:
    """What a gateway says of itself, with these changes; None leaves out."""
    headers = {"authorization": proof(house, gateway), "audience": ORDERS} | more
    return {f"gateway-{name}": value for name, value in headers.items() if value is not None}


async def ask(house: House, gateway: Client, token: str | None, **more: str | None) -> httpx2.Response:
    headers = said(house, gateway, **more) | ({} if token is None else bearer(token))
    return await house.http.get(GATE, headers=headers)


async def a_gateway(house: House) -> Client:
    return await house.client(serves=(ORDERS,))


async def a_service(house: House, **more: Any) -> Client:
    return await house.client(**({"audiences": (ORDERS,), "scope": "read write"} | more))


def check_refused(answer: httpx2.Response, status: int, challenge: str) -> None:
    """BEA-*: by the words of RFC 6750, and with nothing for whoever is behind the gateway."""
    assert (answer.status_code, answer.headers["www-authenticate"]) == (status, challenge)
    assert not [name for name in answer.headers if name.startswith("auth-")]
    check_not_stored(answer)


INVALID = 'Bearer realm="authsvc", error="invalid_token", error_description="the access token is not valid here"'


def check_fault_of_the_gateway(answer: httpx2.Response, code: str) -> None:
    """Nothing that a gateway would pass on, so that nobody takes it for the end of their login."""
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert "www-authenticate" not in answer.headers
    check_not_stored(answer)


# --- Who is let through


async def test_a_live_token_is_let_through_and_it_is_told_whose_it_is(shared: House) -> None:
    gateway, service = await a_gateway(shared), await a_service(shared)
    answer = await ask(shared, gateway, await shared.token(service), scope="read")
    assert (answer.status_code, answer.content) == (204, b"")
    assert {name: value for name, value in answer.headers.items() if name.startswith("auth-")} == {
        "auth-subject": service.client_id,
        "auth-client": service.client_id,
        "auth-scope": "read write",
    }
    assert "www-authenticate" not in answer.headers
    check_not_stored(answer)


async def test_the_token_of_a_user_tells_user_and_client(shared: House) -> None:
    sub = await shared.user("through@example.com")
    gateway = await shared.client(introspection="any")
    token = await shared.log_in("through@example.com")
    answer = await ask(shared, gateway, token, audience=shared.settings.resolved_default_audience)
    assert answer.status_code == 204
    told = [answer.headers[f"auth-{name}"] for name in ("subject", "client", "scope")]
    assert told == [sub, "first-party", "profile email"]


async def test_that_there_is_no_scope_is_said_too(shared: House) -> None:
    """What is not said would be left as the user sent it, by gateways that copy headers."""
    gateway, service = await a_gateway(shared), await a_service(shared, scope="")
    answer = await ask(shared, gateway, await shared.token(service))
    assert (answer.status_code, answer.headers["auth-scope"]) == (204, "")


async def test_a_gateway_that_knows_no_yes_but_200_gets_it(shared: House) -> None:
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    answer = await ask(shared, gateway, token, success="200")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "0", b"")
    assert answer.headers["auth-scope"] == "read write"


@pytest.mark.parametrize(
    ("right", "serves", "is_its_own", "passes"),
    [
        (OWN, (ORDERS,), True, True),
        (OWN, (ORDERS,), False, False),
        (AUDIENCE, (), True, True),
        (AUDIENCE, (), False, False),
        (AUDIENCE, (ORDERS,), False, True),
        (AUDIENCE, (BILLING,), False, False),
        (ANY, (), False, True),
    ],
)
async def test_what_a_gateway_may_not_see_it_does_not_let_through(
    shared: House, right: IntrospectionRight, serves: tuple[str, ...], is_its_own: bool, passes: bool
) -> None:  # INT-06
    gateway = await a_service(shared, introspection=right, serves=serves)
    token = await shared.token(gateway if is_its_own else await a_service(shared))
    for _ in range(2):
        answer = await ask(shared, gateway, token)
        if passes:
            assert answer.status_code == 204
        else:
            check_refused(answer, 401, INVALID)


# --- Who is not


async def test_who_brings_no_token_is_asked_for_one(shared: House) -> None:
    gateway = await a_gateway(shared)
    headers = said(shared, gateway)
    for more in ({}, {"authorization": "Basic eDp5"}, {"authorization": "DPoP abc"}, {"cookie": "access_token=x"}):
        check_refused(await shared.http.get(GATE, headers=headers | more), 401, 'Bearer realm="authsvc"')


async def test_nobody_can_tell_why_a_token_is_not_let_through(house: House) -> None:  # ATK-24, ATK-29
    gateway, service = await a_gateway(house), await a_service(house)
    both = await house.client(serves=(ORDERS, BILLING))
    gone = await a_service(house)
    sub = await house.user()
    login = await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    expired = await house.token(service)
    house.clock.advance(house.settings.access_token_seconds)
    tokens = {
        "garbage": "garbage",
        "nothing": "",
        "well-formed garbage": "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
        "not ASCII": "\xfc",
        "expired": expired,
        "revoked": await house.token(service),
        "of a client that is gone": await house.token(gone),
        "for another audience": await house.token(await a_service(house, audiences=(BILLING,))),
        "of a user who is gone": login.json()["access_token"],
        "a refresh token": login.json()["refresh_token"],
    }
    await house.http.post("/oauth2/revoke", data={"token": tokens["revoked"]}, auth=house.basic(service))
    await house.flows.clients.disable(gone.client_id)
    await house.flows.users.delete(sub)
    headers = [(name.encode(), value.encode()) for name, value in said(house, gateway).items()]
    answers = {
        name: await house.http.get(GATE, headers=[*headers, (b"authorization", f"Bearer {token}".encode("latin-1"))])
        for name, token in tokens.items()
    }
    live = await house.token(service)
    two = [*headers, *[(b"authorization", f"Bearer {live}".encode())] * 2]
    answers["two tokens"] = await house.http.get(GATE, headers=two)
    answers["one that it may see, but did not ask for"] = await ask(house, both, live, audience=BILLING)
    check_refused(answers["garbage"], 401, INVALID)
    check_equal(answers)
    assert (await ask(house, gateway, live)).status_code == 204


@pytest.mark.parametrize("needs", ["admin", "read admin", "read write admin", "READ"])
async def test_a_live_token_without_the_scope_is_refused_and_told_which_it_needs(shared: House, needs: str) -> None:
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    check_refused(
        await ask(shared, gateway, token, scope=needs),
        403,
        'Bearer realm="authsvc", error="insufficient_scope", error_description="the access token does not allow this", '
        f'scope="{needs}"',
    )


async def test_a_dead_token_is_told_of_no_scope(shared: House) -> None:
    gateway, service = await a_gateway(shared), await a_service(shared)
    token = await shared.token(service)
    await shared.http.post("/oauth2/revoke", data={"token": token}, auth=shared.basic(service))
    check_refused(await ask(shared, gateway, token, scope="admin"), 401, INVALID)


# --- What the gateway itself does wrong


async def test_a_gateway_that_is_not_known_lets_nobody_through_and_logs_nobody_out(shared: House) -> None:  # ATK-23
    gateway, service = await a_gateway(shared), await a_service(shared)
    public = await shared.client(public=True, serves=(ORDERS,))
    disabled = await a_gateway(shared)
    await shared.flows.clients.disable(disabled.client_id)
    live = await shared.token(service)
    wrong = "Basic " + b64encode(f"{gateway.client_id}:as_wrong".encode()).decode()
    named = "Basic " + b64encode(f"{public.client_id}:".encode()).decode()
    credentials = [None, "", "Basic", "Basic !", wrong, named, proof(shared, disabled), f"Bearer {live}", "\xfc"]
    answers = {}
    for number, each in enumerate(credentials):
        for token in (live, "garbage", None):
            headers: Any = {"gateway-audience": ORDERS} | ({} if token is None else bearer(token))
            if each is not None:
                headers["gateway-authorization"] = each.encode("latin-1")
            answers[f"{number} {token and token[:7]}"] = await shared.http.get(GATE, headers=headers)
    check_fault_of_the_gateway(answers["0 garbage"], "invalid_client")
    check_equal(answers)


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": None},
        {"audience": ""},
        {"audience": "orders"},
        {"audience": f"{ORDERS}#x"},
        {"scope": 'read"'},
        {"scope": "read  write"},
        {"success": "401"},
        {"success": "x"},
    ],
    ids=str,
)
async def test_a_gateway_that_does_not_say_what_it_wants_lets_nobody_through(
    shared: House, changes: dict[str, str | None]
) -> None:
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    check_fault_of_the_gateway(await ask(shared, gateway, token, **changes), "invalid_request")


@pytest.mark.parametrize("name", ["authorization", "audience", "scope", "success"])
async def test_who_says_something_beside_the_gateway_gets_nowhere(shared: House, name: str) -> None:
    """A user who is a client too, behind a gateway that only adds its headers and does not set them."""
    gateway, theirs = await a_gateway(shared), await shared.client(introspection="any")
    token = await shared.token(await a_service(shared))
    headers = said(shared, gateway, scope="read", success="204")
    also = said(shared, theirs, audience=BILLING, scope="write", success="200")[f"gateway-{name}"]
    both = [*headers.items(), *bearer(token).items()]
    for mixed in ([*both, (f"gateway-{name}", also)], [(f"gateway-{name}", also), *both]):
        check_fault_of_the_gateway(await shared.http.get(GATE, headers=mixed), "invalid_request")


async def test_a_gateway_that_asks_too_often_is_told_to_wait(house: House) -> None:  # INT-14
    async with house_on(settings_for(house.settings.database_url, introspections_per_minute=3)) as strict:
        gateway, service = await a_gateway(strict), await a_service(strict)
        token = await strict.token(service)
        answers = [await ask(strict, gateway, token) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [204, 204, 204, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "www-authenticate" not in answers[-1].headers


# --- How it is asked


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "PROPFIND"])
async def test_it_is_asked_with_the_method_and_for_the_path_of_what_is_guarded(shared: House, method: str) -> None:
    """Envoy does: it knows no other method, and, before version 1.38, no path without the one behind it."""
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    headers = said(shared, gateway) | {"content-length": "0"}
    for path in (GATE, f"{GATE}?/orders/1", f"{GATE}?/orders?access_token=x&gateway-audience={BILLING}"):
        answer = await shared.http.request(method, path, headers=headers | bearer(token))
        assert answer.status_code == 204
        check_refused(await shared.http.request(method, path, headers=headers | bearer("x")), 401, INVALID)


@pytest.mark.parametrize("path", ["/", "/x", "//", "/%2e%2e/forward-auth", "%0A", ";x", "%3Fx"])
async def test_below_and_beside_it_there_is_nothing(shared: House, path: str) -> None:  # ATK-99
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    headers = [(name.encode(), value.encode()) for name, value in (said(shared, gateway) | bearer(token)).items()]
    assert (await raw_call(shared, "GET", GATE + path, headers=headers)).status_code == 404


# --- What is certain


async def test_once_revoked_the_very_next_request_is_refused_on_every_worker(house: House) -> None:  # INT-13, ATK-30
    gateway, service = await a_gateway(house), await a_service(house)
    async with house_on(house.settings, house.clock) as other:
        other.credentials = house.credentials
        for _ in range(10):
            token = await house.token(service)
            assert {(await ask(each, gateway, token)).status_code for each in (house, other)} == {204}
            await house.http.post("/oauth2/revoke", data={"token": token}, auth=house.basic(service))
            assert {(await ask(each, gateway, token)).status_code for each in (house, other)} == {401}


async def test_without_the_store_it_is_told_that_nobody_knows_and_garbage_is_garbage(house: House) -> None:  # C4
    gateway, service = await a_gateway(house), await a_service(house)
    token = await house.token(service)
    assert (await ask(house, gateway, token)).status_code == 204
    async with database_away(house.settings.database_url):
        unknown = [await ask(house, gateway, token, scope=scope) for scope in (None, "admin")]
        check_refused(await ask(house, gateway, "garbage"), 401, INVALID)
    for answer in unknown:
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "www-authenticate" not in answer.headers
    counts: Any = house.metrics.introspections
    assert [counts[name]._value.get() for name in ("active", "inactive", "error")] == [1, 1, 2]
    in_progress: Any = house.metrics.requests_in_progress
    assert in_progress._value.get() == 0


# --- The short way


def short_way(house: House) -> AtOnce:
    return AtOnce(house.flows, Observer(house.metrics, SystemEntropy(), is_https=True), GATE)


def lines(house: House, gateway: Client, token: str, **more: str | None) -> Lines:
    headers = said(house, gateway, **more) | bearer(token)
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]


async def test_a_gateway_goes_the_long_way_once_and_from_then_on_the_short_one(shared: House) -> None:
    gateway, token = await a_gateway(shared), await shared.token(await a_service(shared))
    asked = lines(shared, gateway, token, scope="read")
    assert not short_way(shared)(Asked(asked, b""))
    assert (await ask(shared, gateway, token)).status_code == 204
    assert short_way(shared)(Asked(asked, b""))
    garbage = Asked(lines(shared, gateway, "garbage"), b"")
    assert short_way(shared)(garbage)
    await asyncio.sleep(0)  # what is known at once is told at the end of the turn
    ((status, told, _),) = garbage.told
    assert status == 401
    assert b"strict-transport-security: max-age=63072000; includeSubDomains\r\n" in told
    for unusual in (
        asked[:-1],
        asked[1:],
        [*asked, asked[0]],
        [*asked, asked[1]],
        [*asked, asked[-1]],
        lines(shared, gateway, "\xfc"),
        lines(shared, gateway, token, audience="orders"),
    ):
        assert not short_way(shared)(Asked(unusual, b""))


async def test_both_ways_say_the_same_in_the_same_words(house: House) -> None:
    async with house_on(house.settings, house.clock, offers=False) as long_way:
        long_way.credentials = house.credentials
        gateway, stranger, service = await a_gateway(house), await house.client(), await a_service(house)
        live, dead = await house.token(service), await house.token(service)
        await house.http.post("/oauth2/revoke", data={"token": dead}, auth=house.basic(service))
        for caller in (gateway, stranger):
            for token in (live, live, dead, dead, "garbage", f"{live}.x"):
                for more in ({}, {"scope": "admin"}, {"success": "200"}):
                    one, other = await ask(house, caller, token, **more), await ask(long_way, caller, token, **more)
                    check_equal({"at once": one, "with a task": other})

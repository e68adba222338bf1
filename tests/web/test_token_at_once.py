"""The short way of POST /oauth2/token: which requests take it, and that it gives what the long way gives."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from authsvc.entropy import SystemEntropy
from authsvc.models import Client
from authsvc.protocol import jwt
from authsvc.web.middleware import Observer
from authsvc.web.token import AtOnce
from tests.house_of import PASSWORD, House, database_away, house_on, settings_for
from tests.web.asked import Asked, basic, usual
from tests.web.forging import claims_of

TOKEN = "/oauth2/token"
ORDERS = "https://orders.example/api"
PLAIN = b"grant_type=client_credentials"


def short_way(house: House) -> AtOnce:
    return AtOnce(house.flows, Observer(house.metrics, SystemEntropy(), is_https=False), TOKEN)


async def ask(house: House, caller: Client, **form: str) -> httpx2.Response:
    return await house.http.post(TOKEN, data={"grant_type": "client_credentials"} | form, auth=house.basic(caller))


async def proven(house: House, **registration: Any) -> Client:
    """A client that has been here before."""
    caller = await house.client(**{"scope": "read write", "audiences": (ORDERS,)} | registration)
    assert (await ask(house, caller)).status_code == 200
    return caller


def counted(house: House, outcome: str, grant: str = "client_credentials") -> float:
    value: Any = house.metrics._token_requests[grant, outcome]
    return float(value._value.get())


async def answered(request: Asked) -> None:
    async with asyncio.timeout(30):
        while not request.told and not request.starts:
            await asyncio.sleep(0)


# --- Which requests


async def test_a_client_goes_the_long_way_once_and_from_then_on_the_short_one(shared: House) -> None:
    caller = await shared.client()
    request = Asked(usual(shared, caller), PLAIN)
    assert not short_way(shared)(request)
    await ask(shared, caller)
    assert short_way(shared)(request)
    await answered(request)
    ((status, lines, body),) = request.told
    assert status == 200
    assert b'"access_token"' in body
    assert b"cache-control: no-store\r\n" in lines
    assert b"vary: origin\r\n" in lines


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"authorization", None)], PLAIN),
        ([(b"authorization", b"Basic eA=="), (b"authorization", b"same")], PLAIN),
        ([(b"authorization", b"Basic eDp5")], PLAIN),
        ([(b"content-type", b"application/json")], PLAIN),
        ([(b"content-type", None)], PLAIN),
        ([(b"content-encoding", b"gzip")], PLAIN),
        ([(b"origin", b"https://ui.example")], PLAIN),
        ([], b""),
        ([], b"grant_type="),
        ([], b"grant_type=password"),
        ([], b"grant_type=refresh_token&refresh_token=x"),
        ([], PLAIN + b"&" + PLAIN),
        ([], PLAIN + b"&scope=admin"),
        ([], PLAIN + b"&scope=%22"),
        ([], PLAIN + b"&resource=x"),
        ([], PLAIN + b"&resource=https%3A%2F%2Fother.example"),
        ([], PLAIN + b"&resource=https%3A%2F%2Forders.example%2Fapi&resource=https%3A%2F%2Fb.example"),
        ([], PLAIN + b"&client_id="),
        ([], PLAIN + b"&client_secret=x"),
        ([], PLAIN + b"&x=%ff"),
        ([], PLAIN + b"&x=%00"),
    ],
)  # fmt: skip
async def test_what_is_unusual_or_wrong_goes_the_long_way(
    shared: House, headers: list[tuple[bytes, bytes | None]], body: bytes
) -> None:
    caller = await proven(shared)
    assert short_way(shared)(Asked(usual(shared, caller), PLAIN))
    replaced = {key for key, _ in headers}
    mixed = [each for each in usual(shared, caller) if each[0] not in replaced]
    put = [(key, basic(shared, caller) if value == b"same" else value) for key, value in headers if value is not None]
    request = Asked([*mixed, *put], body)
    assert not short_way(shared)(request)
    assert (request.told, request.starts) == ([], 0)


async def test_who_may_not_goes_the_long_way(house: House) -> None:
    await house.user()
    await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    other = await house.client(grant_types=())
    await house.http.post("/oauth2/introspect", data={"token": "x"}, auth=house.basic(other))  # has proven itself
    assert not short_way(house)(Asked(usual(house, other), PLAIN))
    caller = await proven(house)
    await house.flows.clients.disable(caller.client_id)
    house.clock.advance(2)
    assert not short_way(house)(Asked(usual(house, caller), PLAIN))
    assert (await ask(house, caller)).status_code == 401


async def test_who_has_asked_too_often_is_refused_once_on_the_long_way(house: House) -> None:
    async with house_on(settings_for(house.settings.database_url, client_requests_per_minute=3)) as strict:
        caller = await strict.client()
        assert [(await ask(strict, caller)).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        refused: Any = strict.metrics.rate_limited["token"]
        assert (refused._value.get(), counted(strict, "issued")) == (2, 3)


# --- What is given


@pytest.mark.parametrize(
    "form",
    [{}, {"scope": "read"}, {"resource": ORDERS}, {"scope": "write read", "resource": ORDERS, "unknown": "x y"}],
    ids=["nothing named", "a scope", "a resource", "all of it"],
)
async def test_both_ways_give_the_same(house: House, form: dict[str, str]) -> None:
    async with house_on(house.settings, house.clock, offers=False) as long_way:
        caller = await proven(house)
        long_way.credentials = house.credentials
        answers = [await ask(each, caller, **form) for each in (house, long_way)]
        for answer in answers:
            for name in ("x-request-id", "content-length"):
                del answer.headers[name]
        one, other = (answer.json() for answer in answers)
        assert sorted(answers[0].headers.raw) == sorted(answers[1].headers.raw)
        tokens = [each.pop("access_token") for each in (one, other)]
        assert one == other
        claims = [claims_of(token) for token in tokens]
        assert claims[0].pop("jti") != claims[1].pop("jti")
        assert claims[0] == claims[1]
        for token in tokens:
            assert (await house.introspect(caller, token))["active"]


async def test_a_token_minted_while_all_are_being_revoked_is_dead_and_one_after_it_lives(house: House) -> None:
    """C3: the numbers are those of a question that began after the request."""
    caller = await proven(house)
    before = (await ask(house, caller)).json()["access_token"]
    await house.flows.clients.revoke_tokens(caller.client_id)
    after = (await ask(house, caller)).json()["access_token"]
    await house.flows.revocation.revoke_everything()
    last = (await ask(house, caller)).json()["access_token"]
    assert [(await house.introspect(caller, each))["active"] for each in (before, after, last)] == [False, False, True]


async def test_what_has_changed_since_is_looked_at_on_the_long_way(house: House) -> None:
    caller = await proven(house)
    tokens = house.flows.service_tokens
    read = short_way(house)
    assert read(Asked(usual(house, caller), PLAIN))
    for mark in (f"c:{caller.client_id}", f"k:{house.flows.keys.ring.signer.kid}"):
        request = Asked(usual(house, caller), PLAIN)
        assert read(request)
        await answered(request)
        assert (len(request.told), request.starts) == (1, 0)
        await house.sql(f"INSERT INTO auth.token_blacklist VALUES ('{mark}', 9999999999, now(), now())")
        request = Asked(usual(house, caller), PLAIN)
        assert read(request)
        await answered(request)
        assert (request.told, request.starts) == ([], 1)
        await house.sql(f"DELETE FROM auth.token_blacklist WHERE mark = '{mark}'")
    in_progress: Any = house.metrics.requests_in_progress
    assert in_progress._value.get() >= 0
    assert tokens is house.flows.service_tokens


async def test_what_fails_on_the_short_way_is_met_again_on_the_long_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await proven(house)

    def fail(*_: object) -> str:
        raise ValueError

    monkeypatch.setattr(jwt.Signer, "sign", fail)
    request = Asked(usual(house, caller), PLAIN)
    other = Asked(usual(house, caller), PLAIN)
    assert short_way(house)(request)
    assert short_way(house)(other)
    await asyncio.gather(answered(request), answered(other))
    assert (request.starts, other.starts) == (1, 1)
    assert (await ask(house, caller)).status_code == 500


async def test_without_the_store_nobody_is_given_a_token(house: House) -> None:  # C4
    caller = await proven(house)
    issued = counted(house, "issued")
    async with database_away(house.settings.database_url):
        answers = [await ask(house, caller) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert answer.headers["vary"] == "origin"
        assert "retry-after" in answer.headers
    assert counted(house, "temporarily_unavailable") == 2
    assert counted(house, "issued") == issued
    in_progress: Any = house.metrics.requests_in_progress
    assert in_progress._value.get() == 0


async def test_a_crowd_is_given_a_token_each(house: House) -> None:
    caller = await proven(house)
    body = urlencode({"grant_type": "client_credentials", "scope": "read"}).encode()
    requests = [Asked(usual(house, caller), body) for _ in range(100)]
    assert all(map(short_way(house), requests))
    await asyncio.gather(*map(answered, requests))
    assert len({request.told[0][2] for request in requests}) == 100

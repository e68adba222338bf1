"""The short way of POST /oauth2/introspect: which questions take it, and that it says what the long way says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from authsvc.entropy import SystemEntropy
from authsvc.models import Client
from authsvc.web.introspect import AtOnce
from authsvc.web.middleware import Observer
from tests.house_of import PASSWORD, House, bearer, database_away, house_on, settings_for
from tests.web.asked import Asked, basic, usual

INTROSPECT = "/oauth2/introspect"
FORM = b"application/x-www-form-urlencoded"
ACTIVE, INACTIVE = b'{"active":true', b'{"active":false}'


def short_way(house: House) -> AtOnce:
    observer = Observer(house.metrics, SystemEntropy(), is_https=True)
    return AtOnce(house.flows, observer, INTROSPECT)


async def ask(house: House, caller: Client, token: str) -> httpx2.Response:
    return await house.http.post(INTROSPECT, data={"token": token}, auth=house.basic(caller))


def counted(house: House, outcome: str) -> float:
    value: Any = house.metrics.introspections[outcome]
    return float(value._value.get())


# --- Which questions


async def test_a_caller_goes_the_long_way_once_and_from_then_on_the_short_one(shared: House) -> None:
    caller = await shared.client()
    token = await shared.token(caller)  # by which it has proven itself
    request = Asked(usual(shared, caller), f"token={token}".encode())
    stranger = await shared.client()
    assert not short_way(shared)(Asked(usual(shared, stranger), request.body))
    await ask(shared, stranger, token)
    assert short_way(shared)(Asked(usual(shared, stranger), request.body))
    assert short_way(shared)(request)


@pytest.mark.parametrize(
    ("name", "headers", "body"),
    [
        ("no credentials", [(b"authorization", None)], None),
        ("two credentials", [(b"authorization", b"Basic eA=="), (b"authorization", b"same")], None),
        ("other credentials", [(b"authorization", b"Basic eDp5")], None),
        ("a bearer token", [(b"authorization", b"Bearer x")], None),
        ("not ASCII", [(b"authorization", b"Basic \xff\xfe")], None),
        ("JSON", [(b"content-type", b"application/json")], None),
        ("a form with a charset", [(b"content-type", FORM + b"; charset=utf-8")], None),
        ("two kinds", [(b"content-type", FORM), (b"content-type", b"text/plain")], None),
        ("no kind", [(b"content-type", None)], None),
        ("compressed", [(b"content-encoding", b"gzip")], None),
        ("to be signed", [(b"accept", b"application/Token-Introspection+JWT")], None),
        ("another parameter", [], b"token=T&client_id=c"),
        ("credentials twice", [], b"token=T&client_secret=c"),
        ("the token twice", [], b"token=T&token=T"),
        ("a strange hint", [], b"token=T&token_type_hint=x"),
        ("the hint twice", [], b"token=T&token_type_hint=access_token&token_type_hint=access_token"),
        ("the hint alone", [], b"token_type_hint=access_token"),
        ("no token", [], b""),
        ("an empty token", [], b"token="),
        ("an empty token and a hint", [], b"token=&token_type_hint=access_token"),
        ("another name", [], b"Token=T"),
        ("encoded", [], b"token=%54"),
        ("a blank", [], b"token=a+b"),
        ("letters beyond ASCII", [], "token=ü".encode()),
        ("no UTF-8", [], b"token=\xff"),
        ("a NUL", [], b"token=a\0b"),
    ],
)
async def test_what_is_unusual_goes_the_long_way(
    shared: House, name: str, headers: list[tuple[bytes, bytes | None]], body: bytes | None
) -> None:
    caller = await shared.client()
    token = await shared.token(caller)
    assert short_way(shared)(Asked(usual(shared, caller), f"token={token}".encode()))
    replaced = {key for key, _ in headers}
    mixed = [each for each in usual(shared, caller) if each[0] not in replaced]
    put = [(key, basic(shared, caller) if value == b"same" else value) for key, value in headers if value is not None]
    asked = b"token=T" if body is None else body
    request = Asked([*mixed, *put], asked.replace(b"T", token.encode()))
    assert not short_way(shared)(request)
    assert request.told == []


@pytest.mark.parametrize("hint", ["access_token", "refresh_token"])
async def test_a_hint_changes_nothing(shared: House, hint: str) -> None:  # INT-07
    caller = await shared.client()
    token = await shared.token(caller)
    answer = await shared.http.post(
        INTROSPECT, data={"token": token, "token_type_hint": hint}, auth=shared.basic(caller)
    )
    assert answer.json()["active"] is True
    assert short_way(shared)(Asked(usual(shared, caller), f"token={token}&token_type_hint={hint}".encode()))


async def test_refresh_tokens_go_the_long_way(house: House) -> None:  # INT-10
    await house.user()
    opened = await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    caller = await house.client(introspection="any")
    await ask(house, caller, "x")
    refresh_token = opened.json()["refresh_token"]
    assert not short_way(house)(Asked(usual(house, caller), f"token={refresh_token}".encode()))


async def test_who_has_changed_since_goes_the_long_way(house: House) -> None:
    caller = await house.client()
    token = await house.token(caller)
    request = Asked(usual(house, caller), f"token={token}".encode())
    assert short_way(house)(request)
    await house.flows.clients.disable(caller.client_id)
    house.clock.advance(2)
    assert not short_way(house)(request)
    assert (await ask(house, caller, token)).status_code == 401


async def test_who_has_asked_too_often_goes_the_long_way_and_is_refused_there_once(house: House) -> None:  # INT-14
    async with house_on(settings_for(house.settings.database_url, introspections_per_minute=3)) as strict:
        caller = await strict.client()
        token = await strict.token(caller)
        answers = [(await ask(strict, caller, token)).status_code for _ in range(5)]
        assert answers == [200, 200, 200, 429, 429]
        refused: Any = strict.metrics.rate_limited["introspection"]
        assert (refused._value.get(), counted(strict, "active"), counted(strict, "error")) == (2, 3, 2)


async def test_keys_that_are_overdue_are_read_on_the_long_way(house: House) -> None:
    caller = await house.client()
    token = await house.token(caller)
    assert short_way(house)(Asked(usual(house, caller), b"token=garbage"))
    house.clock.advance(60)
    assert not short_way(house)(Asked(usual(house, caller), f"token={token}".encode()))


# --- What is answered


async def test_both_ways_say_the_same_in_the_same_words(house: House) -> None:
    async with house_on(house.settings, house.clock, offers=False) as long_way:
        owner, stranger = await house.client(), await house.client()
        long_way.credentials = house.credentials
        live, dead = await house.token(owner), await house.token(owner)
        await house.http.post("/oauth2/revoke", data={"token": dead}, auth=house.basic(owner))
        for caller in (owner, stranger):
            for token in (live, live, dead, dead, "garbage", live[:-4] + "AAAA", f"{live}.x", "a.b.c"):
                for _ in range(2):
                    one, other = await ask(house, caller, token), await ask(long_way, caller, token)
                    for answer in (one, other):
                        assert len(answer.headers.pop("x-request-id")) == 32
                    assert (one.status_code, one.content) == (other.status_code, other.content)
                    assert sorted(one.headers.raw) == sorted(other.headers.raw)


async def test_a_token_is_dead_on_the_short_way_as_soon_as_it_is_revoked_and_when_its_time_is_over(
    house: House,
) -> None:
    caller = await house.client()
    token, other = await house.token(caller), await house.token(caller)
    assert (await ask(house, caller, token)).content.startswith(ACTIVE)
    await house.http.post("/oauth2/revoke", data={"token": token}, auth=house.basic(caller))
    assert (await ask(house, caller, token)).content == INACTIVE
    house.clock.advance(house.settings.access_token_seconds)
    assert (await ask(house, caller, other)).content == INACTIVE


async def test_without_the_store_it_is_told_that_nobody_knows_and_garbage_is_garbage(house: House) -> None:  # C4
    caller = await house.client()
    token = await house.token(caller)
    async with database_away(house.settings.database_url):
        unknown = [await ask(house, caller, token) for _ in range(2)]
        garbage = await ask(house, caller, "garbage")
    assert [(each.status_code, each.json()["error"]) for each in unknown] == [(503, "temporarily_unavailable")] * 2
    assert all("retry-after" in each.headers for each in unknown)
    assert garbage.content == INACTIVE
    assert (counted(house, "error"), counted(house, "inactive")) == (2, 1)
    in_progress: Any = house.metrics.requests_in_progress
    assert in_progress._value.get() == 0


async def test_over_https_every_answer_says_that_it_stays_so(house: House) -> None:  # HDR-01
    caller = await house.client()
    await house.token(caller)
    request = Asked(usual(house, caller), b"token=garbage")
    assert short_way(house)(request)
    await asyncio.sleep(0)
    ((status, lines, body),) = request.told
    assert (status, body) == (200, INACTIVE)
    assert b"strict-transport-security: max-age=63072000; includeSubDomains\r\n" in lines
    assert b"cache-control: no-store\r\n" in lines


async def test_answers_that_wait_for_nothing_are_written_together(shared: House) -> None:
    caller = await shared.client()
    await shared.token(caller)
    way = short_way(shared)
    requests = [Asked(usual(shared, caller), b"token=garbage") for _ in range(3)]
    assert all(way(request) for request in requests)
    assert not any(request.told for request in requests)
    await asyncio.sleep(0)
    late = Asked(usual(shared, caller), b"token=garbage")
    assert way(late)
    assert [[body for *_, body in request.told] for request in (*requests, late)] == [[INACTIVE]] * 3 + [[]]
    await asyncio.sleep(0)
    assert len(late.told) == 1


async def test_an_answer_that_fails_costs_the_others_nothing(shared: House, faults: list[str]) -> None:
    class Gone(Asked):
        def write(self, status: int, lines: bytes, body: bytes) -> None:
            raise RuntimeError("a fault of ours")

    caller = await shared.client()
    await shared.token(caller)
    way = short_way(shared)
    request = Asked(usual(shared, caller), b"token=garbage")
    assert way(Gone(usual(shared, caller), b"token=garbage"))
    assert way(request)
    await asyncio.sleep(0)
    assert len(request.told) == 1
    assert faults == ["an answer failed"]


@pytest.fixture
async def faults() -> AsyncIterator[list[str]]:
    """What the loop is told that nobody expected."""
    loop, told = asyncio.get_running_loop(), list[str]()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    yield told
    loop.set_exception_handler(before)


async def test_users_and_services_are_told_of_nothing_by_headers_of_other_routes(shared: House) -> None:
    """What is offered is the path of introspection, and nothing near it."""
    caller = await shared.client()
    token = await shared.token(caller)
    for path in ("/oauth2/introspect/", "/oauth2//introspect", "/OAUTH2/introspect", "/oauth2/introspect?x=1"):
        answer = await shared.http.post(path, data={"token": token}, auth=shared.basic(caller))
        assert answer.status_code in {400, 404}, path
    assert (await shared.http.get(INTROSPECT, headers=bearer(token))).status_code == 405

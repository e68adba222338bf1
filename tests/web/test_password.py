"""POST /api/v1/me/password (spec: PWR-*, PWS-06, ATK-33, ATK-42)."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.house_of import PASSWORD, House, bearer
from tests.web.answers import check_not_stored, check_problem
from tests.web.forging import claims_of

NEW = "a few unrelated words"
PATH = "/api/v1/me/password"


async def change(house: House, token: str, current: Any = PASSWORD, new: Any = NEW, **more: Any) -> httpx2.Response:
    body = {"current_password": current, "new_password": new} | more
    return await house.http.post(PATH, json=body, headers=bearer(token))


async def is_in(house: House, token: str) -> bool:
    return (await house.http.get("/api/v1/me", headers=bearer(token))).status_code == 200


async def test_a_new_password_ends_every_other_session_and_carries_this_one_on(shared: House) -> None:  # ATK-33
    sub = await shared.user()
    gateway = await shared.client(introspection="any")
    here = await shared.log_in(scope="email")
    elsewhere = [await shared.log_in() for _ in range(2)]

    answer = await change(shared, here)
    assert answer.status_code == 200
    check_not_stored(answer)
    told = answer.json()
    assert told.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope", "client_id", "user"}
    assert (told["scope"], told["client_id"], told["user"]["sub"]) == ("email", "first-party", sub)

    for token in (here, *elsewhere):
        assert not await is_in(shared, token)
        assert await shared.introspect(gateway, token) == {"active": False}
    new = told["access_token"]
    assert await is_in(shared, new)
    assert claims_of(new)["sid"] == claims_of(here)["sid"]
    assert claims_of(new)["jti"] != claims_of(here)["jti"]
    assert claims_of(new)["auth_time"] == claims_of(here)["auth_time"]  # AT-07

    old_password = await shared.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})
    check_problem(old_password, 401, "invalid-credentials")
    assert await is_in(shared, await shared.log_in(password=NEW))
    # And on: the session that was carried over can be logged out.
    assert (await shared.http.post("/api/v1/logout", headers=bearer(new))).status_code == 204
    assert not await is_in(shared, new)


@pytest.fixture(scope="module")
async def token(shared: House) -> str:
    """Of a user whose password is changed by nothing that follows."""
    await shared.user("eve@example.com")
    return await shared.log_in("eve@example.com")


async def check_unchanged(house: House, token: str) -> None:
    assert await is_in(house, token)
    await house.log_in("eve@example.com")


@pytest.mark.parametrize("current", ["", "wrong", PASSWORD + " ", PASSWORD.upper(), NEW, "\0"], ids=repr)
async def test_the_current_password_is_asked_for(shared: House, token: str, current: str) -> None:  # PWR-09
    problem = check_problem(await change(shared, token, current), 422, "invalid-value")
    assert problem["errors"] == [{"detail": "the current password is wrong", "pointer": "#/current_password"}]
    await check_unchanged(shared, token)


@pytest.mark.parametrize(
    "new",
    ["", "x" * 14, "e\u0301" * 14, "x" * 257, "é" * 600, "x" * 50_000, "password1234567", "eve-eve-eve-2026"],
    ids=lambda text: text[:8],
)
async def test_a_new_password_is_held_to_the_rules(shared: House, token: str, new: str) -> None:  # PWR-01, PWR-07
    problem = check_problem(await change(shared, token, PASSWORD, new), 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "#/new_password"
    await check_unchanged(shared, token)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#"),
        ({"current_password": PASSWORD}, "#"),
        ({"new_password": NEW}, "#"),
        ({"current_password": PASSWORD, "new_password": NEW, "sub": "usr_x"}, "#"),
        ({"current_password": PASSWORD, "new_password": NEW, "email": "ada@example.com"}, "#"),
        ({"current_password": None, "new_password": NEW}, "#/current_password"),
        ({"current_password": PASSWORD, "new_password": 5}, "#/new_password"),
        ({"current_password": PASSWORD, "new_password": [NEW]}, "#/new_password"),
    ],
)
async def test_a_body_of_another_shape_changes_nothing(
    shared: House, token: str, body: dict[str, Any], pointer: str
) -> None:  # PRB-03, ATK-49
    problem = check_problem(await shared.http.post(PATH, json=body, headers=bearer(token)), 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == pointer
    await check_unchanged(shared, token)


async def test_whoever_has_no_live_token_is_not_heard_at_all(shared: House, token: str) -> None:
    """Not even about the body: the guard comes first."""
    for headers in ({}, bearer("garbage")):
        for body in (b"", b"{", b"x" * 100_000):
            answer = await shared.http.post(PATH, content=body, headers=headers)
            assert answer.status_code == 401


async def test_of_two_changes_at_once_one_wins_and_its_session_goes_on(house: House) -> None:
    await house.user()
    tokens = [await house.log_in() for _ in range(3)]
    passwords = [f"unrelated words number {n}" for n in range(3)]
    answers = await asyncio.gather(
        *(change(house, token, PASSWORD, new) for token, new in zip(tokens, passwords, strict=True))
    )
    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    for number, answer in enumerate(answers):
        if number not in won:
            assert answer.status_code in {401, 422}, answer.text
    assert [await is_in(house, token) for token in tokens] == [False] * 3
    assert await is_in(house, answers[won[0]].json()["access_token"])
    assert await is_in(house, await house.log_in(password=passwords[won[0]]))

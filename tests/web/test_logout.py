"""POST /api/v1/logout and /api/v1/me/logout-everywhere (spec: SES-04, ATK-33, ATK-62, ATK-68)."""

import asyncio

import httpx2
import pytest

from tests.house_of import House, bearer
from tests.web.answers import check_not_stored, check_problem

LOGOUT = "/api/v1/logout"
EVERYWHERE = "/api/v1/me/logout-everywhere"
BOTH = pytest.mark.parametrize("path", [LOGOUT, EVERYWHERE])


async def is_in(house: House, token: str) -> bool:
    return (await house.http.get("/api/v1/me", headers=bearer(token))).status_code == 200


def check_done(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers  # RFC 9110 §8.6
    check_not_stored(answer)


async def test_logging_out_ends_this_session_and_no_other(shared: House) -> None:
    await shared.user()
    gateway = await shared.client(introspection="any")
    here, elsewhere = await shared.log_in(), await shared.log_in()
    check_done(await shared.http.post(LOGOUT, headers=bearer(here)))
    assert not await is_in(shared, here)
    assert await shared.introspect(gateway, here) == {"active": False}
    assert await is_in(shared, elsewhere)
    assert (await shared.introspect(gateway, elsewhere))["active"] is True


async def test_logging_out_everywhere_ends_every_session_of_this_user_and_of_no_other(shared: House) -> None:
    await shared.user("eve@example.com")
    await shared.user("grace@example.com")
    tokens = [await shared.log_in("eve@example.com") for _ in range(3)]
    other = await shared.log_in("grace@example.com")
    check_done(await shared.http.post(EVERYWHERE, headers=bearer(tokens[1])))
    assert [await is_in(shared, token) for token in tokens] == [False] * 3
    assert await is_in(shared, other)
    assert await is_in(shared, await shared.log_in("eve@example.com"))


@BOTH
async def test_who_is_out_cannot_log_out_again(shared: House, path: str) -> None:  # ATK-68
    email = f"twice-{len(path)}@example.com"
    await shared.user(email)
    token = await shared.log_in(email)
    check_done(await shared.http.post(path, headers=bearer(token)))
    for each in (LOGOUT, EVERYWHERE):
        check_problem(await shared.http.post(each, headers=bearer(token)), 401, "invalid-token")


@BOTH
async def test_of_many_logouts_at_once_none_fails_in_another_way(shared: House, path: str) -> None:  # FLT-38, FLT-43
    email = f"many-{len(path)}@example.com"
    await shared.user(email)
    token = await shared.log_in(email)
    answers = await asyncio.gather(*(shared.http.post(path, headers=bearer(token)) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {204, 401}
    assert 204 in {answer.status_code for answer in answers}
    assert not await is_in(shared, token)


@BOTH
async def test_an_image_logs_nobody_out(shared: House, path: str) -> None:  # ATK-62: GET changes nothing
    email = f"get-{len(path)}@example.com"
    await shared.user(email)
    token = await shared.log_in(email)
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE"):
        answer = await shared.http.request(method, path, headers=bearer(token))
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert await is_in(shared, token)


@BOTH
@pytest.mark.parametrize("body", [b"", b"{}", b"\0", b"x" * 100_000], ids=["none", "JSON", "NUL", "huge"])
async def test_a_body_is_not_looked_at(shared: House, path: str, body: bytes) -> None:
    email = f"body-{len(path)}-{len(body)}@example.com"
    await shared.user(email)
    check_done(await shared.http.post(path, headers=bearer(await shared.log_in(email)), content=body))

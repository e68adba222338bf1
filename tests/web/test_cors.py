"""Which sites' scripts may use the service from a browser (spec: GEN-11, ATK-64)."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from authsvc.web.routes import ROWS, Row
from tests.house_of import ISSUER, House, bearer, database_away, house_on, settings_for

UI = "https://login.example.com"
OTHER_UI = "http://localhost:5173"
FOREIGN = [
    "https://evil.example", "null", "https://login.example.com.evil.example", "https://evil-login.example.com",
    "http://login.example.com", "https://login.example.com:8443", "https://LOGIN.example.com", "https://login.example.co",
    "*", "",
]  # fmt: skip

SHARED = pytest.mark.parametrize("row", [row for row in ROWS if row.cors], ids=lambda row: f"{row.method} {row.path}")
NOT_SHARED = [row for row in ROWS if not row.cors]


@pytest.fixture(scope="module")
async def cors(shared_database_url: str) -> AsyncIterator[House]:
    async with house_on(settings_for(shared_database_url, cors_origins=(UI, OTHER_UI))) as house:
        yield house


def preflight(origin: str, method: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }


def words(answer: httpx2.Response, name: str) -> set[str]:
    return {word.strip() for word in answer.headers[name].split(",")}


def check_readable(answer: httpx2.Response, origin: str) -> None:
    assert answer.headers.get_list("access-control-allow-origin") == [origin]
    assert answer.headers["vary"] == "origin"
    assert words(answer, "access-control-expose-headers") == {"retry-after", "www-authenticate", "x-request-id"}
    assert "access-control-allow-credentials" not in answer.headers


def check_unreadable(answer: httpx2.Response) -> None:
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_introspection_is_for_no_browser() -> None:
    assert {row.path for row in NOT_SHARED} >= {"/oauth2/introspect"}


@SHARED
@pytest.mark.parametrize("origin", [UI, OTHER_UI])
async def test_a_listed_site_is_told_what_it_may_send(cors: House, row: Row, origin: str) -> None:
    answer = await cors.http.options(row.path, headers=preflight(origin, row.method))
    assert (answer.status_code, answer.content) == (204, b"")
    check_readable(answer, origin)
    assert row.method in words(answer, "access-control-allow-methods")
    assert words(answer, "access-control-allow-headers") == {"authorization", "content-type"}
    assert int(answer.headers["access-control-max-age"]) > 0


@SHARED
@pytest.mark.parametrize("origin", FOREIGN)
async def test_any_other_site_is_told_nothing(cors: House, row: Row, origin: str) -> None:
    asked = await cors.http.options(row.path, headers=preflight(origin, row.method))
    assert asked.status_code == 405
    sent = await cors.http.request(row.method, row.path, headers={"origin": origin})
    for answer in (asked, sent):
        check_unreadable(answer)
        assert answer.headers["vary"] == "origin"


@SHARED
async def test_two_origins_are_none(cors: House, row: Row) -> None:
    answer = await cors.http.request(row.method, row.path, headers=[("origin", UI), ("origin", UI)])
    check_unreadable(answer)


@SHARED
async def test_without_a_site_the_answer_still_says_what_it_depends_on(cors: House, row: Row) -> None:
    answer = await cors.http.request(row.method, row.path)
    check_unreadable(answer)
    assert answer.headers["vary"] == "origin"


@SHARED
async def test_a_preflight_for_another_method_is_none(cors: House, row: Row) -> None:
    for method in ("DELETE", "OPTIONS", "post", "*"):
        answer = await cors.http.options(row.path, headers=preflight(UI, method))
        assert answer.status_code == 405
        assert "access-control-allow-methods" not in answer.headers
    plain = await cors.http.options(row.path, headers={"origin": UI})
    assert plain.status_code == 405


@pytest.mark.parametrize("path", [*(row.path for row in NOT_SHARED), "/nowhere", "/api/v1/nowhere"])
async def test_elsewhere_no_preflight_is_answered(cors: House, path: str) -> None:
    for method in ("GET", "POST"):
        answer = await cors.http.options(path, headers=preflight(UI, method))
        assert answer.status_code in (404, 405)
        check_unreadable(answer)


async def test_a_listed_site_reads_what_went_wrong(cors: House) -> None:
    """401, 405, 415, 422."""
    login = "/api/v1/login"
    site = {"origin": UI}
    wrong = {"email": "nobody@example.com", "password": "correct horse battery staple"}
    answers: dict[int, Any] = {
        401: await cors.http.post(login, json=wrong, headers=site),
        405: await cors.http.get(login, headers=site),
        415: await cors.http.post(login, content=b"x", headers=site),
        422: await cors.http.post(login, json={"email": 1}, headers=site),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        check_readable(answer, UI)
    answer = await cors.http.get("/api/v1/me", headers=site | bearer("rubbish"))
    assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)
    check_readable(answer, UI)


async def test_a_listed_site_reads_that_nobody_can_say_now(house: House) -> None:
    async with house_on(settings_for(house.settings.database_url, cors_origins=(UI,))) as cors:
        await cors.user()
        token = await cors.log_in()
        async with database_away(house.settings.database_url):
            answer = await cors.http.get("/api/v1/me", headers={"origin": UI} | bearer(token))
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    check_readable(answer, UI)


async def test_changes_asked_for_by_foreign_sites_are_counted(house: House) -> None:
    async with house_on(settings_for(house.settings.database_url, cors_origins=(UI,))) as cors:
        count = cors.metrics.foreign_origin_requests._value.get
        for origin in (None, UI, ISSUER):
            await cors.http.post("/api/v1/login", json={}, headers={"origin": origin} if origin else {})
        await cors.http.get("/api/v1/me", headers={"origin": "https://evil.example"})
        await cors.http.options("/api/v1/login", headers=preflight("https://evil.example", "POST"))
        assert count() == 0
        for origin in ("https://evil.example", "null"):
            await cors.http.post("/api/v1/login", json={}, headers={"origin": origin})
        assert count() == 2

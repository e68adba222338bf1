"""What every answer tells browsers and caches, whatever it is an answer to (spec: HDR-01, HDR-03, HDR-04)."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest

from authsvc.web.routes import CONFIGURATION, DOCUMENTS, METADATA, ROWS, Row
from tests.house_of import PASSWORD, House, bearer, house_on, settings_for
from tests.web.browsing import PUSHED, PUSHES

ISSUER = "https://auth.example.com"
PUBLIC = {row.path for row in (*DOCUMENTS, METADATA, CONFIGURATION)}
EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")


@pytest.fixture(scope="module")
async def secure(shared_database_url: str) -> AsyncIterator[House]:
    """A service with https."""
    async with house_on(settings_for(shared_database_url, issuer=ISSUER)) as house:
        await house.user()
        yield house


def check_headers(answer: httpx2.Response) -> None:
    headers = answer.headers
    once = {name: headers.get_list(name) for name in headers}
    assert once["strict-transport-security"] == ["max-age=63072000; includeSubDomains"]
    assert once["x-content-type-options"] == ["nosniff"]
    assert once["referrer-policy"] == ["no-referrer"]
    assert once["content-security-policy"] == ["default-src 'none'; frame-ancestors 'none'"]
    assert headers.keys().isdisjoint({"server", "x-powered-by", "via", "x-xss-protection", "set-cookie"})


def check_private(answer: httpx2.Response) -> None:
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("cross-origin-resource-policy") == ["same-origin"]


async def _client_call(house: House, path: str, **form: str) -> httpx2.Response:
    client = await house.client(**PUSHES)
    return await house.http.post(path, data=form or {"token": await house.token(client)}, auth=house.basic(client))


async def _new_user(house: House) -> httpx2.Response:
    return await house.http.post("/api/v1/users", json={"email": "eve@example.com", "password": PASSWORD})


async def _log_in(house: House) -> httpx2.Response:
    return await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD})


async def _change_password(house: House) -> httpx2.Response:
    body = {"current_password": PASSWORD, "new_password": PASSWORD}
    return await house.http.post("/api/v1/me/password", json=body, headers=bearer(await house.log_in()))


async def _change_claims(house: House) -> httpx2.Response:
    headers = bearer(await house.log_in())
    return await house.http.patch("/api/v1/me/claims", json={"name": "Ada"}, headers=headers)


async def _ask_userinfo(house: House) -> httpx2.Response:
    client = await house.client(public=True, first_party=True, scope="openid")
    headers = bearer(await house.log_in(client_id=client.client_id))
    return await house.http.get("/oauth2/userinfo", headers=headers)


def _as_user(method: str, path: str) -> Callable[[House], Awaitable[httpx2.Response]]:
    async def call(house: House) -> httpx2.Response:
        return await house.http.request(method, path, headers=bearer(await house.log_in()))

    return call


SUCCESSES: dict[str, Callable[[House], Awaitable[httpx2.Response]]] = {
    "/oauth2/introspect": lambda house: _client_call(house, "/oauth2/introspect"),
    "/oauth2/par": lambda house: _client_call(house, "/oauth2/par", **PUSHED),
    "/oauth2/revoke": lambda house: _client_call(house, "/oauth2/revoke"),
    "/oauth2/token": lambda house: _client_call(house, "/oauth2/token", grant_type="client_credentials"),
    "/api/v1/login": _log_in,
    "/api/v1/users": _new_user,
    "/api/v1/me/password": _change_password,
    "/api/v1/me": _as_user("GET", "/api/v1/me"),
    "/api/v1/me/claims": _change_claims,
    "/oauth2/userinfo": _ask_userinfo,
    "/api/v1/logout": _as_user("POST", "/api/v1/logout"),
    "/api/v1/me/logout-everywhere": _as_user("POST", "/api/v1/me/logout-everywhere"),
    **{path: (lambda house, path=path: house.http.get(path)) for path in PUBLIC},  # type: ignore[misc]
}


@EVERY_ROW
async def test_success_error_and_wrong_method(secure: House, row: Row) -> None:
    success = await SUCCESSES[row.path](secure)
    assert success.status_code == row.status, success.text
    wrong_method = await secure.http.request("DELETE", row.path)
    assert wrong_method.status_code == 405
    answers = [success, wrong_method]
    if row.path not in PUBLIC:
        answers.append(error := await secure.http.request(row.method, row.path))
        assert error.status_code in (400, 401, 415)
    for answer in answers:
        check_headers(answer)
        if answer is success and row.path in PUBLIC:
            assert "cross-origin-resource-policy" not in answer.headers
        else:
            check_private(answer)


async def test_nothing_there_and_nothing_new(secure: House) -> None:
    missing = await secure.http.get("/nowhere")
    assert missing.status_code == 404
    check_headers(missing)
    check_private(missing)
    etag = (await secure.http.get(METADATA.path)).headers["etag"]
    unchanged = await secure.http.get(METADATA.path, headers={"if-none-match": etag})
    assert unchanged.status_code == 304
    check_headers(unchanged)


async def test_plain_http_promises_no_tls(shared: House) -> None:
    for path in ("/nowhere", METADATA.path):
        assert "strict-transport-security" not in (await shared.http.get(path)).headers

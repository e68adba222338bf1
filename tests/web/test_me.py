"""GET /api/v1/me, and the guard of every endpoint for users (spec: BEA-*)."""

import pytest

from authsvc.models import Client
from authsvc.web.errors import render_problem
from authsvc.web.routes import ROWS, Auth, Row
from tests.house_of import ISSUER, House, bearer
from tests.web.answers import check_equal, check_not_stored, check_problem

ME = "/api/v1/me"
EMAIL = "ada@example.com"
CHALLENGE = 'Bearer realm="authsvc"'
INVALID = f'{CHALLENGE}, error="invalid_token", error_description="the access token is not valid here"'

GUARDED = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.auth is Auth.USER and row.errors is render_problem], ids=lambda row: row.path
)


@pytest.fixture(scope="module")
async def sub(shared: House) -> str:
    return await shared.user(EMAIL)


@pytest.fixture(scope="module")
async def token(shared: House, sub: str) -> str:
    return await shared.log_in(EMAIL)


async def test_a_user_is_told_who_they_are(shared: House, sub: str, token: str) -> None:
    answer = await shared.http.get(ME, headers=bearer(token))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)
    assert answer.json() == {
        "sub": sub,
        "email": EMAIL,
        "email_verified": False,
        "claims": {},
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR", "Bearer ", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(shared: House, token: str, scheme: str) -> None:  # BEA-01
    assert (await shared.http.get(ME, headers={"authorization": f"{scheme} {token}"})).status_code == 200


# --- The guard


@GUARDED
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic eDp5", "Digest x", "Bearertoken", "token", "DPoP x", "Bearer\tx", ", Bearer x"],
)
async def test_who_brings_no_bearer_is_told_of_no_error(
    shared: House, row: Row, authorization: str | None
) -> None:  # BEA-03
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await shared.http.request(row.method, row.path, headers=headers)
    check_problem(answer, 401, "missing-token")
    assert answer.headers["www-authenticate"] == CHALLENGE


@GUARDED
@pytest.mark.parametrize("authorization", ["Bearer", "Bearer ", "Bearer  "])
async def test_an_empty_bearer_is_an_invalid_one(shared: House, row: Row, authorization: str) -> None:  # BEA-03
    answer = await shared.http.request(row.method, row.path, headers={"authorization": authorization})
    check_problem(answer, 401, "invalid-token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@GUARDED
async def test_nobody_can_tell_why_a_bearer_is_refused(shared: House, row: Row) -> None:  # BEA-03, AT-11, ATK-19
    elsewhere, own = await shared.client(), await shared.client(audiences=(f"{ISSUER}/api/v1/",))
    await shared.user(f"{row.path.replace('/', '-')}@example.com")
    logged_out = await shared.log_in(f"{row.path.replace('/', '-')}@example.com")
    await shared.http.post("/oauth2/revoke", data={"token": logged_out, "client_id": "first-party"})
    bearers = {
        "garbage": "garbage",
        "for another audience": await shared.token(elsewhere),
        "for almost this audience": await shared.token(own),
        "revoked": logged_out,
        "two words": "garbage garbage",
        "letters outside of ASCII": "gärbage",
    }
    answers = {
        name: await shared.http.request(row.method, row.path, headers={b"authorization": f"Bearer {text}".encode()})
        for name, text in bearers.items()
    }
    check_problem(answers["garbage"], 401, "invalid-token")
    assert answers["garbage"].headers["www-authenticate"] == INVALID
    check_equal(answers)


@GUARDED
async def test_a_clients_own_token_is_no_users(shared: House, row: Row) -> None:
    client: Client = await shared.client(audiences=(f"{ISSUER}/api/v1",), scope="profile")
    answer = await shared.http.request(row.method, row.path, headers=bearer(await shared.token(client)))
    check_problem(answer, 403, "forbidden")


@GUARDED
async def test_a_token_in_the_url_is_refused_with_or_without_another(
    shared: House, token: str, row: Row
) -> None:  # BEA-02, BEA-03: two transports
    for headers in ({}, bearer(token), bearer("garbage")):
        for query in (f"access_token={token}", "access_token=", "x=1&access_token=x", f"access%5Ftoken={token}"):
            answer = await shared.http.request(row.method, f"{row.path}?{query}", headers=headers)
            check_problem(answer, 400, "invalid-request")
            assert token not in answer.text


@GUARDED
async def test_two_authorization_headers_are_refused(shared: House, token: str, row: Row) -> None:  # BEA-03
    for other in (f"Bearer {token}", "Bearer garbage", "Basic eDp5", ""):
        pair = [("authorization", f"Bearer {token}"), ("authorization", other)]
        for headers in (pair, pair[::-1]):
            answer = await shared.http.request(row.method, row.path, headers=headers)
            check_problem(answer, 400, "invalid-request")


@GUARDED
async def test_a_token_in_the_body_opens_nothing(shared: House, token: str, row: Row) -> None:  # BEA-02
    answer = await shared.http.request(row.method, row.path, data={"access_token": token})
    check_problem(answer, 401, "missing-token")
    answer = await shared.http.request(row.method, row.path, json={"access_token": token})
    check_problem(answer, 401, "missing-token")


@GUARDED
async def test_a_token_in_a_cookie_opens_nothing(shared: House, token: str, row: Row) -> None:  # ATK-62
    cookies = f"access_token={token}; token={token}; Authorization=Bearer {token}; __Host-sid={token}"
    answer = await shared.http.request(row.method, row.path, headers={"cookie": cookies})
    check_problem(answer, 401, "missing-token")


async def test_the_token_is_live_after_all_that(shared: House, token: str) -> None:
    assert (await shared.http.get(ME, headers=bearer(token))).status_code == 200


async def test_a_user_who_is_gone_from_the_table_is_refused(shared: House) -> None:
    """Not by our own flows, which revoke: by somebody at the database."""
    sub = await shared.user("removed@example.com")
    token = await shared.log_in("removed@example.com")
    await shared.sql("UPDATE auth.users SET disabled_at = now() WHERE sub = $1", sub)
    check_problem(await shared.http.get(ME, headers=bearer(token)), 401, "invalid-token")
    await shared.sql("DELETE FROM auth.users WHERE sub = $1", sub)
    check_problem(await shared.http.get(ME, headers=bearer(token)), 401, "invalid-token")

"""/openapi.json: valid, complete, and true (spec: MET-11; design: every non-public route refuses a bare call)."""

from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from authsvc.web.errors import render_problem
from authsvc.web.routes import ROWS, Auth, Row
from tests.house_of import PASSWORD, House, bearer, house_on, settings_for
from tests.web.answers import check_oauth_error, check_problem
from tests.web.browsing import PUSHED, PUSHES

EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")


@pytest.fixture(scope="module")
async def document(shared: House) -> dict[str, Any]:
    described: dict[str, Any] = (await shared.http.get("/openapi.json")).json()
    return described


def operation_of(document: dict[str, Any], row: Row) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][row.path][row.method.lower()]
    return found


def check_described(document: dict[str, Any], row: Row, answer: httpx2.Response) -> None:
    """The answer is one that the description told of, in the form that it told."""
    responses = operation_of(document, row)["responses"]
    content = responses.get(str(answer.status_code), responses["default"]).get("content")
    if content is None:
        assert answer.content == b""
        return
    schema = content[answer.headers["content-type"]]["schema"]
    OAS31Validator(schema | {"components": document["components"]}).validate(answer.json())


async def test_the_description_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


async def test_every_route_is_described_and_nothing_else(document: dict[str, Any]) -> None:
    methods = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
    described = {(m.upper(), path) for path, item in document["paths"].items() for m in item.keys() & methods}
    assert described == {(row.method, row.path) for row in ROWS}
    operations = [operation_of(document, row) for row in ROWS]
    assert len({operation["operationId"] for operation in operations}) == len(ROWS)
    assert all(operation["summary"] for operation in operations)


@EVERY_ROW
async def test_every_route_that_is_described_is_there(shared: House, row: Row) -> None:
    answer = await shared.http.request("TRACE", row.path)
    assert answer.status_code == 405
    assert row.method in answer.headers["allow"].split(", ")


@EVERY_ROW
async def test_a_bare_call_gets_in_where_the_route_is_public_and_nowhere_else(
    shared: House, document: dict[str, Any], row: Row
) -> None:
    answer = await shared.http.request(row.method, row.path)
    check_described(document, row, answer)
    if row.method == "GET" and row.auth is Auth.PUBLIC:
        assert answer.status_code == 200
    elif row.auth is Auth.USER and row.errors is render_problem:
        check_problem(answer, 401, "missing-token")
    elif row.auth is Auth.USER:
        assert (answer.status_code, answer.json().keys()) == (401, {"error_description"})
    else:
        assert 400 <= answer.status_code < 500
    if row.auth is Auth.CLIENT:
        assert isinstance(row.takes, tuple)
        answer = await shared.http.request(row.method, row.path, data=dict.fromkeys(row.takes, "x"))
        check_oauth_error(answer, 401, "invalid_client")
        check_described(document, row, answer)


@EVERY_ROW
async def test_the_description_says_what_a_caller_has_to_bring(document: dict[str, Any], row: Row) -> None:
    operation = operation_of(document, row)
    needed = {name for requirement in operation["security"] for name in requirement}
    assert (
        needed
        == {
            Auth.PUBLIC: set(),
            Auth.CLIENT: {"client_secret_basic"},
            Auth.USER: {"access_token"},
        }[row.auth]
    )
    assert ("requestBody" in operation) == (row.takes is not None)
    errors = operation["responses"]["default"]["content"]
    assert set(errors) == {"application/problem+json" if row.errors is render_problem else "application/json"}  # PRB-05


async def test_what_is_answered_is_what_is_described(shared: House, document: dict[str, Any]) -> None:
    """One good call of each route; the answer fits the schema."""
    client = await shared.client(scope="read", **PUSHES)
    auth = shared.basic(client)
    told = {"email": "ada@example.com", "password": PASSWORD}
    token = await shared.token(client)

    async def call(path: str, **request: Any) -> httpx2.Response:
        row = next(row for row in ROWS if row.path == path)
        answer = await shared.http.request(row.method, row.path, **request)
        assert answer.status_code == row.status, answer.text
        check_described(document, row, answer)
        called.add(path)
        return answer

    called: set[str] = set()
    await call("/api/v1/users", json=told)
    login = await call("/api/v1/login", json=told)
    user = bearer(login.json()["access_token"])
    await call("/api/v1/me", headers=user)
    change = {"current_password": PASSWORD, "new_password": PASSWORD}
    await call("/api/v1/me/claims", headers=user, json={"name": "Ada"})
    interface = await shared.client(public=True, first_party=True, scope="openid profile")
    openid = await shared.log_in(client_id=interface.client_id)
    await call("/oauth2/userinfo", headers=bearer(openid))
    changed = await call("/api/v1/me/password", headers=user, json=change)
    await call("/api/v1/logout", headers=bearer(changed.json()["access_token"]))
    await call("/api/v1/me/logout-everywhere", headers=bearer(await shared.log_in()))
    await call("/oauth2/token", data={"grant_type": "client_credentials"}, auth=auth)
    await call("/oauth2/introspect", data={"token": token}, auth=auth)
    await call("/oauth2/revoke", data={"token": token}, auth=auth)
    await call("/oauth2/par", data=PUSHED, auth=auth)
    for row in ROWS:
        if row.method == "GET" and row.auth is Auth.PUBLIC:
            await call(row.path)
    assert called == {row.path for row in ROWS}


async def test_what_is_refused_is_refused_as_described(shared: House, document: dict[str, Any]) -> None:
    for row in ROWS:
        for request in ({"content": b"x"}, {"data": {"a": ["1", "2"]}}, {"json": {"a": 1}}, {"content": b"x" * 70_000}):
            if row.method == "POST":
                check_described(document, row, await shared.http.post(row.path, **request))


async def test_required_parameters_and_members_are_said_to_be_required(document: dict[str, Any]) -> None:
    def form(path: str) -> Any:
        body = document["paths"][path]["post"]["requestBody"]
        return body["content"]["application/x-www-form-urlencoded"]["schema"]["required"]

    assert form("/oauth2/token") == ["grant_type"]
    assert form("/oauth2/introspect") == form("/oauth2/revoke") == ["token"]
    schemas = document["components"]["schemas"]
    assert set(schemas["LoginRequest"]["required"]) == {"email", "password"}
    assert set(schemas["RegistrationRequest"]["required"]) == {"email", "password"}
    assert set(schemas["PasswordChangeRequest"]["required"]) == {"current_password", "new_password"}
    for name in ("LoginRequest", "RegistrationRequest", "PasswordChangeRequest"):
        assert schemas[name]["additionalProperties"] is False  # ATK-49


async def test_with_an_issuer_that_has_a_path_every_described_url_is_there(shared_database_url: str) -> None:
    issuer = "https://auth.example/tenant"
    async with house_on(settings_for(shared_database_url, issuer=issuer)) as house:
        document = (await house.http.get(f"{issuer}/openapi.json")).json()
        validate(document)
        assert document["servers"] == [{"url": issuer}]
        for path, item in document["paths"].items():
            (server,) = item.get("servers", document["servers"])
            answer = await house.http.request("TRACE", server["url"] + path)
            assert answer.status_code == 405, urlsplit(server["url"] + path)

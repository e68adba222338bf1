"""Log lines: one record is one line, and no secret stands in it (AUD-01..03)."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc import logs
from authsvc.redaction import REDACTED, clean, is_secret, redact

JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiJ1MSIsImV4cCI6MX0.c2lnbmF0dXJlLWNhbmFyeS1zaWduYXR1cmU"
SECRET = "as_canaryCanary0123456789canaryCanary0123456789"
CANARIES = {
    "a JWT": (f"could not verify {JWT}", "c2lnbmF0dXJl"),
    "a JWT in quotes": (f"got '{JWT}', which", "eyJzdWIi"),
    "half a JWT": (f"header and claims {JWT.rpartition('.')[0]}", "eyJzdWIi"),
    "an encrypted JWT": (f"jwe {'canaryCanary0123456789.' * 4}canaryCanary0123456789", "canary"),
    "a bearer token": ("sent Bearer canary.to-ken, refused", "canary"),
    "a DPoP token": ("sent DPoP canary.to-ken", "canary"),
    "basic credentials": ("Basic Y2FuYXJ5OmNhbmFyeQ==", "Y2Fu"),
    "ASGI headers": ("[(b'authorization', b'basic Y2FuYXJ5OmNhbmFyeQ==')]", "Y2Fu"),
    "a header": ("Authorization: Custom canary and more canary", "canary"),
    "a cookie": ("Cookie: a=canary; b=canary", "canary"),
    "a machine secret": (f"no client has {SECRET}", "canary"),
    "a database URL": ("cannot connect to postgresql://authsvc:canary@db:5432/authsvc", "canary"),
    "a database URL that is none": ("postgres://authsvc:can/ary@canary#@db/authsvc", "canary"),
    "a Redis URL": ("redis://:canary@cache:6379/0", "canary"),
    "any URL": ("https://bob:canary@example.com/path", "canary"),
    "a query": ("GET /cb?code=canary&state=1", "canary"),
    "a DSN": ("host=db user=authsvc password=canary dbname=x", "canary"),
    "a pair in words": ("login failed, password: canary", "canary"),
    "a dictionary": ("""{'user': 'bob', 'password': 'canary with "blanks', 'x': 1}""", "canary"),
    "a JSON object": (r"""{"client_secret": "can\"canary", "x": 1}""", "canary"),
    "a form": ("grant_type=password&client_secret=canary&scope=a", "canary"),
    "a record": ("Settings(issuer='x', master_key='canary', database_pool=8)", "canary"),
    "a private key": ("-----BEGIN PRIVATE KEY-----\ncanary\ncanary\n-----END PRIVATE KEY-----", "canary"),
    "half a private key": ("-----BEGIN EC PRIVATE KEY-----\ncanary\ncanary", "canary"),
}
HARMLESS = [
    "session opened",
    "authsvc.flows.introspection.Introspection.introspect",
    "InvalidToken: the token has expired",
    "postgresql://authsvc@db:5432/authsvc is unreachable",
    "https://idp.example:8443/x?login_hint=bob@example.com",
    "exit_code=1 token_type=Bearer",
    "relation already exists, code: 42P07",
    "basic authentication is refused, bearer token missing",
    "/usr/lib/python3.11/site-packages/starlette/routing.py",
]
FIELDS = ["password", "new_password", "client_secret", "refresh_token", "accessToken", "code", "user_code", "otp",
          "client_assertion", "Authorization", "Set-Cookie", "AUTHSVC_MASTER_KEY", "private_key"]  # fmt: skip


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, show = root.handlers[:], root.level, warnings.showwarning
    yield
    logging.captureWarnings(False)
    warnings.showwarning = show
    root.handlers[:] = handlers
    root.setLevel(level)


Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@contextmanager
def unreported() -> Iterator[None]:
    """Not into pytest's own report, which cannot hold every text that is tried here."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers[:] = [each for each in handlers if isinstance(each, logs._Handler)]
    yield
    root.handlers[:] = handlers


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    logs.configure("debug", "json", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


log = logs.get_logger("authsvc.flows.example")


def test_a_line_says_when_where_and_what(lines: Lines) -> None:
    log.info("session opened", sid="s1", attempts=2, took=0.5, first=True, client_id=None)
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert isinstance(line.pop("pid"), int)
    assert line == {
        "level": "info",
        "logger": "authsvc.flows.example",
        "message": "session opened",
        "sid": "s1",
        "attempts": 2,
        "took": 0.5,
        "first": True,
        "client_id": None,
    }


def test_the_request_id_stands_in_every_line_of_its_request(lines: Lines) -> None:
    token = logs.request_id.set("r-1")
    log.info("inside")
    logs.request_id.reset(token)
    log.info("outside")
    inside, outside = lines()
    assert inside["request_id"] == "r-1"
    assert "request_id" not in outside


def test_the_level_is_obeyed(stream: io.StringIO) -> None:
    logs.configure("warning", "json", stream)
    log.info("unheard")
    log.warning("heard")
    assert stream.getvalue().count("\n") == 1


def test_configuring_again_replaces_the_first(stream: io.StringIO) -> None:
    logs.configure("info", "json", io.StringIO())
    logs.configure("info", "json", stream)
    log.info("once")
    assert stream.getvalue().count("once") == 1


def test_a_field_cannot_pass_for_a_member_of_the_line(lines: Lines) -> None:
    log.info("true", logger="false", level="false", time="false", name="n", args="a")
    (line,) = lines()
    assert (line["message"], line["level"], line["logger"]) == ("true", "info", "authsvc.flows.example")
    assert (line["level_"], line["name"], line["args"]) == ("false", "n", "a")


def test_an_exception_is_one_field(lines: Lines) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("it failed", step=3)
    (line,) = lines()
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("ValueError: first\nsecond")
    assert (line["level"], line["step"]) == ("error", 3)


def test_foreign_records_are_written_too(lines: Lines) -> None:
    logging.getLogger("foreign").warning("%d of %s", 3, "five", extra={"peer": "a"})
    (line,) = lines()
    assert (line["message"], line["peer"]) == ("3 of five", "a")


def test_a_foreign_record_at_odds_with_its_own_message_is_written_all_the_same() -> None:
    record = logging.makeLogRecord({"msg": "%d of %s", "args": ("three",)})
    assert json.loads(logs.JsonFormatter().format(record))["message"] == "%d of %s"


# --- No secrets


@pytest.mark.parametrize("name", CANARIES)
def test_a_secret_is_known_by_its_shape_wherever_it_stands(name: str, lines: Lines, stream: io.StringIO) -> None:
    text, canary = CANARIES[name]
    logging.getLogger("foreign").warning("it says %s", text)
    log.info("a field", reason=text)
    log.info("nested", detail={"list": [{"deep": (text,)}], text: 1})
    log.info("an object", error=ValueError(text))
    try:
        try:
            raise ValueError(text)
        except ValueError as cause:
            raise RuntimeError("outer") from cause
    except RuntimeError:
        log.exception("an exception")
    token = logs.request_id.set(text)
    log.info("the request id")
    logs.request_id.reset(token)
    assert len(lines()) == 6
    assert canary not in stream.getvalue()
    assert canary not in redact("x " * 5000 + text, keep="tail")


@pytest.mark.parametrize("name", FIELDS)
def test_a_secret_is_known_by_the_name_of_its_field(name: str, lines: Lines, stream: io.StringIO) -> None:
    log.info("a field", **{name: "canary"})
    log.info("nested", body={"inner": [{name: "canary", "other": {name: ["canary"]}}]})
    logging.getLogger("foreign").warning("extra", extra={name: "canary"})
    assert lines()[0][name] == REDACTED
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("name", ["status_code", "token_type", "sid", "client_id", "kid", "encode", "cookie_name"])
def test_names_about_secrets_are_not_secrets(name: str) -> None:
    assert not is_secret(name)


def test_a_cut_never_leaves_half_a_secret() -> None:
    for length in range(1, 120):
        cut = redact("x " * 50 + JWT, limit=100 + length)
        assert "c2lnbmF0" not in cut and "eyJzdWIi" not in cut
    assert redact(JWT * 1000) == "[cut]"


@given(st.text(alphabet="aetykn_-=:.\"' \\@/", max_size=60).map(lambda unit: unit * 200))
def test_no_text_is_slow_to_redact(text: str) -> None:
    redact(text, limit=16_384)


# --- No injection


INJECTIONS = [
    'a\n{"event": "forged"}',
    "a\r\nforged",
    "\x1b[2J\x1b[31mforged",
    "a\x00\x08\x7f\x85\u2028\u2029b",
    "\ud800",
]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("style", ["json", "console"])
def test_no_value_ends_the_line_or_reaches_the_terminal(text: str, style: logs.Format, stream: io.StringIO) -> None:
    logs.configure("info", style, stream)
    with unreported():
        log.info("a field", value=text, **{text: "a name"})
        logging.getLogger("foreign").warning(text)
        logging.getLogger(text).warning("x")
    written = stream.getvalue()
    assert written.count("\n") == 3 and len(written.splitlines()) == 3
    assert all(character == "\n" or character.isprintable() for character in written)


@given(st.text(), st.text(), st.text())
def test_any_text_is_one_line_of_json(message: str, name: str, value: str) -> None:
    record = logging.makeLogRecord({"msg": message, "name": name, "fields": {name: value, "list": [value]}})
    line = logs.JsonFormatter().format(record)
    assert line.isascii() and line.isprintable()
    assert isinstance(json.loads(line), dict)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


@given(ANYTHING)
def test_any_value_becomes_json(value: object) -> None:
    json.dumps(clean(value), allow_nan=False)


def test_values_that_resist_become_json_too() -> None:
    class Silent:
        def __str__(self) -> str:
            raise RuntimeError("no")

    circle: list[object] = []
    circle.append(circle)
    assert clean(Silent()) == "[a Silent]"
    assert clean({Silent(): 10**5000}) == {"[a Silent]": "[a large number]"}
    assert clean(b"canary") == "[6 bytes]"
    json.dumps(clean(circle))


# --- For people, and for uvicorn


def test_the_console_shows_one_aligned_line_and_bars_before_a_traceback(stream: io.StringIO) -> None:
    logs.configure("info", "console", stream)
    log.info("session opened", sid="s1", agent='curl "x"', password="canary")
    try:
        raise ValueError("bad\n12:00:00 forged")
    except ValueError:
        log.exception("it failed")
    first, second, *bars = stream.getvalue().splitlines()
    assert "INFO     flows.example    session opened" in first
    assert first.endswith(r'sid=s1 agent="curl \"x\"" password=[redacted]')
    assert second.endswith("it failed")
    assert bars and all(bar.startswith("    | ") for bar in bars)


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr(stream, "isatty", lambda: True)
    logs.configure("info", "console", stream)
    log.info("green")
    assert "\x1b[32m" in stream.getvalue()


def test_uvicorn_writes_through_ours_without_its_access_log(lines: Lines) -> None:
    import logging.config

    logging.config.dictConfig(logs.uvicorn_config("info"))
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 1)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.access").info("GET /?code=canary")
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=ValueError("x"))
    (line,) = lines()
    assert (line["logger"], line["exception"]) == ("uvicorn.error", "ValueError: x")


def test_a_broken_stream_breaks_nothing() -> None:  # FLT-26
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    stream.close()
    log.info("nobody hears")
    assert sys.stderr is not stream

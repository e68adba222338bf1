"""Log lines: a static message, fields, the id of the request. One record is one line, and no secret stands in it.

Secrets are taken out by the name of their field and, wherever a text comes from, by their shape (AUD-02). The second is
a net for what was not foreseen, an exception's words above all: code never hands a secret to a logger.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TextIO

from authsvc.redaction import clean_fields, redact

Format = Literal["json", "console"]

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being served; it stands in every line written meanwhile."""

_MAX_EXCEPTION = 16_384


# --- Writing


class Log:
    """A logger whose messages never vary: what varies goes into fields."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, /, **fields: object) -> None:
        self._write(logging.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, /, *, exc_info: BaseException | bool = False, **fields: object) -> None:
        self._write(logging.WARNING, message, fields, exc_info)

    def error(self, message: str, /, *, exc_info: BaseException | bool = False, **fields: object) -> None:
        self._write(logging.ERROR, message, fields, exc_info)

    def exception(self, message: str, /, **fields: object) -> None:
        """An error, with the exception that is being handled."""
        self._write(logging.ERROR, message, fields, True)

    def _write(
        self, level: int, message: str, fields: Mapping[str, object], exc_info: BaseException | bool = False
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, message, exc_info=exc_info, extra={"fields": fields})


def get_logger(name: str) -> Log:
    """The logger of a module: `log = get_logger(__name__)`."""
    return Log(logging.getLogger(name))


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that it is found again. Says nothing about its own failures: the standard words quote the record."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        pass


def configure(level: str, format: Format, stream: TextIO | None = None) -> None:
    """Send every record of this process to `stream` (stderr), in place of where an earlier call sent it."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else ConsoleFormatter(colour=handler.stream.isatty()))
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def uvicorn_config(level: str) -> dict[str, Any]:
    """uvicorn's `log_config`: its loggers write through ours; its access log, and at any level but debug everything
    below an error, is left out: any client can cause its warnings, and the rest the supervisor says better."""
    spoken = "DEBUG" if level.upper() == "DEBUG" else "ERROR"
    return {
        "version": 1,
        "incremental": True,
        "loggers": {
            "uvicorn": {"level": spoken, "propagate": True},
            "uvicorn.error": {"level": spoken, "propagate": True},
            "uvicorn.access": {"level": "CRITICAL", "propagate": False},
        },
    }


# --- Formats


_STANDARD = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName", "fields", "color_message"}
_OWN = {"time", "level", "logger", "message", "pid", "request_id", "exception"}


def _message(record: logging.LogRecord) -> str:
    try:
        return redact(record.getMessage())
    except Exception:  # a foreign library's arguments that do not fit its own message
        return redact(str(record.msg))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """Those of our own loggers, and what others gave as `extra`. A field cannot pass for a member of the line's own."""
    raw = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    raw.update(getattr(record, "fields", {}))
    return {f"{key}_" if key in _OWN else key: value for key, value in clean_fields(raw).items()}


def _exception(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[1] is not None:
        parts += traceback.format_exception(record.exc_info[1])
    if record.stack_info:
        parts.append(record.stack_info)
    return redact("".join(parts).rstrip("\n"), keep="tail", limit=_MAX_EXCEPTION)


class JsonFormatter(logging.Formatter):
    """One JSON object per record, in ASCII: no character of a value can end the line or reach a terminal (AUD-03)."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "pid": record.process,
        }
        if asked := request_id.get():
            line["request_id"] = redact(asked)
        line.update(_fields(record))
        if exception := _exception(record):
            line["exception"] = exception
        return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f")


class ConsoleFormatter(logging.Formatter):
    """For people: time of day, level, logger, message, fields; below them, set off by a bar, a traceback."""

    _COLOURS: ClassVar = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:<8}"
        if self._colour:
            level = f"\x1b[{self._COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = _fields(record)
        if asked := request_id.get():
            fields["request_id"] = redact(asked)
        words = [f"{_visible(key)}={_quoted(value)}" for key, value in fields.items()]
        name = _visible(record.name.removeprefix("authsvc."))
        line = f"{moment}.{record.msecs:03.0f} {level} {name:<16} {_visible(_message(record)):<32} {' '.join(words)}"
        bars = [f"    | {_visible(text)}" for text in _exception(record).splitlines()]
        return "\n".join([line.rstrip(), *bars])


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    plain = text and not any(c.isspace() or c in "\"'=" for c in text)
    return _visible(text) if plain or not isinstance(value, str) else _visible(json.dumps(text, ensure_ascii=False))

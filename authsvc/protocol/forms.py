"""RFC 6749 §3.1, §3.2 and appendix B: the parameters that clients send, read strictly (GEN-02 to GEN-06)."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from authsvc.errors import InvalidRequest

MAX_FIELDS = 64
REPEATABLE = frozenset({"resource", "audience"})
"""RFC 8707 §2 and RFC 8693 §2.1 let these come more than once."""

_MEDIA_TYPE = "application/x-www-form-urlencoded"


class Form:
    """The parameters of a request. An empty value is an absent one (GEN-03)."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def one(self, name: str) -> str | None:
        """The value, or None.

        Raises:
            InvalidRequest: a repeatable parameter came more than once.
        """
        values = self.many(name)
        if len(values) > 1:
            raise InvalidRequest(f"the parameter {name} came more than once")
        return values[0] if values else None

    def required(self, name: str) -> str:
        """The value.

        Raises:
            InvalidRequest: there is none, or more than one.
        """
        value = self.one(name)
        if value is None:
            raise InvalidRequest(f"the parameter {name} is missing")
        return value

    def has_any(self, names: frozenset[str]) -> bool:
        """Whether one of these came, be it empty."""
        return not names.isdisjoint(self._values)

    def is_repeated(self, name: str) -> bool:
        """Whether it came more than once, be it empty."""
        return len(self._values.get(name, ())) > 1

    def check_unrepeated(self) -> None:
        """Raises InvalidRequest: a parameter, known or not, is repeated and not in `REPEATABLE` (GEN-04)."""
        if any(self.is_repeated(name) and name not in REPEATABLE for name in self._values):
            raise InvalidRequest("a parameter came more than once")

    def pick(self, names: Iterable[str]) -> dict[str, list[str]]:
        """What came of these, repeated and empty ones as they did."""
        return {name: list(self._values[name]) for name in names if name in self._values}

    def many(self, name: str) -> list[str]:
        """Every value, in the order they came; mostly none."""
        return [value for value in self._values.get(name, ()) if value]


def parse_form(body: bytes, content_type: str | None, *, keeps_repeated: bool = False) -> Form:
    """Read an `application/x-www-form-urlencoded` body in UTF-8.

    Where it must be known who asks before anything is told, what is repeated is kept, for `Form.check_unrepeated`.

    Raises:
        InvalidRequest: another content type, more than `MAX_FIELDS` parameters, not UTF-8, a NUL, or a parameter,
            known or not, that is repeated and not in `REPEATABLE` (GEN-04).
    """
    if content_type != _MEDIA_TYPE and not _is_form(content_type):
        raise InvalidRequest(f"the content type must be {_MEDIA_TYPE}")
    # PostgreSQL takes no NUL in a text, and no parameter has a use for one. A percent sign of the value itself is
    # written %25, so these four letters are always a NUL.
    if b"\0" in body or (b"%" in body and b"%00" in body):
        raise InvalidRequest("a parameter holds a NUL character")
    try:
        text = body.decode()
        if "%" not in text and "+" not in text and text.count("&") < MAX_FIELDS:  # as most come that hold a token
            pairs = [each.partition("=")[::2] for each in text.split("&") if each]
        else:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeError as cause:
        raise InvalidRequest("the parameters are not UTF-8") from cause
    except ValueError as cause:
        raise InvalidRequest(f"there are more than {MAX_FIELDS} parameters") from cause

    values: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in values:
            values[name] = [value]
        elif keeps_repeated or name in REPEATABLE:
            values[name].append(value)
        else:
            raise InvalidRequest("a parameter came more than once")
    return Form(values)


def parse_query(query: bytes) -> Form:
    """Read the query of a URL as a form; what is repeated is kept.

    Raises:
        InvalidRequest: as `parse_form`.
    """
    return parse_form(query, _MEDIA_TYPE, keeps_repeated=True)


def _is_form(content_type: str | None) -> bool:
    """Case and blanks do not matter, and the one parameter that may follow says UTF-8 (RFC 9110 §8.3.1)."""
    media_type, _, parameter = (content_type or "").lower().partition(";")
    return media_type.strip() == _MEDIA_TYPE and parameter.strip() in {"", "charset=utf-8", 'charset="utf-8"'}

"""Taking secrets out of what is shown (AUD-02): by the name of the field they stand in, and by their shape in any text.

A net, not a licence: code never hands a secret to a logger. Too much is taken out rather than too little, and every
pattern is bounded, so that no text is slow to search.
"""

import re
from collections.abc import Mapping
from datetime import date
from itertools import islice
from math import isfinite
from typing import Any, Literal

REDACTED = "[redacted]"

_MAX_TEXT = 4096
_MAX_DEPTH = 6
_MAX_ITEMS = 64

# --- By name

# Anywhere in a name: `client_secret`, `refreshtoken`, `Set-Cookie`.
_STRONG = (
    r"passw(?:or)?d|passphrase|secret|token|assertion|authorization|cookie|credential|master_?key|private_?key|api_?key"
)
# Only as a whole word of a name: `user_code`, not `encode`.
_WEAK = r"codes?|pwd|pin|otp|totp|jwt|dsn|verifier"
_SECRET_NAME = re.compile(rf"{_STRONG}|(?:^|_)(?:{_WEAK})$")
# About a secret, and none: `token_type`, `status_code`.
_HARMLESS_NAME = re.compile(
    r"_(?:type|hint|kind|id|ids|ref|name|count|length|method|methods|seconds|endpoint|outcome|expires_at)$"
    r"|^(?:status|error|exit|return|country|sql)_code$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def is_secret(name: str) -> bool:
    """Whether what stands under this name is not to be shown. `accessToken`, `access-token`, `ACCESS_TOKEN` are one."""
    plain = _HUMP.sub("_", name).replace("-", "_").lower()
    return _SECRET_NAME.search(plain) is not None and _HARMLESS_NAME.search(plain) is None


# --- By shape

_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}-----|\Z)", re.DOTALL), REDACTED),
    # The password of a URL. One with / ? # or @ in it is no URL, and is written in database URLs all the same.
    (
        re.compile(r"\b((?:postgres(?:ql)?|rediss?|valkeys?)://[^\s:/@]{0,128}:)[^\s\"'<>]{0,512}@", re.IGNORECASE),
        rf"\1{REDACTED}@",
    ),
    (re.compile(r"(://[^\s:/@?#]{0,128}:)[^\s/@?#\"'<>]{0,512}@"), rf"\1{REDACTED}@"),
    # A header to its end.
    (
        re.compile(r"\b((?:set-)?cookie|(?:proxy-)?authorization)(\s{0,3}:\s{0,3})[^\s\"'][^\r\n]*", re.IGNORECASE),
        rf"\1\2{REDACTED}",
    ),
    (
        re.compile(
            r"\b(bearer|basic|dpop)(\s{1,3})(?!(?:token|auth|authentication|scheme|realm|challenge)(?:\s|$))"
            r"[A-Za-z0-9._~+/=-]+",
            re.IGNORECASE,
        ),
        rf"\1\2{REDACTED}",
    ),
    # A JWT or JWE: what begins like one, and any three long segments.
    (re.compile(r"(?<![A-Za-z0-9_-])ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"), REDACTED),
    (re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]{20,}){2,4}"), REDACTED),
    # The machine secrets of this service.
    (re.compile(r"(?<![A-Za-z0-9])as_[A-Za-z0-9_-]{16,}"), REDACTED),
)
# name=value, "name": "value", name: value. A quote that the end of the text cut off holds to the end.
_NAME = re.compile(
    rf"(?<![\w-])(?P<name>[\w-]{{0,40}}?(?:{_STRONG})[\w-]{{0,40}}|(?:[\w-]{{0,40}}[_-])?(?:{_WEAK}))"
    r"(?P<sign>[\"']?\s{0,3}[=:]\s{0,3})",
    re.IGNORECASE,
)
_VALUE = re.compile(r"""\"(?:[^\"\\]|\\.)*+(?:\"|\Z)|'(?:[^'\\]|\\.)*+(?:'|\Z)|[^\s,;&\"'<>()\[\]{}]+""", re.DOTALL)


def redact(text: str, *, limit: int = _MAX_TEXT, keep: Literal["head", "tail"] = "head") -> str:
    """The text without what has the shape of a secret, and not much longer than `limit`."""
    cut = _cut(text, limit, keep)
    for shape, instead in _SHAPES:
        cut = shape.sub(instead, cut)
    return _mask_pairs(cut)


def _mask_pairs(text: str) -> str:
    parts, done, at = [], 0, 0
    while found := _NAME.search(text, at):
        at = found.end()
        if not is_secret(found["name"]):
            continue
        value = _VALUE.match(text, at)
        if value is not None and not _is_prose(found["name"], found["sign"], value[0]):
            parts += [text[done:at], REDACTED]
            done = at = value.end()
    return "".join([*parts, text[done:]])


def _is_prose(name: str, sign: str, value: str) -> bool:
    """What a bare colon may follow and hold no secret: `InvalidToken: it has expired`, `code: 42`."""
    is_bare = sign.strip() == ":" and value[0] not in "\"'"
    return is_bare and (_HUMP.search(name) is not None or re.search(_STRONG, name, re.IGNORECASE) is None)


def _cut(text: str, limit: int, keep: Literal["head", "tail"]) -> str:
    """At a blank: half a secret has no shape any more."""
    if len(text) <= limit:
        return text
    if keep == "head":
        head = text[:limit]
        return head[: max(head.rfind(" "), head.rfind("\n")) + 1] + "[cut]"
    tail = text[-limit:]
    blank = re.search(r"\s", tail)
    return "[cut]" + (tail[blank.start() :] if blank else "")


# --- In any value


def clean(value: object, depth: int = 0) -> object:
    """The value as JSON can hold it, without secrets. Never raises, whatever it is given."""
    match value:
        case None | bool():
            return value
        case str():
            return redact(str(value))
        case int():
            return int(value) if -(2**63) <= value < 2**64 else "[a large number]"
        case float():
            return float(value) if isfinite(value) else str(float(value))
        case bytes() | bytearray() | memoryview():
            return f"[{len(value)} bytes]"
        case date():
            return value.isoformat()
        case dict() | list() | tuple() | set() | frozenset() if depth == _MAX_DEPTH:
            return "[deeper]"
        case dict():
            return clean_fields(value, depth + 1)
        case list() | tuple() | set() | frozenset():
            return [clean(each, depth + 1) for each in islice(value, _MAX_ITEMS)]
        case _:
            return redact(_words(value))


def clean_fields(fields: Mapping[Any, object], depth: int = 0) -> dict[str, object]:
    """The fields as `clean` shows them; what stands under the name of a secret is left out."""
    shown = {}
    for key, value in islice(fields.items(), _MAX_ITEMS):
        name = _words(key)
        is_safe = value is None or isinstance(value, bool) or not is_secret(name)
        shown[redact(name)] = clean(value, depth) if is_safe else REDACTED
    return shown


def _words(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a foreign object's own words may raise anything
        return f"[a {type(value).__name__}]"

"""OpenID Connect Core §5.1: what a value of each claim has to look like."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date

MAX_TEXT = 256
MAX_URL = 1024
MAX_ADDRESS = 512

Fault = str | None
"""What is wrong, to be read after the name of the claim."""

# An https or http URL in the letters of RFC 3986. No other scheme is followed by anybody who shows a profile.
_URL = re.compile(r"https?://[^\s/?#\"<>\\^`{|}]+[!#-;=?-\[\]_a-z~]*")
# RFC 5646 in outline; an underscore is what some systems write (§5.1).
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")
# E.164, as RECOMMENDED, with the separators and the extension of RFC 3966.
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{2,30}[0-9](?:;ext=[0-9]{1,10})?")
_BIRTHDATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2}))?")
_ADDRESS_MEMBERS = frozenset({"formatted", "street_address", "locality", "region", "postal_code", "country"})


def find_fault(name: str, value: object) -> Fault:
    """What is wrong with this value of this claim, if it is one that is kept about a user."""
    judge = _JUDGES.get(name)
    return "is not kept" if judge is None else judge(value)


def _judge_text(value: object) -> Fault:
    if not _is_text(value, MAX_TEXT):
        return f"is a text of 1 to {MAX_TEXT} characters, on one line"
    return None


def _judge_url(value: object) -> Fault:
    if not isinstance(value, str) or len(value) > MAX_URL or not value.isascii() or not _URL.fullmatch(value):
        return f"is an https or http URL of {MAX_URL} characters at most"
    return None


def _judge_birthdate(value: object) -> Fault:
    found = _BIRTHDATE.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        year, month, day = found.groups(default="1")
        try:
            # 0000 leaves the year out (§5.1): then any day is good that some year has.
            date(int(year) or 2000, int(month), int(day))
        except ValueError:
            found = None
        else:
            if value == "0000":
                found = None
    return None if found is not None else "is a date, as YYYY-MM-DD, YYYY, or 0000-MM-DD without the year"


def _judge_phone(value: object) -> Fault:
    return _judge_pattern(value, _PHONE, "is a telephone number that begins with + and the country")


def _judge_zone(value: object) -> Fault:
    return _judge_pattern(value, _ZONE, "is the name of a time zone, as Europe/Paris")


def _judge_locale(value: object) -> Fault:
    return _judge_pattern(value, _LOCALE, "is a language tag, as en-US")


def _judge_pattern(value: object, pattern: re.Pattern[str], otherwise: str) -> Fault:
    return None if isinstance(value, str) and len(value) <= 64 and pattern.fullmatch(value) else otherwise


def _judge_bool(value: object) -> Fault:
    return None if isinstance(value, bool) else "is true or false"


def _judge_address(value: object) -> Fault:
    if not isinstance(value, dict) or not value or not value.keys() <= _ADDRESS_MEMBERS:
        return f"is an object with some of {', '.join(sorted(_ADDRESS_MEMBERS))}"
    for member, text in value.items():
        # Both may have several lines (§5.1.1).
        has_lines = member in {"formatted", "street_address"}
        if not _is_text(text, MAX_ADDRESS, has_lines=has_lines):
            return f"has a {member} that is no text of 1 to {MAX_ADDRESS} characters"
    return None


def _is_text(value: object, longest: int, *, has_lines: bool = False) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.strip():
        return False
    if has_lines:
        value = value.replace("\r\n", " ").replace("\n", " ")
    # Controls, NUL among them, and lone surrogates: neither PostgreSQL nor anybody's page takes them.
    return not any(unicodedata.category(each) in {"Cc", "Cs"} for each in value)


_JUDGES: Mapping[str, Callable[[object], Fault]] = {
    **dict.fromkeys(
        ("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "gender"), _judge_text
    ),
    **dict.fromkeys(("profile", "picture", "website"), _judge_url),
    "birthdate": _judge_birthdate,
    "zoneinfo": _judge_zone,
    "locale": _judge_locale,
    "phone_number": _judge_phone,
    "phone_number_verified": _judge_bool,
    "address": _judge_address,
}

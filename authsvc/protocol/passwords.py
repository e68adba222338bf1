"""NIST SP 800-63B-4 §3.1.1.2: what a password may be. Normalised to NFC, never trimmed, folded or truncated."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from unicodedata import normalize
from urllib.parse import urlsplit

from authsvc.errors import InvalidPassword, InvalidValue, PasswordFault

MAX_CODE_POINTS = 256
MAX_BYTES = 1024

GUIDANCE = "three or four unrelated words make a good one"


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """What a new password is held to. `common` are passwords that many people have, case-folded (PWR-07)."""

    min_length: int
    common: frozenset[str] = field(default=frozenset(), repr=False)
    service: frozenset[str] = frozenset()
    """The words of the service's own name."""


def prepare(password: str, *, pointer: str = "/password") -> bytes:
    """The bytes that are hashed: the same at setting and at verifying (PWR-04).

    Raises:
        InvalidValue: it is longer than anything this service hashes (PWS-06), or no Unicode text.
    """
    if len(password) <= MAX_BYTES:
        try:
            prepared = normalize("NFC", password)
            encoded = prepared.encode()
        except UnicodeEncodeError:
            raise InvalidValue("the password is not valid Unicode text", pointer=pointer) from None
        if len(prepared) <= MAX_CODE_POINTS and len(encoded) <= MAX_BYTES:
            return encoded
    raise InvalidPassword(
        f"the password is longer than {MAX_CODE_POINTS} characters or {MAX_BYTES} bytes",
        pointer=pointer,
        fault=PasswordFault.LONG,
    )


def prepare_new(password: str, rules: PasswordRules, *, email: str, pointer: str = "/password") -> bytes:
    """As `prepare`, for a password that is being set by whoever has this canonical address: it must also be long enough
    (PWR-01), counted in code points after normalisation (PWR-03), and not among the first that anybody would guess
    (PWR-07). No composition rules (PWR-05).

    Raises:
        InvalidValue: it is too short, too long, or easily guessed; says which, and what to do instead.
    """
    prepared = prepare(password, pointer=pointer)
    text = prepared.decode()
    if len(text) < rules.min_length:
        raise InvalidPassword(
            f"the password needs at least {rules.min_length} characters; {GUIDANCE}",
            pointer=pointer,
            fault=PasswordFault.SHORT,
        )
    weakness = find_weakness(text, rules, email)
    if weakness is not None:
        raise InvalidPassword(f"the password {weakness}; {GUIDANCE}", pointer=pointer, fault=PasswordFault.GUESSABLE)
    return prepared


def parse_common(text: str) -> frozenset[str]:
    """Read the list that `deploy/make-common-passwords.py` makes: comments, an empty line, a password a line."""
    return frozenset(text.partition("\n\n")[2].splitlines())


# --- Easily guessed


def find_weakness(password: str, rules: PasswordRules, email: str) -> str | None:
    """Why the whole of it is easily guessed. What merely contains something listed is not (PWR-07)."""
    folded = password.casefold()
    piece = _repeated(folded)
    if piece != folded and len(piece) < rules.min_length:
        return "repeats a short piece"
    if _is_run(folded):
        return "is a run of letters, digits or keys"
    stems = set(_stems(folded))
    if not stems.isdisjoint(_words_of_email(email)):
        return "is made of the e-mail address"
    if not stems.isdisjoint(rules.service):
        return "is made of the name of this service"
    if not stems.isdisjoint(rules.common):
        return "is made of one that many people have"
    return None


def words_of_issuer(issuer: str) -> frozenset[str]:
    """The words of the service's name: its host, and the labels of it but for the last."""
    return frozenset(_words_of_host(urlsplit(issuer).hostname or ""))


def _words_of_email(email: str) -> set[str]:
    local, _, host = email.casefold().partition("@")
    parts = "".join(character if character.isalnum() else " " for character in local).split()
    return _long_enough((email.casefold(), local, "".join(parts), *parts)) | _words_of_host(host)


def _words_of_host(host: str) -> set[str]:
    labels = host.split(".")
    return _long_enough((host, *(labels[:-1] or labels)))


def _long_enough(words: Iterable[str]) -> set[str]:
    """One or two letters are nobody's name."""
    return {word for word in words if len(word) >= 3}


# What stands for which letter in a password.
_LETTERS = str.maketrans("0134578@$!", "oieastbasi")


def _stems(folded: str) -> Iterator[str]:
    """What a password is made of if it is one word: without what was put before and behind it or between its letters,
    and once if it is repeated."""
    for text in (folded, "".join(filter(str.isalnum, folded))):
        for outer in (text, _core(text)):
            piece = _repeated(outer)
            for stem in (outer, piece, _core(piece)):
                yield stem
                yield stem.translate(_LETTERS)


def _core(text: str) -> str:
    """From the first letter to the last."""
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    return text[letters[0] : letters[-1] + 1] if letters else ""


def _repeated(text: str) -> str:
    """The shortest piece that the text repeats twice or more, the last time perhaps in part; else the text."""
    for length in range(1, len(text) // 2 + 1):
        if text[length:] == text[:-length]:
            return text[:length]
    return text


_LINES = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "!@#$%^&*()",
    "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn",
    "qazwsxedcrfvtgbyhnujmikolp", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "1q2w3e4r5t6y7u8i9o0p",
)  # fmt: skip
_STEPS = frozenset(step for line in _LINES for way in (line, line[::-1]) for step in pairwise(way))
_MEAN_RUN = 5


def _is_run(folded: str) -> bool:
    """Whether it goes along the alphabet, the digits or the keyboard, five steps and more between two turns."""
    turns = sum(one != other and (one, other) not in _STEPS for one, other in pairwise(folded))
    return turns * _MEAN_RUN < len(folded)

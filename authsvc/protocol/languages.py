"""RFC 4647 §3.4: which language somebody is answered in. OpenID Connect Core §3.1.2.1: `ui_locales` goes first."""

import re
from collections.abc import Iterator, Sequence

MAX_LENGTH = 1024
"""Of a list of wishes. What is longer was not written by a browser."""

_RANGE = re.compile(
    r"(?P<tag>[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8})*)(?:\s*;\s*q\s*=\s*(?P<weight>[01](?:\.\d{0,3})?))?", re.ASCII
)


def choose_language(ui_locales: str | None, accept_language: str | None, offered: Sequence[str]) -> str:
    """The first wish that can be met: those of the client's request as they stand, then those of the browser by weight.

    A wish for `de-AT` is met by `de`; one that nothing is known of, or that cannot be read, is passed over. Where none
    can be met it is the first that is offered.
    """
    by_name = {language.lower(): language for language in offered}
    for wish in [*_in_turn(ui_locales or ""), *_by_weight(accept_language or "")]:
        for tag in _shorter_and_shorter(wish):
            if tag in by_name:
                return by_name[tag]
    return offered[0]


def _in_turn(ui_locales: str) -> Iterator[str]:
    for word in ui_locales[:MAX_LENGTH].split():
        if (found := _RANGE.fullmatch(word)) and found["weight"] is None:
            yield found["tag"]


def _by_weight(accept_language: str) -> list[str]:
    found = [_RANGE.fullmatch(part.strip()) for part in accept_language[:MAX_LENGTH].split(",")]
    weighed = [(float(each["weight"] or 1), each["tag"]) for each in found if each]
    return [tag for weight, tag in sorted(weighed, key=lambda pair: -pair[0]) if 0 < weight <= 1]


def _shorter_and_shorter(wish: str) -> Iterator[str]:
    """`zh-Hant-TW`, `zh-Hant`, `zh`. A single letter opens an extension, and is no tag's end (RFC 4647 §3.4)."""
    parts = wish.lower().replace("_", "-").split("-")
    while parts:
        if len(parts[-1]) > 1:
            yield "-".join(parts)
        parts.pop()

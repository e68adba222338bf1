"""RFC 6749 §3.3: scopes."""

import re
from collections.abc import Sequence

from authsvc.errors import InvalidScope

OPENID, OFFLINE_ACCESS = "openid", "offline_access"
"""Those of OpenID Connect that change the kind of the answer."""

MAX_SCOPE_LENGTH = 2048
"""Of the whole text: a token that holds it stays below `jwt.MAX_TOKEN_BYTES`."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


def parse_scope(text: str) -> tuple[str, ...]:
    """The scopes of a space-delimited text, in its order, each once (SCO-01).

    Raises:
        InvalidScope: letters outside of RFC 6749 §3.3, two spaces side by side, too long, or nothing at all.
    """
    if len(text) > MAX_SCOPE_LENGTH or not _SCOPE.fullmatch(text):
        raise InvalidScope("the scope is malformed")
    return tuple(dict.fromkeys(text.split(" ")))


def granted_scope(requested: Sequence[str] | None, allowed: Sequence[str]) -> tuple[str, ...]:
    """What is granted: everything allowed when nothing was requested (SCO-02), else what was requested.

    Raises:
        InvalidScope: more was requested than is allowed.
    """
    if requested is None:
        return tuple(allowed)
    if not set(requested) <= set(allowed):
        raise InvalidScope("the scope is wider than what is allowed")
    return tuple(requested)


def format_scope(scope: Sequence[str]) -> str:
    """The text that `parse_scope` reads; empty when there are none."""
    return " ".join(scope)

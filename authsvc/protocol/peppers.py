"""NIST SP 800-63B-4 §3.1.1.2: the keyed step before the hash. Its key, the pepper, is not in the database (PWS-03).

A stored hash names its pepper in front: `p:<id>$argon2id$...`. Without one it is the plain PHC string.
"""

import hmac
import re
from dataclasses import dataclass, field

from authsvc.protocol.keys import parse_secret_key

_STORED = re.compile(r"p:(?P<pepper>[0-9a-f]{16})(?P<phc>\$.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pepper:
    """A key and the name of it, which tells nothing about it."""

    id: str
    key: bytes = field(repr=False)

    def apply(self, password: bytes) -> bytes:
        return hmac.digest(self.key, password, "sha256")


def parse_pepper(text: str) -> Pepper:
    """Read 32 random bytes in base64url, as `authsvc pepper generate` prints them.

    Raises:
        ConfigurationError: it is something else. Says nothing of what was read.
    """
    key = parse_secret_key(text, name="the password pepper", made_by="authsvc pepper generate")
    return Pepper(hmac.digest(key, b"authsvc password pepper id", "sha256")[:8].hex(), key)


class Peppers:
    """The pepper of new hashes, and another that is known, the one before or the one to come. Either may be missing."""

    def __init__(self, current: Pepper | None = None, other: Pepper | None = None) -> None:
        self.current = current
        self._known = {pepper.id: pepper for pepper in (current, other) if pepper is not None}

    def find(self, pepper_id: str) -> Pepper | None:
        return self._known.get(pepper_id)


def format_stored(pepper: Pepper | None, phc: str) -> str:
    """What stands in the database."""
    return phc if pepper is None else f"p:{pepper.id}{phc}"


def parse_stored(stored: str) -> tuple[str | None, str]:
    """The id of its pepper, if it has one, and its PHC string."""
    found = _STORED.fullmatch(stored)
    return (None, stored) if found is None else (found["pepper"], found["phc"])

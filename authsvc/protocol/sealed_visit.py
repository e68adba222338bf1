"""Somebody who wants to see a page of ours has to log in first: where to travels sealed with the browser, so that
nobody's link leads from our login to anywhere else."""

from dataclasses import dataclass

import msgspec

from authsvc.protocol import seals

MAX_LENGTH = 500
_CONTEXT = b"authsvc visit\0"


@dataclass(frozen=True, slots=True)
class Visit:
    path: str
    """Below the issuer's."""
    was_interrupted: bool = False
    """They were there, and had just sent something when their session was over."""
    app: str | None = None
    """The origin of the app that has sent them, and to which they go in place of the path."""


def seal(key: bytes, visit: Visit) -> str:
    return seals.seal(key, _CONTEXT, msgspec.json.encode(visit))


def open_sealed(key: bytes, text: str) -> Visit | None:
    """None: it is none that was sealed here. One is never too old: it says where to, and nothing that would change."""
    body = seals.open_seal(key, _CONTEXT, text) if len(text) <= MAX_LENGTH else None
    return None if body is None else msgspec.json.decode(body, type=Visit)

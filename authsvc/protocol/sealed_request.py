"""An authorization request that waits for its user: it travels sealed with the browser, and no row is kept for it.

What is sealed is the request as it came, with the moment at which it did: it is read anew each time, by the client's
settings of that time, and never from anything else that a browser sends (AUZ-17). It is no secret, for the browser
brought it itself; nobody else can make one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from authsvc.errors import ExpiredRequest, NoRecipient
from authsvc.protocol import seals
from authsvc.protocol.forms import Form

LIFE = timedelta(minutes=10)
MAX_LENGTH = 12_000
"""Of a seal: it travels in a URL, and the whole head of a request has 16 KiB."""

PARAMETERS = (
    "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "resource",
    "code_challenge", "code_challenge_method", "prompt", "max_age", "claims", "acr_values", "id_token_hint",
    "login_hint", "display", "ui_locales", "claims_locales", "request", "request_uri", "registration",
)  # fmt: skip
"""All that are read. Others are left behind."""

_CONTEXT = b"authsvc waiting request\0"
_MARGIN = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    born: int
    """Microseconds of Unix time."""
    values: dict[str, list[str]]
    request_uri: str | None = None
    is_signed: bool = False


@dataclass(frozen=True, slots=True)
class WaitingRequest:
    form: Form
    born_at: datetime
    request_uri: str | None = None
    """By which it was pushed; None: it came with the browser."""
    is_signed: bool = False
    """The parameters are those of a request object that its client has signed."""


def seal(key: bytes, request: WaitingRequest) -> str:
    """Raises NoRecipient: it is too long to travel in a URL."""
    born = (request.born_at - _EPOCH) // timedelta(microseconds=1)
    sealed = _Sealed(born, request.form.pick(PARAMETERS), request.request_uri, request.is_signed)
    text = seals.seal(key, _CONTEXT, msgspec.json.encode(sealed))
    if len(text) > MAX_LENGTH:
        raise NoRecipient("the request is too long")
    return text


def fits(request: WaitingRequest) -> bool:
    """Whether it can be sealed, and be a little longer when its user is switched."""
    try:
        return len(seal(b"", request)) <= MAX_LENGTH - _MARGIN
    except NoRecipient:
        return False


def open_sealed(key: bytes, text: str, now: datetime) -> WaitingRequest:
    """Raises:
    NoRecipient: nobody here has sealed it.
    ExpiredRequest: it has waited for too long.
    """
    body = seals.open_seal(key, _CONTEXT, text) if len(text) <= MAX_LENGTH else None
    if body is None:
        raise NoRecipient("the parameter request was not made here")
    sealed = msgspec.json.decode(body, type=_Sealed)
    born_at = _EPOCH + timedelta(microseconds=sealed.born)
    if now >= born_at + LIFE:
        raise ExpiredRequest("the request has waited for too long")
    return WaitingRequest(Form(sealed.values), born_at, sealed.request_uri, sealed.is_signed)

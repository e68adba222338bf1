"""OpenID Connect RP-Initiated Logout 1.0: a client sends its user to be logged out here. Who asks, whether the user has
to be asked as well, and where they may be sent then (RPL-01 to RPL-05).

What cannot be believed counts as not said: the user is asked, and stays here. They came to be logged out, and an error
would leave them logged in.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import quote

import msgspec

from authsvc.errors import InvalidRedirectUri, NoRecipient
from authsvc.models import Client, JsonObject, Session
from authsvc.protocol import seals
from authsvc.protocol.forms import Form
from authsvc.protocol.redirects import check_redirect_uri
from authsvc.protocol.subjects import PLAIN, Names

LIFE = timedelta(minutes=10)
MAX_LENGTH = 12_000
"""Of a seal: it travels in a URL, and the whole head of a request has 16 KiB."""

_CONTEXT = b"authsvc logout\0"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Step(StrEnum):
    ASK = "ask"
    """The user, whether they want it: another site may have sent them (RPL-03)."""
    END = "end"
    """The session: a client says so which shows that it is of that session."""
    NOTHING = "nothing"
    """Nobody is logged in here."""


class Hint(msgspec.Struct, frozen=True):
    """What an ID token of ours says of whom it was for, by the names that its client has for them."""

    client_id: str
    sub: str
    sid: str | None

    @classmethod
    def read(cls, claims: JsonObject, issuer: str) -> Self | None:
        """Of a token whose signature is right. However old it is: a user may come late (§2)."""
        client_id, sub, sid = claims.get("aud"), claims.get("sub"), claims.get("sid")
        if claims.get("iss") != issuer or not isinstance(client_id, str) or not isinstance(sub, str):
            return None
        return cls(client_id, sub, sid if isinstance(sid, str) else None)


class LogoutRequest(msgspec.Struct, frozen=True):
    """What of a request is to be believed."""

    client_id: str | None = None
    hint: Hint | None = None
    redirect_uri: str | None = None
    state: str | None = None
    ui_locales: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. `logout_hint` may come, and says nothing that a cookie would not say better."""

    id_token_hint: str | None
    client_id: str | None
    redirect_uri: str | None
    state: str | None
    ui_locales: str | None


def parse_asked(form: Form) -> Asked:
    """Raises InvalidRequest: a parameter came more than once."""
    form.check_unrepeated()
    return Asked(
        form.one("id_token_hint"), form.one("client_id"), form.one("post_logout_redirect_uri"), form.one("state"),
        form.one("ui_locales"),
    )  # fmt: skip


def find_client_id(asked: Asked, hint: Hint | None) -> str | None:
    """Whose client asks. None where nobody says so, or by a hint that is none of ours (RPL-02).

    Raises:
        NoRecipient: it says that it is another client than the hint is for.
    """
    if asked.id_token_hint is not None and hint is None:
        return None
    if hint is not None and asked.client_id not in {None, hint.client_id}:
        raise NoRecipient("the client_id is not that of the id_token_hint")
    return asked.client_id if hint is None else hint.client_id


def build_request(asked: Asked, hint: Hint | None, client: Client | None) -> LogoutRequest:
    """`client` is the one that asks, if there is one and it is enabled."""
    if client is None:
        return LogoutRequest(hint=hint, ui_locales=asked.ui_locales)
    is_usable = asked.redirect_uri is not None and may_go_to(client, asked.redirect_uri)
    return LogoutRequest(
        client_id=client.client_id,
        hint=hint,
        redirect_uri=asked.redirect_uri if is_usable else None,
        state=asked.state if is_usable else None,
        ui_locales=asked.ui_locales,
    )


def may_go_to(client: Client, uri: str) -> bool:
    """Whether users of this client may be sent there when they are out: it is, letter by letter, one that is registered
    (RPL-04)."""
    try:
        check_redirect_uri(uri, client.application_type)  # RED-06: whoever wrote the row
    except InvalidRedirectUri:
        return False
    return uri in client.post_logout_redirect_uris


def next_step(
    request: LogoutRequest, session: Session | None, names: Names = PLAIN, replaced: Collection[str] = ()
) -> Step:
    """`names` has the client of the hint for users and sessions; `replaced` are sessions of that client which this one
    has replaced."""
    if session is None:
        return Step.NOTHING
    hint = request.hint
    if hint is None or hint.sub != names.of_user(session.sub):
        return Step.ASK
    known = {names.of_session(each) for each in (session.sid, *replaced)}
    return Step.END if hint.sid in known else Step.ASK


def build_location(request: LogoutRequest) -> str | None:
    """Where the user goes who is out; `state` as it came. None: nowhere."""
    uri = request.redirect_uri
    if uri is None or request.state is None:
        return uri
    if not uri.endswith(("?", "&")):
        uri += "&" if "?" in uri else "?"
    return f"{uri}state={quote(request.state, safe='')}"


# --- While the user is asked


class _Sealed(msgspec.Struct, array_like=True, frozen=True):
    born: int
    """Microseconds of Unix time."""
    request: LogoutRequest


def seal(key: bytes, request: LogoutRequest, now: datetime) -> str:
    """Raises NoRecipient: it is too long to travel in a URL."""
    born = (now - _EPOCH) // timedelta(microseconds=1)
    text = seals.seal(key, _CONTEXT, msgspec.json.encode(_Sealed(born, request)))
    if len(text) > MAX_LENGTH:
        raise NoRecipient("the request is too long")
    return text


def open_sealed(key: bytes, text: str, now: datetime) -> LogoutRequest:
    """One that asks for nothing but a logout, where this was not sealed here or has waited for too long: then the user
    is asked by nobody but us."""
    body = seals.open_seal(key, _CONTEXT, text) if len(text) <= MAX_LENGTH else None
    if body is None:
        return LogoutRequest()
    sealed = msgspec.json.decode(body, type=_Sealed)
    has_expired = now >= _EPOCH + timedelta(microseconds=sealed.born) + LIFE
    return LogoutRequest() if has_expired else sealed.request

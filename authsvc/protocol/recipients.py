"""RFC 6749 §3.1.2, §4.1.2.1: who asks for authorization, and where they may be answered (AUZ-02).

Until that is known nothing goes anywhere but to a page.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from authsvc.errors import InvalidRedirectUri, NoRecipient
from authsvc.models import Client, JsonObject
from authsvc.protocol.forms import Form
from authsvc.protocol.jwt import read_unverified
from authsvc.protocol.redirects import check_redirect_uri, is_registered
from authsvc.protocol.scopes import OPENID

MAX_VALUE_LENGTH = 1024
"""Of what is carried along and given back: `state` and `nonce`."""

_VISIBLE = re.compile(r"[\x20-\x7e]+")
_REPLACING = ("request", "request_uri")


class ResponseMode(StrEnum):
    """How the answer travels. Never in a fragment (AUZ-06)."""

    QUERY = "query"
    FORM_POST = "form_post"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who asks, where the answer may go, and what it needs to be understood there."""

    client_id: str
    redirect_uri: str
    names_redirect_uri: bool
    """Whether the request did; then so must the one that redeems the code (COD-02)."""
    response_mode: ResponseMode
    state: str | None


def parse_client_id(form: Form) -> str:
    """Raises NoRecipient: there is none, or more than one."""
    if form.is_repeated("client_id"):
        raise NoRecipient("the parameter client_id came more than once")
    client_id = form.one("client_id")
    if client_id is None:
        raise NoRecipient("the parameter client_id is missing")
    return client_id


def find_recipient(form: Form, client: Client | None) -> Recipient:
    """Where the answer to this request of this client goes, be it an error.

    Raises:
        NoRecipient: there is no such client, it is disabled, or the redirect URI is none of its own (RED-01, RED-02).
            A missing one is fine where exactly one is registered (RED-07), but not in OpenID Connect, which demands it,
            nor beside a request object that could not be read, and may name another.
    """
    if client is None or client.disabled_at is not None:
        raise NoRecipient("there is no such client")
    if form.is_repeated("redirect_uri"):
        raise NoRecipient("the parameter redirect_uri came more than once")
    asked = form.one("redirect_uri")
    if asked is None:
        is_optional = len(client.redirect_uris) == 1 and not (_names_openid(form) or any(map(form.many, _REPLACING)))
        if not is_optional:
            raise NoRecipient("the parameter redirect_uri is missing")
    elif not is_registered(asked, client.redirect_uris):
        raise NoRecipient("the redirect_uri is none that is registered for the client")
    redirect_uri = asked or client.redirect_uris[0]
    inside = _look_inside(form)
    try:
        check_redirect_uri(redirect_uri, client.application_type)  # RED-06: whoever wrote the row
    except InvalidRedirectUri as cause:
        raise NoRecipient("the redirect_uri of the client is not usable") from cause
    return Recipient(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        names_redirect_uri=asked is not None,
        response_mode=_find_response_mode(form, inside, redirect_uri),
        state=_find_state(form, inside),
    )


def _names_openid(form: Form) -> bool:
    return any(OPENID in scope.split(" ") for scope in form.many("scope"))


def _look_inside(form: Form) -> JsonObject:
    """What stands in a request object that is going to be refused. It is read for that alone: how the client wants to
    hear it, and by which state it knows what is refused. Never where: nobody has looked who wrote it."""
    objects = form.many("request")
    return read_unverified(objects[0]) if len(objects) == 1 else {}


def _values(form: Form, inside: JsonObject, name: str) -> list[str]:
    """Those of the request itself; where it has none, the one in its object."""
    value = inside.get(name)
    return list(form.many(name)) or ([value] if isinstance(value, str) else [])


def _find_response_mode(form: Form, inside: JsonObject, redirect_uri: str) -> ResponseMode:
    """The one of a code where none is named that could be used. No browser posts a form to an app."""
    can_be_posted_to = redirect_uri.startswith(("https://", "http://"))
    is_posted = _values(form, inside, "response_mode") == [ResponseMode.FORM_POST] and can_be_posted_to
    return ResponseMode.FORM_POST if is_posted else ResponseMode.QUERY


def _find_state(form: Form, inside: JsonObject) -> str | None:
    """None where there is none that could be given back as it came (AUZ-05)."""
    asked = _values(form, inside, "state")
    return asked[0] if len(asked) == 1 and not form.is_repeated("state") and is_plain(asked[0]) else None


def is_plain(text: str) -> bool:
    """Whether it is printable ASCII of a length that can be carried along."""
    return len(text) <= MAX_VALUE_LENGTH and _VISIBLE.fullmatch(text) is not None

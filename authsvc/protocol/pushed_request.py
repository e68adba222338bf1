"""RFC 9126: authorization requests that clients push, and users bring the name of (PAR-01 to PAR-08)."""

import re
from datetime import timedelta

from authsvc.errors import InvalidRequest, NoRecipient
from authsvc.models import Client, JsonObject
from authsvc.protocol.forms import Form
from authsvc.protocol.recipients import Recipient, find_recipient
from authsvc.protocol.request_object import REPLACING
from authsvc.protocol.sealed_request import PARAMETERS

LIFE = timedelta(seconds=90)
"""For the user's browser to get here. Then the request waits for its user as any other."""
URN = "urn:ietf:params:oauth:request_uri:"

_REQUEST_URI = re.compile(re.escape(URN) + r"[A-Za-z0-9_-]{43}")


def find_request_uri(form: Form) -> str | None:
    """The one that was given out here, as far as its form says. None where there is none, or one that is to be fetched
    from somewhere.

    Raises:
        NoRecipient: there are more than one, or a request object beside it (JAR-01).
    """
    named = form.many("request_uri")
    if not any(_REQUEST_URI.fullmatch(each) for each in named):
        return None
    if len(named) > 1 or form.many("request"):
        raise NoRecipient("the parameter request_uri stands alone")
    return named[0]


def check_pushed(form: Form) -> None:
    """Raises InvalidRequest: a request that is pushed names one that was (PAR-01)."""
    if form.many("request_uri"):
        raise InvalidRequest("the parameter request_uri has no place in a request that is pushed")


def of_client(form: Form, client_id: str) -> Form:
    """The parameters of the request, of the client that has proven to be this one."""
    return Form(form.pick(name for name in PARAMETERS if name not in REPLACING) | {"client_id": [client_id]})


def find_pushed_recipient(form: Form, client: Client) -> Recipient:
    """Raises InvalidRequest: it is not known where the answer may go. Here that is told to the client (PAR-02)."""
    try:
        return find_recipient(form, client)
    except NoRecipient as error:
        raise InvalidRequest(error.description) from error


def build_response(request_uri: str) -> JsonObject:
    """RFC 9126 §2.2."""
    return {"request_uri": request_uri, "expires_in": int(LIFE.total_seconds())}

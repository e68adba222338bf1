"""POST /oauth2/introspect (RFC 7662, RFC 9701). The hot path: everything here is read and written by hand."""

from functools import partial

from authsvc.errors import AuthsvcError, InvalidRequest
from authsvc.flows import Flows
from authsvc.flows.coalescer import Found
from authsvc.flows.introspection import Introspection
from authsvc.flows.recognition import Recognised
from authsvc.protocol.introspection import find_token, parse, wants_signed
from authsvc.web.at_once import Unstarted
from authsvc.web.errors import render_oauth
from authsvc.web.middleware import Observer
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import INTROSPECTION_JWT, Answer, json_bytes, jwt_answer
from authsvc.web.taken import Taken, Together, find_form_credentials


async def introspect(request: Call) -> Answer:
    """Is this token live?"""
    form = await read_form(request)
    presented = present_credentials(request, form)
    asked, find_address = parse(form), partial(address_of, request)
    introspection = flows_of(request).introspection
    if not wants_signed(_accepted(request)):
        return json_bytes(await introspection.introspect(presented, asked, find_address))
    if presented.is_nobody:  # RFC 9701 §4: where RFC 7662 says 401
        raise InvalidRequest("a signed answer is for who has authenticated")
    return jwt_answer(await introspection.introspect_signed(presented, asked, find_address), INTROSPECTION_JWT)


def _accepted(request: Call) -> str:
    return ",".join(str(value, "latin-1") for name, value in request.scope["headers"] if name == b"accept")


class AtOnce:
    """The same without a task, for the questions that almost all are: from a caller who has proven itself by the same
    header before. It takes half of the time."""

    method = "POST"

    def __init__(self, flows: Flows, observer: Observer, route: str) -> None:
        self._introspection = flows.introspection
        self._observer = observer
        self._route = route
        self._together = Together()

    def __call__(self, request: Unstarted) -> bool:
        authorization = find_form_credentials(request.scope["headers"])
        token = find_token(bytes(request.body))
        if authorization is None or token is None:
            return False
        known = self._introspection.begin(authorization, token)
        if known is None:
            return False
        taken = Taken(request, self._observer, self._route)
        if isinstance(known, bytes):
            self._together.answer(taken, json_bytes(known))
        else:
            self._introspection.ask(known, _Question(self._introspection, known, taken))
        return True


class _Question:
    """Answered when its batch is."""

    __slots__ = ("_introspection", "_known", "_taken")

    def __init__(self, introspection: Introspection, known: Recognised, taken: Taken) -> None:
        self._introspection = introspection
        self._known = known
        self._taken = taken

    def done(self) -> bool:
        """Never: who hangs up is counted as who does not."""
        return False

    def set_result(self, found: Found) -> None:
        self._taken.answer(json_bytes(self._introspection.end(self._known, found)))

    def set_exception(self, error: AuthsvcError) -> None:
        self._introspection.give_up()
        self._taken.refuse(error, render_oauth)

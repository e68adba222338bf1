"""POST /oauth2/introspect (RFC 7662). The hot path: everything here is read and written by hand."""

from functools import partial
from time import perf_counter

from authsvc.errors import AuthsvcError
from authsvc.flows import Flows
from authsvc.flows.coalescer import Found
from authsvc.flows.recognition import Recognised
from authsvc.logs import request_id
from authsvc.protocol.introspection import find_token, parse
from authsvc.web.at_once import Unstarted
from authsvc.web.endpoint import tell
from authsvc.web.errors import render_oauth
from authsvc.web.middleware import Observer
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, Headers, json_bytes

_FORM = b"application/x-www-form-urlencoded"


async def introspect(request: Call) -> Answer:
    """Is this token live?"""
    form = await read_form(request)
    presented = present_credentials(request, form)
    answer = await flows_of(request).introspection.introspect(presented, parse(form), partial(address_of, request))
    return json_bytes(answer)


class AtOnce:
    """The same without a task, for the questions that almost all are: from a caller who has proven itself by the same
    header before. It takes half of the time."""

    method = "POST"

    def __init__(self, flows: Flows, observer: Observer, route: str) -> None:
        self.introspection = flows.introspection
        self.observer = observer
        self.route = route

    def __call__(self, request: Unstarted) -> bool:
        """Whether the request is taken, and will be answered from here."""
        authorization = _find_plain_authorization(request.scope["headers"])
        token = find_token(bytes(request.body))
        if authorization is None or token is None:
            return False
        started = perf_counter()
        known = self.introspection.begin(authorization, token)
        if known is None:
            return False
        question = _Question(self, request, started)
        if isinstance(known, bytes):
            question.answer(json_bytes(known))
        else:
            question.known = known
            self.introspection.ask(known, question)
        return True


class _Question:
    """One request that is answered when its batch is."""

    __slots__ = ("_asked", "_identifier", "_request", "_started", "known")

    known: Recognised

    def __init__(self, asked: AtOnce, request: Unstarted, started: float) -> None:
        self._asked = asked
        self._request = request
        self._started = started
        self._identifier = asked.observer.begin()

    def done(self) -> bool:
        """Never: who hangs up is counted as who does not."""
        return False

    def set_result(self, found: Found) -> None:
        self.answer(json_bytes(self._asked.introspection.end(self.known, found)))

    def set_exception(self, error: AuthsvcError) -> None:
        self._asked.introspection.give_up()
        request_id.set(self._identifier)
        self.answer(tell(error, render_oauth))

    def answer(self, answer: Answer) -> None:
        observer = self._asked.observer
        self._request.write(answer.status, answer.lines(observer.own_lines(self._identifier)), answer.body)
        observer.end("POST", self._asked.route, answer.status, perf_counter() - self._started)


def _find_plain_authorization(headers: Headers) -> bytes | None:
    """The Authorization header, if there is one alone, and nothing else is unusual about the form."""
    authorization = None
    is_form = False
    for name, value in headers:
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value
        elif name == b"content-type":
            if value != _FORM:
                return None
            is_form = True
        elif name == b"content-encoding":
            return None
    return authorization if is_form else None

"""What all have in common who answer requests without a task."""

import asyncio
from collections.abc import Callable
from time import perf_counter

from authsvc.errors import AuthsvcError
from authsvc.logs import request_id
from authsvc.web.at_once import Unstarted
from authsvc.web.endpoint import tell
from authsvc.web.middleware import Observer
from authsvc.web.responses import Answer, Headers

Errors = Callable[[AuthsvcError], Answer]
"""What becomes of an error at a route."""
_FORM = b"application/x-www-form-urlencoded"


class Taken:
    """A request that was taken: observed from now on, and told once."""

    __slots__ = ("_identifier", "_observer", "_request", "_route", "_started")

    def __init__(self, request: Unstarted, observer: Observer, route: str) -> None:
        self._request = request
        self._observer = observer
        self._route = route
        self._started = perf_counter()
        self._identifier = observer.begin()

    def answer(self, answer: Answer, more: bytes = b"") -> None:
        """`more` are headers as they are written."""
        lines = answer.lines(more + self._observer.own_lines(self._identifier))
        self._request.write(answer.status, lines, answer.body)
        method = self._request.scope["method"]
        self._observer.end(method, self._route, answer.status, perf_counter() - self._started)

    def refuse(self, error: AuthsvcError, errors: Errors, more: bytes = b"") -> None:
        self.answer(self.word(error, errors), more)

    def word(self, error: AuthsvcError, errors: Errors) -> Answer:
        """What `refuse` would say, for who answers later."""
        request_id.set(self._identifier)
        return tell(error, errors)

    def give_back(self) -> None:
        """To the application, which observes it anew."""
        self._observer.give_back()
        self._request.start()


class Together:
    """Answers that wait for nothing, written one after the other when all that came in one turn of the loop is read.

    One by one, each is found by a client that has gone to sleep since the one before, and to wake it costs more than to
    look up the answer.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Taken, Answer]] = []

    def answer(self, taken: Taken, answer: Answer) -> None:
        if not self._held:
            asyncio.get_running_loop().call_soon(self._write)
        self._held.append((taken, answer))

    def _write(self) -> None:
        held, self._held = self._held, []
        for taken, answer in held:
            try:
                taken.answer(answer)
            except Exception as error:  # a fault of ours, and the others have no part in it
                handle = asyncio.get_running_loop().call_exception_handler
                handle({"message": "an answer failed", "exception": error})


def find_form_credentials(headers: Headers) -> bytes | None:
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
        elif name == b"content-encoding" or (name == b"accept" and b"jwt" in value.lower()):
            return None
    return authorization if is_form else None

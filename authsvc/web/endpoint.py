"""From a row of the route table to an ASGI application."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from authsvc.errors import AuthsvcError, MethodNotAllowed
from authsvc.logs import get_logger
from authsvc.origin import Origin, origin
from authsvc.web.errors import Renderer, status_of
from authsvc.web.request import Call, address_of
from authsvc.web.responses import Answer

Handle = Callable[[Call], Awaitable[Answer]]
Told = TypeVar("Told", bound=ASGIApp)
"""What a renderer makes of an error."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one method of one path does, and how its errors are told."""

    handle: Handle
    errors: Renderer
    is_safe: bool = True
    """A GET that changes nothing, so that HEAD may be answered by it. Who only looks at a link is not sent on with a
    code (RFC 9110 §9.2.1)."""


ANY_METHOD = "*"
"""Of a row that is there for all of them."""


class Resource:
    """All methods of one path. Whatever goes wrong is answered in the form of the route's family."""

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        if "GET" in endpoints and endpoints["GET"].is_safe:
            self._endpoints["HEAD"] = endpoints["GET"]
        self._any = next(iter(endpoints.values()))
        self.methods = sorted(self._endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoints.get(scope["method"]) or self._endpoints.get(ANY_METHOD)
        if endpoint is None:
            answer: ASGIApp = self._any.errors(MethodNotAllowed(self.methods))
        else:
            answer = await self._answer(endpoint, Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, request: Call) -> ASGIApp:
        origin.set(Origin("http", partial(_address_text, request)))
        try:
            return await endpoint.handle(request)
        except AuthsvcError as error:
            return tell(error, endpoint.errors)
        except Exception:
            log.error("the request failed", exc_info=True)
            return endpoint.errors(AuthsvcError())


def tell(error: AuthsvcError, errors: Callable[[AuthsvcError], Told]) -> Told:
    """The answer, and in the log what is not for the client."""
    if status_of(error) >= 500 and error.__cause__ is not None:
        log.warning("a dependency failed", cause=type(error.__cause__).__name__)
    elif status_of(error) == 500:
        log.error("the request failed", exc_info=error)
    return errors(error)


def _address_text(request: Call) -> str | None:
    address = address_of(request)
    return None if address is None else str(address)

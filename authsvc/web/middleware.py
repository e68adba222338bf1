"""Around every request: an id for the log, a place in the metrics, and HSTS. Pure ASGI, for it is on the hot path."""

from time import perf_counter

from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from authsvc.entropy import Entropy
from authsvc.logs import request_id
from authsvc.metrics import Metrics
from authsvc.web.responses import Headers, render

UNMATCHED = "unmatched"
_MASK = (1 << 128) - 1
# HDR-01: two years, the subdomains of the issuer's host included.
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class Observer:
    """What is done for every request, whichever way it is answered."""

    def __init__(self, metrics: Metrics, entropy: Entropy, *, is_https: bool) -> None:
        self.metrics = metrics
        self.transport_headers: Headers = [_HSTS] if is_https else []
        self.transport_lines = render(self.transport_headers)
        # Unique, not secret: a random start for each process, then counted on.
        self._last_id = int.from_bytes(entropy.bytes(16), "big")

    def begin(self) -> str:
        """A request has begun. Its id."""
        self._last_id = (self._last_id + 1) & _MASK
        self.metrics.add_in_progress(1)
        return f"{self._last_id:032x}"

    def give_back(self) -> None:
        """What has begun is begun anew by somebody else."""
        self.metrics.add_in_progress(-1)

    def own_lines(self, identifier: str) -> bytes:
        """The headers that every answer has, as they are written."""
        return b"x-request-id: %b\r\n%b" % (identifier.encode("ascii"), self.transport_lines)

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """It is answered, and counted under the template of its route, never under its path (PRO-04)."""
        self.metrics.add_in_progress(-1)
        self.metrics.request(method, route, status, seconds)


class Observed:
    """The application, with every request observed."""

    def __init__(self, app: Router, observer: Observer) -> None:
        self._app = app
        # A path without parameters is looked up, where the router tries one pattern after the other: that is a tenth of
        # an introspection and a third of a document.
        self._exact = {route.path: route for route in app.routes if isinstance(route, Route) and "{" not in route.path}
        self.lifespan = app.lifespan_context
        self._observer = observer
        self.metrics = observer.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = self._observer.begin()
        request_id.set(identifier)
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(b"x-request-id", identifier.encode("ascii")), *self._observer.transport_headers]
                message["headers"] += headers
            await send(message)

        started = perf_counter()
        try:
            if (exact := self._exact.get(scope["path"])) is not None:
                scope["route"] = exact
                await exact.app(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            route = scope.get("route")
            path = UNMATCHED if route is None else route.path
            self._observer.end(scope["method"], path, status, perf_counter() - started)

"""Around every request: an id for the log, a place in the metrics, and HSTS. Pure ASGI, for it is on the hot path."""

from time import perf_counter

from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from authsvc.entropy import Entropy
from authsvc.logs import request_id
from authsvc.metrics import Metrics

UNMATCHED = "unmatched"
_MASK = (1 << 128) - 1
# HDR-01: two years, the subdomains of the issuer's host included.
_HSTS = (b"strict-transport-security", b"max-age=63072000; includeSubDomains")


class Observed:
    """Gives each request an id and counts it under the template of its route, never under its path (PRO-04)."""

    def __init__(self, app: Router, metrics: Metrics, entropy: Entropy, *, is_https: bool) -> None:
        self._app = app
        # A path without parameters is looked up, where the router tries one pattern after the other: that is a tenth of
        # an introspection and a third of a document.
        self._exact = {route.path: route for route in app.routes if isinstance(route, Route) and "{" not in route.path}
        self.lifespan = app.lifespan_context
        self._metrics = metrics
        self._transport_headers = [_HSTS] if is_https else []
        # Unique, not secret: a random start for each process, then counted on.
        self._last_id = int.from_bytes(entropy.bytes(16), "big")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._last_id = (self._last_id + 1) & _MASK
        identifier = f"{self._last_id:032x}"
        request_id.set(identifier)
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", identifier.encode("ascii")), *self._transport_headers]
            await send(message)

        self._metrics.requests_in_progress.inc()
        started = perf_counter()
        try:
            if (exact := self._exact.get(scope["path"])) is not None:
                scope["route"] = exact
                await exact.app(scope, receive, watched)
            else:
                await self._app(scope, receive, watched)
        finally:
            self._metrics.requests_in_progress.dec()
            route = scope.get("route")
            path = UNMATCHED if route is None else route.path
            self._metrics.request(scope["method"], path, status, perf_counter() - started)

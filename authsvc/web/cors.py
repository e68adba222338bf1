"""Which sites' scripts may use this service from a browser (Fetch §3.2): those of a list, or of another with cookies.

An origin is compared as a whole, byte for byte, with what the operator wrote; none is ever sent back because it came
(ATK-64). It stands around the resources that are shared so, and the others pay nothing for it.
"""

from collections.abc import Callable, Iterable

from starlette.types import Message, Receive, Scope, Send

from authsvc.web.endpoint import Resource
from authsvc.web.request import find_header
from authsvc.web.responses import Answer, Headers, render

PREFLIGHT_SECONDS = 600

_VARY = (b"vary", b"origin")
VARY_LINE = render([_VARY])
"""What an answer of such a resource says to those who are no script of another site, as it is written."""
_EXPOSED = (b"access-control-expose-headers", b"retry-after, www-authenticate, x-request-id")
_ACCEPTED = (b"access-control-allow-headers", b"authorization, content-type")
_ACCEPTED_WITH_COOKIES = (b"access-control-allow-headers", b"content-type, x-csrf-token")
_WITH_COOKIES = (b"access-control-allow-credentials", b"true")
_MAX_AGE = (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sites:
    """This service's own and those that are listed. `on_foreign` is called when any other one asks for a change."""

    def __init__(
        self, own: str, listed: Iterable[str], on_foreign: Callable[[], None], *, with_cookies: bool = False
    ) -> None:
        self._own = own.encode("ascii")
        self.accepted = _ACCEPTED_WITH_COOKIES if with_cookies else _ACCEPTED
        more = [_WITH_COOKIES] if with_cookies else []
        self._listed: dict[bytes, Headers] = {
            site: [_VARY, (b"access-control-allow-origin", site), _EXPOSED, *more]
            for site in (each.encode("ascii") for each in listed)
        }
        self._on_foreign = on_foreign

    def find_headers(self, scope: Scope) -> Headers | None:
        """What an answer says to the script that asked, where its site is a listed one."""
        found = [value for key, value in scope["headers"] if key == b"origin"]
        if len(found) == 1 and (headers := self._listed.get(found[0])):
            return headers
        if found and found != [self._own] and scope["method"] not in _SAFE:
            self._on_foreign()
        return None


class Shared:
    """A resource that scripts of the listed sites may use. For all others it is what it was, and unreadable."""

    def __init__(self, resource: Resource, sites: Sites) -> None:
        self._resource = resource
        self._sites = sites
        methods = (b"access-control-allow-methods", ", ".join(resource.methods).encode("ascii"))
        self._preflight = [methods, sites.accepted, _MAX_AGE]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = self._sites.find_headers(scope)
        if headers and scope["method"] == "OPTIONS" and self._is_preflight(scope):
            await Answer(204, b"", [*headers, *self._preflight])(scope, receive, send)
            return
        told = headers or [_VARY]  # caches must not give to one site what was said to another

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += told
            await send(message)

        await self._resource(scope, receive, tell)

    def _is_preflight(self, scope: Scope) -> bool:
        return find_header(scope, b"access-control-request-method") in self._resource.methods

"""What stands behind the page: its files, and an API of notes behind a gateway.

The gateway is here so that the example needs nothing but Python. In production nginx, Traefik or Envoy is it, with a
dozen lines (docs/gateways.md), the API knows no more than `Auth-Subject`, and the files are anybody's to serve.
"""

import os
import ssl
from base64 import b64encode
from collections import defaultdict
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

ISSUER, ORIGIN = os.environ["ISSUER"], os.environ["ORIGIN"]
PAGE = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    f"connect-src 'self' {ISSUER}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Gateway:
    """Lets through to the API who is logged in, and says who that is. It asks about each request: whoever has been
    logged out is refused by the next one."""

    ASKED_BY = ("cookie", "origin", "sec-fetch-site", "x-csrf-token")
    """What the browser says, handed on as it came."""

    def __init__(self, api: ASGIApp, client_id: str, secret: str) -> None:
        self._api = api
        proof = b64encode(f"{client_id}:{secret}".encode()).decode()
        self._own = {
            "gateway-authorization": f"Basic {proof}",
            "gateway-audience": f"{ISSUER}/resources",
            "gateway-session": "allow",
        }
        self._http = httpx2.AsyncClient(verify=ssl.create_default_context(), timeout=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Request(scope).headers
        handed_on = {name: headers[name] for name in self.ASKED_BY if name in headers}
        try:
            answer = await self._http.get(f"{ISSUER}/oauth2/forward-auth", headers={**handed_on, **self._own})
        except httpx2.TransportError:
            await _unknown(scope, receive, send)
            return
        if answer.status_code in {401, 403}:
            await Response(answer.content, answer.status_code, HEADERS)(scope, receive, send)
        elif answer.status_code != 204:  # nobody knows now: it is no logout
            await _unknown(scope, receive, send)
        else:
            kept = [(name, value) for name, value in scope["headers"] if name not in {b"cookie", b"auth-subject"}]
            who = (b"auth-subject", answer.headers["auth-subject"].encode())
            await self._api({**scope, "headers": [*kept, who]}, receive, send)


_unknown = Response(status_code=503, headers={**HEADERS, "Retry-After": "1"})

notes: dict[str, list[str]] = defaultdict(list)
"""Of each user. Gone when the example ends."""


async def list_notes(request: Request) -> Response:
    return JSONResponse(notes[request.headers["auth-subject"]], headers=HEADERS)


async def add_note(request: Request) -> Response:
    try:
        text = (await request.json())["text"]
    except (ValueError, TypeError, KeyError):
        text = None
    if not isinstance(text, str) or not 0 < len(text) <= 200:
        return Response(status_code=422, headers=HEADERS)
    notes[request.headers["auth-subject"]].append(text)
    return await list_notes(request)


async def show(_: Request) -> Response:
    """The page, told where the service is."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    told = f'<meta name="issuer" content="{ISSUER}">\n<title>'
    return Response(text.replace("<title>", told), media_type="text/html", headers=HEADERS)


class AtOneAddress:
    """Sends who comes by another name of this machine (`localhost`) to the one that the service knows: the cookie, and
    `AUTHSVC_APP_ORIGINS`, go by the name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or f"http://{Request(scope).headers.get('host')}" == ORIGIN:
            await self._app(scope, receive, send)
        else:
            await Response(status_code=303, headers={**HEADERS, "Location": f"{ORIGIN}/"})(scope, receive, send)


api = Starlette(
    routes=[Route("/notes", list_notes, methods=["GET"]), Route("/notes", add_note, methods=["POST"])],
    max_body_size=2_000,
)
app = AtOneAddress(
    Starlette(
        routes=[
            Route("/", show),
            Mount("/api", Gateway(api, os.environ["GATEWAY_ID"], os.environ["GATEWAY_SECRET"])),
            Mount("/", StaticFiles(directory=PAGE)),
        ]
    )
)

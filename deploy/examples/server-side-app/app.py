"""A website that has its users log in at authsvc: to copy. `login.py` is what it says to the service, this file what it
says to the browser, and `api.py` an API that it calls for its users.

Tokens stay on the server. The browser has a cookie that names a session here, new at each login.
"""

import html
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qsl

import api
from login import Departure, LoginRefused, LogoutRefused, Service, ServiceAway, SessionOver, Tokens
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

ISSUER, ORIGIN = os.environ["ISSUER"], os.environ["ORIGIN"]
COOKIE = "session"  # by https: "__Host-session", and Secure
HEADERS = {
    # A form may lead to the service: that of the logout does.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    f"form-action 'self' {ISSUER}; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

service = Service(ISSUER, os.environ["WEBSITE_ID"], os.environ["WEBSITE_SECRET"], redirect_uri=f"{ORIGIN}/callback")


@dataclass(slots=True)
class Session:
    """Of one browser. It dies with this process; a website of several keeps it in a store that all of them share."""

    form_token: str = field(default_factory=secrets.token_urlsafe)
    departure: Departure | None = None
    """Somebody is on the way to log in."""
    tokens: Tokens | None = None
    """Somebody is logged in."""


sessions: dict[bytes, Session] = {}
"""By the digest of the cookie: whoever reads this memory gets nobody's cookie."""


def find_session(request: Request) -> Session | None:
    return sessions.get(sha256(request.cookies.get(COOKIE, "").encode()).digest())


def end_session(request: Request) -> None:
    sessions.pop(sha256(request.cookies.get(COOKIE, "").encode()).digest(), None)


def open_session(session: Session, response: Response) -> None:
    cookie = secrets.token_urlsafe(32)
    sessions[sha256(cookie.encode()).digest()] = session
    response.set_cookie(COOKIE, cookie, httponly=True, samesite="lax", secure=ORIGIN.startswith("https:"))


# --- Pages


async def show(request: Request) -> Response:
    session = find_session(request)
    if session is None or session.tokens is None:
        return draw('<p>You are not logged in here.</p><p><a class="button" id="log-in" href="/login">Log in</a></p>')
    try:
        orders = await service.call(session.tokens, api.ADDRESS)
    except SessionOver:
        end_session(request)
        return draw('<p>Your login has ended.</p><p><a class="button" id="log-in" href="/login">Log in</a></p>')
    items = "".join(f"<li>{html.escape(str(each))}</li>" for each in orders)
    token = f'<input type="hidden" name="form_token" value="{session.form_token}">'
    return draw(
        f'<p>You are <strong id="user">{html.escape(str(session.tokens.claims.get("email", "")))}</strong>.</p>'
        f'<h2>Your orders</h2><ul id="orders">{items}</ul>'
        f'<form method="post" action="/logout">{token}<button id="log-out">Log out</button></form>'
    )


async def log_in(request: Request) -> Response:
    """Off to the service. What to expect of the answer is kept for this browser alone."""
    address, departure = await service.depart()
    response = RedirectResponse(address, 303, HEADERS)
    end_session(request)
    open_session(Session(departure=departure), response)
    return response


async def come_back(request: Request) -> Response:
    """The redirect URI. Whoever is logged in gets a new cookie: one that was slipped to the browser before is worth
    nothing."""
    session = find_session(request)
    if session is None or session.departure is None:
        return RedirectResponse("/", 303, HEADERS)
    departure, session.departure = session.departure, None
    tokens = await service.arrive(departure, dict(request.query_params))
    response = RedirectResponse("/", 303, HEADERS)
    end_session(request)
    open_session(Session(tokens=tokens), response)
    return response


async def log_out(request: Request) -> Response:
    """Out of here, and what this website holds is revoked, so that a copy of it is worth nothing either. From here the
    browser goes to the service, where its user is logged out too, and comes back."""
    form, session = await read_form(request), find_session(request)
    if session is None or not secrets.compare_digest(form.get("form_token", "").encode(), session.form_token.encode()):
        return RedirectResponse("/", 303, HEADERS)
    end_session(request)
    if session.tokens is None:
        return RedirectResponse("/", 303, HEADERS)
    try:
        await service.revoke(session.tokens)
        return RedirectResponse(await service.build_logout(session.tokens, f"{ORIGIN}/"), 303, HEADERS)
    except ServiceAway:
        return draw("<p>You are logged out here, but not at the service, which cannot be reached.</p>", 503)


async def hear_of_logout(request: Request) -> Response:
    """The service itself says that a login is over, however it ended: on its own pages, at another website, by an
    operator. Whoever logged in here by it is out."""
    sid = await service.read_logout_token((await read_form(request)).get("logout_token", ""))
    over = {
        cookie: session.tokens
        for cookie, session in sessions.items()
        if session.tokens is not None and session.tokens.claims.get("sid") == sid
    }
    for cookie in over:
        del sessions[cookie]
    # It wants its answer within three seconds.
    return Response(status_code=200, headers=HEADERS, background=BackgroundTask(give_back, list(over.values())))


async def give_back(forgotten: list[Tokens]) -> None:
    """Tokens that nobody has any use for: `offline_access` would outlive the login."""
    with suppress(ServiceAway):
        for tokens in forgotten:
            await service.revoke(tokens)


async def read_form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode("ascii", "replace")))


async def say_refused(_: Request, error: Exception) -> Response:
    return draw(f'<p>There was no login: {html.escape(str(error))}.</p><p><a href="/">Back</a></p>', 400)


async def say_no(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "invalid_request"}, 400, HEADERS)


async def say_away(_: Request, __: Exception) -> Response:
    return draw('<p>The service cannot be reached. Nothing has happened.</p><p><a href="/">Try again</a></p>', 503)


def draw(body: str, status: int = 200) -> Response:
    return HTMLResponse(PAGE.replace("{body}", body), status, HEADERS)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Orders</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --text: light-dark(#1a1a1f, #ececf1); --ground: light-dark(#f5f5f8, #141418);
        --accent: light-dark(#3b3f9c, #b9bcff); --on-accent: light-dark(#fff, #15163f); }
* { box-sizing: border-box; }
body { max-width: 36rem; margin: 0 auto; padding: 1.5rem 1rem; background: var(--ground); color: var(--text);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
a { color: var(--accent); }
.button, button { display: inline-block; min-height: 2.75rem; padding: .5rem 1.25rem; border: 0; border-radius: .5rem;
                  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600;
                  text-decoration: none; cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
</style>
</head>
<body><main><h1>Orders</h1>{body}</main></body>
</html>
"""


class AtOneAddress:
    """Sends who comes by another name of this machine (`localhost`) to the one that the redirect URI has: a cookie
    belongs to one name."""

    def __init__(self, app: Starlette) -> None:
        self._app = app

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["type"] != "http" or f"http://{Request(scope).headers.get('host')}" == ORIGIN:
            await self._app(scope, receive, send)
        else:
            await RedirectResponse(f"{ORIGIN}/", 303, HEADERS)(scope, receive, send)


app = AtOneAddress(
    Starlette(
        routes=[
            Route("/", show),
            Route("/login", log_in),
            Route("/callback", come_back),
            Route("/logout", log_out, methods=["POST"]),
            Route("/backchannel-logout", hear_of_logout, methods=["POST"]),
            Mount("/api", api.app),  # in real life it stands elsewhere
        ],
        exception_handlers={LoginRefused: say_refused, LogoutRefused: say_no, ServiceAway: say_away},
        max_body_size=10_000,
    )
)

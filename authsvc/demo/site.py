"""The pages of the demo website. What a user does is a POST, answered by a redirect to the one page there is: so
nothing happens twice because somebody reloads or goes back."""

import json
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from authsvc.demo.registration import Registration
from authsvc.demo.relying_party import LoginRefused, RelyingParty, ServiceAway, TokenDead
from authsvc.demo.sessions import Notice, Session, Sessions, Visitor

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MAX_FORM_BYTES = 1000

Act = Callable[[Session, Visitor], Awaitable[Notice]]


class Site:
    """The handlers."""

    def __init__(self, registration: Registration) -> None:
        self._issuer = registration.issuer
        self._service = RelyingParty(registration)
        self._sessions = Sessions()
        self._pages = _read_pages()

    def routes(self) -> list[Route]:
        return [
            Route("/", self.show, methods=["GET"]),
            Route("/login", self.log_in, methods=["GET"]),
            Route("/callback", self.come_back, methods=["GET"]),
            Route("/ask-userinfo", self._acting(self.ask_userinfo), methods=["POST"]),
            Route("/introspect", self._acting(self.introspect), methods=["POST"]),
            Route("/refresh", self._acting(self.refresh), methods=["POST"]),
            Route("/revoke", self._acting(self.revoke), methods=["POST"]),
            Route("/log-out", self.log_out, methods=["POST"]),
            Route("/demo.css", _style, methods=["GET"]),
        ]

    # --- Logging in

    async def show(self, request: Request) -> Response:
        """The page: for strangers a link, for users what is known of them."""
        session = self._sessions.find(request)
        if session is None or session.visitor is None:
            return self._draw("welcome.html", notice=session and session.notice)
        return self._draw("visitor.html", session=session, visitor=session.visitor, notice=session.notice)

    async def log_in(self, request: Request) -> Response:
        """Off to the service."""
        session = self._sessions.find(request)
        try:
            address, departure = await self._service.depart()
        except ServiceAway:
            return self._away()
        response = _go(address)
        if session is None:
            session = Session()
            self._sessions.add(session, response)
        session.remember(departure)
        return response

    async def come_back(self, request: Request) -> Response:
        """Back from the service: the redirect URI."""
        session = self._sessions.find(request)
        if session is None:
            return self._fail("unasked.html")
        departure = session.departures.pop(request.query_params.get("state", ""), None)
        if departure is None:
            # Who is logged in has gone back, to a login that has long been done.
            return self._fail("unasked.html") if session.visitor is None else _go("/")
        try:
            tokens = await self._service.arrive(departure, request.query_params)
            user = await self._service.find_user(tokens)
        except LoginRefused as refused:
            return self._fail("refused.html", refused=refused)
        except (ServiceAway, TokenDead):
            return self._away()
        response = _go("/")
        self._sessions.end(request)
        self._sessions.add(Session(departures=session.departures, visitor=Visitor(tokens, user)), response)
        return response

    async def log_out(self, request: Request) -> Response:
        """Out of this website. What it holds is revoked, so that a copy of it is worth nothing either."""
        session = await self._find_sender(request)
        response = _go("/")
        if session is None or session.visitor is None:
            return response
        tokens = session.visitor.tokens
        notice = Notice("You are logged out here", "This website has revoked its tokens, and has forgotten you.")
        try:
            await self._service.revoke(tokens.refresh_token or tokens.access_token)
        except ServiceAway:
            text = "This website has forgotten you. Its tokens could not be revoked: they die when they expire."
            notice = Notice("You are logged out here", text, is_bad=True)
        self._sessions.end(request)
        self._sessions.add(Session(notice=notice), response)
        return response

    # --- What can be done with tokens

    def _acting(self, act: Act) -> Callable[[Request], Awaitable[Response]]:
        """A button for somebody who is logged in."""

        async def handle(request: Request) -> Response:
            session = await self._find_sender(request)
            if session is not None and session.visitor is not None:
                async with session.lock:
                    try:
                        session.notice = await act(session, session.visitor)
                    except ServiceAway:
                        session.notice = AWAY
            return _go("/")

        return handle

    async def ask_userinfo(self, _: Session, visitor: Visitor) -> Notice:
        try:
            visitor.user = await self._service.find_user(visitor.tokens)
        except TokenDead:
            return Notice("UserInfo was refused", "The access token is expired or revoked: 401.", is_bad=True)
        return Notice("UserInfo has answered", "Who the user is, to whoever holds this access token.", visitor.user)

    async def introspect(self, _: Session, visitor: Visitor) -> Notice:
        told = await self._service.introspect(visitor.tokens.access_token)
        if told.get("active") is True:
            return Notice("The access token is alive", "This is what introspection tells about it.", told)
        return Notice("The access token is dead", "Introspection never says why.", told, is_bad=True)

    async def refresh(self, session: Session, visitor: Visitor) -> Notice:
        try:
            visitor.tokens = await self._service.refresh(visitor.tokens)
        except TokenDead:
            session.visitor = None
            return Notice("You have to log in again", "The refresh token is expired or revoked.", is_bad=True)
        text = "A new access token, a new refresh token and a new ID token; the refresh token before it is used up."
        return Notice("The tokens are new", text)

    async def revoke(self, session: Session, visitor: Visitor) -> Notice:
        """Asked and looked after: what introspection says a moment later is what every service hears."""
        await self._service.revoke(visitor.tokens.access_token)
        told = await self._service.introspect(visitor.tokens.access_token)
        text = "It was revoked, and this is what introspection told right after: dead, on every worker."
        return Notice("The access token is dead", text, told, is_bad=told.get("active") is not False)

    # --- Forms and pages

    async def _find_sender(self, request: Request) -> Session | None:
        """The session whose own form this is, and not one that another site has made a browser send."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                return None
        session = self._sessions.find(request)
        token = dict(parse_qsl(body.decode("ascii", "replace"))).get("form_token", "")
        return session if session is not None and session.is_ours(token) else None

    def _draw(self, template: str, status: int = 200, **known: Any) -> Response:
        text = self._pages.get_template(template).render(issuer=self._issuer, **known)
        return HTMLResponse(text, status, HEADERS)

    def _fail(self, template: str, **known: Any) -> Response:
        return self._draw(template, 400, **known)

    def _away(self) -> Response:
        return self._draw("welcome.html", 503, notice=AWAY)


AWAY = Notice("authsvc does not answer", "Nothing has happened. Try again in a moment.", is_bad=True)


def build_site(registration: Registration) -> ASGIApp:
    """The website whose redirect URI this is."""
    return AtOneAddress(Starlette(routes=Site(registration).routes()), registration.redirect_uri)


class AtOneAddress:
    """Sends who comes by another name of this machine (`localhost`) to the name that the redirect URI has: a cookie
    belongs to one name. And so no name that a stranger lets point here gets to see a page (DNS rebinding)."""

    def __init__(self, app: ASGIApp, redirect_uri: str) -> None:
        self._app = app
        self._host = urlsplit(redirect_uri).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if Request(scope).headers.get("host") == self._host:
            await self._app(scope, receive, send)
        else:
            await _go(f"http://{self._host}/")(scope, receive, send)


def _go(address: str) -> Response:
    return RedirectResponse(address, 303, HEADERS)


def _read_pages() -> Environment:
    folder = files("authsvc.demo").joinpath("templates")
    texts = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".html")}
    pages = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters["document"] = lambda claims: json.dumps(claims, indent=2, ensure_ascii=False)
    return pages


async def _style(_: Request) -> Response:
    text = files("authsvc.demo").joinpath("demo.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css", headers=HEADERS)

"""A site of made-up pages, drawn by the real renderer, with what the real routes give them to load."""

from html import escape

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from authsvc.protocol.colours import parse_colour
from authsvc.web.endpoint import Endpoint, Handle, Resource
from authsvc.web.pages.brand import Brand
from authsvc.web.pages.errors import render_page
from authsvc.web.pages.renderer import Pages
from authsvc.web.request import Call, wishes_of
from authsvc.web.responses import Answer, Prepared
from authsvc.web.routes import STATIC
from tests.pages.states import STATES, State

BRAND = Brand("Example Accounts", parse_colour("#2457c5"))
LANGUAGES = ("en", "de")
_OPEN = Prepared((b"content-type", b"text/html; charset=utf-8"), has_policy=True)


def build_site(pages: Pages | None = None) -> ASGIApp:
    """`/` lists the pages; `/<state>` is one, in German by `?ui_locales=de`; what a form sends is shown."""
    pages = pages or Pages(BRAND)
    targets = {form.action for state in STATES.values() if (form := getattr(state.page, "form", None))}
    handles: dict[str, dict[str, Handle]] = {path: {"POST": _sent} for path in targets}
    for name, state in STATES.items():
        handles.setdefault(f"/{name}", {})["GET"] = _drawn(pages, state)
    handles["/"] = {"GET": _index}
    handles |= {row.path: {row.method: row.handle} for row in STATIC}
    router = Router(
        [
            Route(path, Resource({method: Endpoint(handle, render_page) for method, handle in handles_of.items()}))
            for path, handles_of in handles.items()
        ]
    )

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        await router({**scope, "state": {"pages": pages, "trusted_proxies": ()}}, receive, send)

    return site


def _drawn(pages: Pages, state: State) -> Handle:
    async def draw(request: Call) -> Answer:
        return pages.draw(state.page, wishes_of(request.scope, request.query_params.get("ui_locales")), state.status)

    return draw


async def _index(request: Call) -> Answer:
    rows = [
        f'<li>{name} <a href="/{name}?ui_locales=en">English</a> <a href="/{name}?ui_locales=de">Deutsch</a>'
        for name in STATES
    ]
    return _html("Pages", f"<ul>{''.join(rows)}</ul>")


async def _sent(request: Call) -> Answer:
    return _html("Sent", f'<pre id="sent">{escape((await request.body()).decode())}</pre>')


def _html(title: str, body: str) -> Answer:
    page = f'<!doctype html><html lang="en"><title>{title}</title><link rel="icon" href="data:,">{body}'
    return Answer(200, page.encode(), [], _OPEN)

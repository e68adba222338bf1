"""Forms of ours that come back: from this browser, for what they were made for, and sent by no other site (CSR-01)."""

from dataclasses import dataclass

from starlette.types import Scope

from authsvc.errors import ForeignForm
from authsvc.flows.authorization import Pending
from authsvc.protocol.forms import Form
from authsvc.protocol.sealed_request import is_form_token
from authsvc.web.cookies import Cookie
from authsvc.web.pages import views
from authsvc.web.request import Call, find_header, flows_of, read_form, site_of

TOKEN, REQUEST = "token", "request"


async def read_own_form(request: Call) -> Form:
    """A form that says nothing of another site, nor does the browser.

    Raises:
        ForeignForm: another site sent it.
        InvalidRequest, TooLarge, UnsupportedMediaType.
    """
    if _is_foreign(request.scope, site_of(request).origin):
        flows_of(request).authorization.note_foreign_form()
        raise ForeignForm("the form was sent by another site")
    return await read_form(request)


def _is_foreign(scope: Scope, own: str) -> bool:
    """What the browser says of it. Those that are too old for `Sec-Fetch-Site` may still tell the origin; but as our
    pages give no referrer, they call it `null` even where it is ours, and then the token alone decides."""
    fetched_by = find_header(scope, b"sec-fetch-site")
    if fetched_by is not None:
        return fetched_by not in {"same-origin", "none"}
    return find_header(scope, b"origin") not in {None, own, "null"}


async def is_ours(request: Call, form: Form, pending: Pending, *, purpose: str, sid: str = "") -> bool:
    """Whether it is a form that this browser was given for this. One that is old, or of another tab in which somebody
    else has logged in, is not."""
    browser, token = site_of(request).cookies.find(request.scope, Cookie.BROWSER), form.one(TOKEN)
    if browser is None or token is None:
        return False
    expected = await flows_of(request).authorization.build_form_token(
        pending, purpose=purpose, browser=browser, sid=sid
    )
    return is_form_token(token, expected)


@dataclass(frozen=True, slots=True)
class OwnForm:
    """A form to be drawn, and the header that gives the browser the cookie it needs, if it has none."""

    form: views.Form
    headers: list[tuple[bytes, bytes]]


async def build_own_form(request: Call, pending: Pending, path: str, *, purpose: str, sid: str = "") -> OwnForm:
    site, authorization = site_of(request), flows_of(request).authorization
    browser = site.cookies.find(request.scope, Cookie.BROWSER)
    headers = []
    if browser is None:
        browser = authorization.mint_browser()
        headers.append(site.cookies.give(Cookie.BROWSER, browser))
    token = await authorization.build_form_token(pending, purpose=purpose, browser=browser, sid=sid)
    hidden = ((REQUEST, pending.sealed), (TOKEN, token))
    return OwnForm(views.Form(site.base_path + path, hidden), headers)

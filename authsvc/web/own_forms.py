"""Forms of ours that come back: from this browser, for what they were made for, and sent by no other site (CSR-01)."""

from starlette.types import Scope

from authsvc.errors import ForeignForm
from authsvc.protocol.forms import Form
from authsvc.protocol.own_forms import Purpose
from authsvc.web.cookies import Cookie
from authsvc.web.pages import views
from authsvc.web.request import Call, find_header, flows_of, read_form, site_of
from authsvc.web.responses import Headers

TOKEN, REQUEST = "token", "request"


async def read_own_form(request: Call) -> Form:
    """A form that says nothing of another site, nor does the browser.

    Raises:
        ForeignForm: another site sent it.
        InvalidRequest, TooLarge, UnsupportedMediaType.
    """
    if _is_foreign(request.scope, site_of(request).origin):
        flows_of(request).forms.note_foreign()
        raise ForeignForm("the form was sent by another site")
    return await read_form(request)


def _is_foreign(scope: Scope, own: str) -> bool:
    """What the browser says of it. Those that are too old for `Sec-Fetch-Site` may still tell the origin; but as our
    pages give no referrer, they call it `null` even where it is ours, and then the token alone decides."""
    fetched_by = find_header(scope, b"sec-fetch-site")
    if fetched_by is not None:
        return fetched_by not in {"same-origin", "none"}
    return find_header(scope, b"origin") not in {None, own, "null"}


async def is_ours(request: Call, form: Form, purpose: Purpose) -> bool:
    """Whether it is a form that this browser was given for this. One that is old, or of another tab in which somebody
    else has logged in, is not."""
    browser, token = site_of(request).cookies.find(request.scope, Cookie.BROWSER), form.one(TOKEN)
    return browser is not None and token is not None and await flows_of(request).forms.is_token(token, purpose, browser)


async def build_own_forms(request: Call, *purposes: Purpose) -> tuple[list[views.Form], Headers]:
    """The forms of a page, and the header that gives the browser the cookie they need, if it has none."""
    site, forms = site_of(request), flows_of(request).forms
    browser, headers = site.cookies.find(request.scope, Cookie.BROWSER), []
    if browser is None:
        browser = forms.mint_browser()
        headers.append(site.cookies.give(Cookie.BROWSER, browser))
    built = []
    for purpose in purposes:
        hidden = [(TOKEN, await forms.build_token(purpose, browser))]
        if purpose.sealed:
            hidden.append((REQUEST, purpose.sealed))
        built.append(views.Form(site.base_path + purpose.path, tuple(hidden)))
    return built, headers

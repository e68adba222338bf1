"""GET and POST /oauth2/logout (OpenID Connect RP-Initiated Logout §2), and the page behind it, GET and POST /logout.

The session ends before the browser is sent anywhere (RPL-05). The form of the page counts for the session that it was
drawn for, and for that very request (CSR-01).
"""

from authsvc.flows.logout import PendingLogout
from authsvc.models import Session
from authsvc.protocol.logout import Step
from authsvc.protocol.own_forms import Purpose
from authsvc.web.authorize import find_sealed, read_request, to_own_page, view_of
from authsvc.web.cookies import Cookie
from authsvc.web.own_forms import REQUEST, build_own_forms, is_ours, read_own_form
from authsvc.web.pages.renderer import Wishes
from authsvc.web.pages.views import LoggedOutPage, LogoutPage, Room
from authsvc.web.request import Call, find_session, flows_of, pages_of, site_of, wishes_of
from authsvc.web.responses import Answer, see_other

CONFIRM = "/logout"


async def end_session(request: Call) -> Answer:
    """A client wants its user logged out."""
    pending = await flows_of(request).logout.begin(await read_request(request))
    if request.scope["method"] == "POST" and _cookie_of(request) is None:
        # A browser brings no cookie along when another site has it POST. By the GET that this answer leads to, it does.
        return to_own_page(request, CONFIRM, {REQUEST: pending.sealed})
    return await _go_on(request, pending)


async def show_confirm(request: Call) -> Answer:
    """The question, where there is one; else what comes next. Nobody need have sent the user here."""
    return await _go_on(request, await flows_of(request).logout.resume(find_sealed(request)))


async def confirm(request: Call) -> Answer:
    """The answer."""
    flows = flows_of(request)
    form = await read_own_form(request)
    pending = await flows.logout.resume(form.one(REQUEST))
    session = await flows.browser_sessions.find_any(_cookie_of(request))
    if session is None or not await is_ours(request, form, _purpose(pending, session)):
        return await _go_on(request, pending)
    if form.one("answer") == "stay":
        return to_own_page(request, Room.OVERVIEW, {})
    return await _end(request, pending, session)


async def _go_on(request: Call, pending: PendingLogout) -> Answer:
    flows = flows_of(request)
    session = await find_session(request)
    if session is not None and await flows.logout.decide(pending, session) is Step.ASK:
        return await _ask(request, pending, session)
    # One that has ended is ended once more: an earlier call of this browser may have been told to try again (C5).
    return await _end(request, pending, session or await flows.browser_sessions.find_any(_cookie_of(request)))


async def _end(request: Call, pending: PendingLogout, session: Session | None) -> Answer:
    """Out of this browser, and then wherever the client may have its user sent."""
    headers = []
    if session is not None:
        await flows_of(request).browser_sessions.end(session)
        headers.append(site_of(request).cookies.take(Cookie.SESSION))
    if pending.location is not None:
        return see_other(pending.location, headers)
    page = LoggedOutPage(client=None if pending.client is None else view_of(pending.client))
    return pages_of(request).draw(page, _wishes(request, pending), headers=headers)


async def _ask(request: Call, pending: PendingLogout, session: Session) -> Answer:
    user = await flows_of(request).browser_sessions.find_user(session)
    (form,), headers = await build_own_forms(request, _purpose(pending, session))
    page = LogoutPage(
        client=None if pending.client is None else view_of(pending.client),
        returns_to=pending.location,
        form=form,
        email="" if user is None else user.email,
    )
    return pages_of(request).draw(page, _wishes(request, pending), headers=headers)


def _purpose(pending: PendingLogout, session: Session) -> Purpose:
    return Purpose(CONFIRM, pending.sealed, session.sid)


def _wishes(request: Call, pending: PendingLogout) -> Wishes:
    return wishes_of(request.scope, pending.request.ui_locales)


def _cookie_of(request: Call) -> str | None:
    return site_of(request).cookies.find(request.scope, Cookie.SESSION)

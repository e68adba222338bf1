"""GET and POST /account/logout: out of this browser, and what is said then."""

from authsvc.models import Session
from authsvc.protocol.own_forms import Purpose
from authsvc.web.account import LOGOUT
from authsvc.web.authorize import to_own_page
from authsvc.web.cookies import Cookie
from authsvc.web.own_forms import build_own_forms, is_ours, read_own_form
from authsvc.web.pages.views import LoggedOutPage, LogoutPage, Room
from authsvc.web.request import Call, find_session, flows_of, pages_of, site_of, wishes_of
from authsvc.web.responses import Answer


async def show_logout(request: Call) -> Answer:
    """Whether they would like to; or that they are."""
    session = await find_session(request)
    if session is None:
        return pages_of(request).draw(LoggedOutPage(), wishes_of(request.scope))
    return await _ask(request, session)


async def log_out(request: Call) -> Answer:
    """End the session of this browser; every token of it is dead with that.

    One that has ended is ended once more: an earlier call of this browser may have been told to try again (C5).
    """
    sessions, cookies = flows_of(request).browser_sessions, site_of(request).cookies
    form = await read_own_form(request)
    session = await sessions.find_any(cookies.find(request.scope, Cookie.SESSION))
    if session is not None:
        if not await is_ours(request, form, _purpose(session)):
            return await show_logout(request)
        if form.one("answer") == "stay":
            return to_own_page(request, Room.OVERVIEW, {})
        await sessions.end(session)
    return to_own_page(request, LOGOUT, {}, [cookies.take(Cookie.SESSION)])


async def _ask(request: Call, session: Session) -> Answer:
    user = await flows_of(request).browser_sessions.find_user(session)
    (form,), headers = await build_own_forms(request, _purpose(session))
    page = LogoutPage(form=form, email="" if user is None else user.email)
    return pages_of(request).draw(page, wishes_of(request.scope), headers=headers)


def _purpose(session: Session) -> Purpose:
    return Purpose(LOGOUT, sid=session.sid)

"""GET and POST /account/sessions: where a user is logged in, and how to end it."""

from authsvc.flows.password_login import FIRST_PARTY_CLIENT_ID
from authsvc.models import OpenSession
from authsvc.protocol.forms import Form
from authsvc.web.account import Guest, build_forms, find_notice, hear, show, to_room
from authsvc.web.pages.views import Notice, Room, SessionsPage, SessionView
from authsvc.web.request import Call, flows_of, pages_of, wishes_of
from authsvc.web.responses import Answer

ROOM = Room.SESSIONS


async def show_sessions(request: Call) -> Answer:
    """All of them."""
    return await show(request, ROOM, _draw)


async def end_sessions(request: Call) -> Answer:
    """One of them, or all but this one. What is not the user's own is left alone, and nothing is said of it."""
    return await hear(request, ROOM, _draw, _end)


async def _end(request: Call, guest: Guest, form: Form) -> Answer:
    sessions, sid = flows_of(request).sessions, form.one("session")
    if form.one("others") == "all":
        await sessions.end_others(guest.session)
        return await to_room(request, guest, ROOM, Notice.OTHERS_ENDED)
    was_theirs = sid is not None and await sessions.end(guest.session, sid)
    return await to_room(request, guest, ROOM, Notice.SESSION_ENDED if was_theirs else None)


async def _draw(request: Call, guest: Guest, *, has_expired: bool = False) -> Answer:
    listed, total = await flows_of(request).sessions.list_open(guest.session)
    form, logout, headers = await build_forms(request, guest, ROOM)
    page = SessionsPage(
        email=guest.user.email,
        logout=logout,
        notice=await find_notice(request, guest, ROOM),
        has_expired=has_expired,
        form=form,
        sessions=tuple(_view(each, guest) for each in listed),
        more=total - len(listed),
    )
    return pages_of(request).draw(page, wishes_of(request.scope), 403 if has_expired else 200, headers)


def _view(session: OpenSession, guest: Guest) -> SessionView:
    return SessionView(
        sid=session.sid,
        client="" if session.client_id == FIRST_PARTY_CLIENT_ID else session.client_name,
        device=session.device or "",
        address=session.address or "",
        since=session.since,
        seen_at=session.seen_at,
        is_current=session.sid == guest.session.sid,
    )

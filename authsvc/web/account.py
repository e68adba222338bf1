"""The pages of the account: what they have in common, and the first of them.

Whoever is not logged in is led to the login and back. A form counts for the session that it was drawn for, and when
it has been heard the browser is sent on to a page, so that nothing is sent twice by going back (CSR-01).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs

from authsvc.models import Session, User
from authsvc.protocol.forms import Form
from authsvc.protocol.own_forms import Purpose
from authsvc.protocol.sealed_visit import Visit
from authsvc.web.authorize import LOGIN, to_own_page
from authsvc.web.cookies import Cookie
from authsvc.web.own_forms import REQUEST, TOKEN, build_own_forms, is_ours, read_own_form
from authsvc.web.pages import views
from authsvc.web.pages.views import Notice, OverviewPage, Room
from authsvc.web.request import Call, find_session, flows_of, pages_of, site_of, wishes_of
from authsvc.web.responses import Answer, Headers

LOGOUT = "/account/logout"
DONE = "done"


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is looking at their account."""

    session: Session
    user: User


class Draw(Protocol):
    async def __call__(self, request: Call, guest: Guest, *, has_expired: bool = False) -> Answer: ...


Act = Callable[[Call, Guest, Form], Awaitable[Answer]]


async def show(request: Call, room: Room, draw: Callable[[Call, Guest], Awaitable[Answer]]) -> Answer:
    """A page, to who is logged in."""
    guest = await _find_guest(request)
    return await to_login(request, room) if guest is None else await draw(request, guest)


async def hear(request: Call, room: Room, draw: Draw, act: Act) -> Answer:
    """What a page has sent. A form that this browser was not given for this session does nothing, and is drawn anew."""
    form = await read_own_form(request)
    guest = await _find_guest(request)
    if guest is None:
        return await to_login(request, room, was_interrupted=True)
    if not await is_ours(request, form, Purpose(room, sid=guest.session.sid)):
        return await draw(request, guest, has_expired=True)
    return await act(request, guest, form)


async def to_login(request: Call, room: Room, *, was_interrupted: bool = False) -> Answer:
    """And back from there."""
    sealed = await flows_of(request).visits.seal(Visit(room, was_interrupted))
    return to_own_page(request, LOGIN, {REQUEST: sealed})


async def to_room(
    request: Call, guest: Guest, room: Room, done: Notice | None = None, headers: Headers | None = None
) -> Answer:
    """There it says what has been done. The address shows that it was: nobody's link can say that it was."""
    browser = site_of(request).cookies.find(request.scope, Cookie.BROWSER)
    if done is None or browser is None:
        return to_own_page(request, room, {}, headers)
    token = await flows_of(request).forms.build_token(_notice(room, guest, done), browser)
    return to_own_page(request, room, {DONE: done, TOKEN: token}, headers)


async def find_notice(request: Call, guest: Guest, room: Room) -> Notice | None:
    """What has just been done, where this page was come to by `to_room`."""
    query = parse_qs(str(request.scope["query_string"], "latin-1"))
    done, token = query.get(DONE, [""])[0], query.get(TOKEN, [""])[0]
    browser = site_of(request).cookies.find(request.scope, Cookie.BROWSER)
    if done not in set(Notice) or browser is None:
        return None
    notice = Notice(done)
    is_so = await flows_of(request).forms.is_token(token, _notice(room, guest, notice), browser)
    return notice if is_so else None


async def build_forms(request: Call, guest: Guest, room: Room) -> tuple[views.Form, views.Form, Headers]:
    """That of the page, the one by which people log out, and what the browser needs for both."""
    sid = guest.session.sid
    (form, logout), headers = await build_own_forms(request, Purpose(room, sid=sid), Purpose(LOGOUT, sid=sid))
    return form, logout, headers


async def show_overview(request: Call) -> Answer:
    """Who is logged in here, and what there is to look at."""
    return await show(request, Room.OVERVIEW, _draw_overview)


async def _draw_overview(request: Call, guest: Guest) -> Answer:
    flows, user = flows_of(request), guest.user
    _, logout, headers = await build_forms(request, guest, Room.OVERVIEW)
    _, sessions = await flows.sessions.list_open(guest.session)
    name = user.claims.get("name")
    page = OverviewPage(
        email=user.email,
        logout=logout,
        notice=await find_notice(request, guest, Room.OVERVIEW),
        name=name if isinstance(name, str) else "",
        is_verified=user.email_verified,
        since=user.created_at,
        sessions=sessions,
        connections=len(await flows.connections.list_all(guest.session)),
        password_changed_at=user.password_changed_at,
    )
    return pages_of(request).draw(page, wishes_of(request.scope), headers=headers)


async def _find_guest(request: Call) -> Guest | None:
    session = await find_session(request)
    user = None if session is None else await flows_of(request).browser_sessions.find_user(session)
    return None if session is None or user is None else Guest(session, user)


def _notice(room: Room, guest: Guest, done: Notice) -> Purpose:
    return Purpose(room, done, guest.session.sid)

"""/api/v1/session: for apps in browsers. Their pages hold no token, and are known by the cookie of a session (SES-02).

A cookie comes along whoever asks, and so it counts only where the browser says that a page of ours asks, or one of a
listed neighbour, and what changes something brings the token that only such a page could read (CSR-01).
"""

from authsvc.errors import Forbidden, InvalidRequest, NoSession
from authsvc.models import Session
from authsvc.protocol.accounts import AppSession, CookieLoginRequest, build_profile
from authsvc.protocol.app_fetch import Fetch, is_from_app
from authsvc.protocol.own_forms import Purpose
from authsvc.web.cookies import Cookie
from authsvc.web.request import (
    Call,
    address_of,
    device_of,
    find_authorization,
    find_header,
    flows_of,
    read_json,
    site_of,
)
from authsvc.web.responses import Answer, Headers, empty, json_answer

PATH = "/api/v1/session"
REFRESH = f"{PATH}/refresh"
CSRF_HEADER = b"x-csrf-token"


async def log_in(request: Call) -> Answer:
    """Open a session with a password. The browser gets its cookie, the page no token."""
    _check_asker(request)
    body = await read_json(request, CookieLoginRequest)
    cookies = site_of(request).cookies
    opened = await flows_of(request).hosted_login.log_in(
        body.email,
        body.password,
        address_of(request),
        cookie=cookies.find(request.scope, Cookie.SESSION),
        device=device_of(request),
    )
    return await _tell(request, opened.session, [cookies.give(Cookie.SESSION, opened.cookie)])


async def show(request: Call) -> Answer:
    """Who is logged in with this browser? A page may ask that by itself, and so it keeps nobody logged in."""
    _check_asker(request)
    session = await look(request)
    if session is None:
        raise NoSession
    return await _tell(request, session)


async def refresh(request: Call) -> Answer:
    """Somebody is still there: their session goes on, with the cookie that it has."""
    _check_asker(request)
    session = await look(request)
    if session is None:
        raise NoSession
    await check_token(request, session)
    return await _tell(request, await flows_of(request).browser_sessions.use(session))


async def log_out(request: Call) -> Answer:
    """End this session, and take its cookie away. One that has ended lately is ended once more."""
    _check_asker(request)
    site = site_of(request)
    session = await flows_of(request).browser_sessions.find_any(site.cookies.find(request.scope, Cookie.SESSION))
    if session is None:
        raise NoSession
    await check_token(request, session)
    await flows_of(request).browser_sessions.end(session)
    return empty(204, [site.cookies.take(Cookie.SESSION)])


def _check_asker(request: Call) -> None:
    """Raises:
    InvalidRequest: an access token came as well. Whose request it is would be anybody's guess (ATK-67).
    Forbidden: as `check_page`.
    """
    if find_authorization(request.scope) is not None:
        raise InvalidRequest("this is asked with the cookie of a session, and not with an access token")
    check_page(request)


def check_page(request: Call) -> None:
    """Raises Forbidden: another page asks than one of an app, or the browser does not say which."""
    site, flows = site_of(request), flows_of(request)
    origins = tuple(str(value, "latin-1") for name, value in request.scope["headers"] if name == b"origin")
    fetch = Fetch(find_header(request.scope, b"sec-fetch-site"), origins)
    if not is_from_app(fetch, site.origin, site.apps):
        if fetch.is_of_page:
            flows.forms.note_foreign()
        raise Forbidden("this page may not ask with the cookie of a session")


async def check_token(request: Call, session: Session) -> None:
    """Raises Forbidden: without the token of this session nothing is changed. Unavailable."""
    token = find_header(request.scope, CSRF_HEADER)
    if token is None or not await flows_of(request).forms.is_token(token, _purpose(session), ""):
        raise Forbidden("the header X-CSRF-Token is missing, or is that of another session")


async def look(request: Call) -> Session | None:
    """The live session of the cookie; it is not used by that. Raises Unavailable."""
    cookie = site_of(request).cookies.find(request.scope, Cookie.SESSION)
    return await flows_of(request).browser_sessions.look(cookie)


async def _tell(request: Call, session: Session, headers: Headers | None = None) -> Answer:
    flows = flows_of(request)
    user, known_as = await flows.browser_sessions.find_user(session), await flows.app_sessions.known_as(session)
    if user is None or known_as is None:
        raise NoSession
    told = AppSession(
        user=build_profile(user, sub=known_as),
        expires_at=session.expires_at.replace(microsecond=0),
        idle_until=(session.idle_until or session.expires_at).replace(microsecond=0),
        csrf_token=await flows.forms.build_token(_purpose(session), ""),
    )
    return json_answer(told, headers=headers)


def _purpose(session: Session) -> Purpose:
    return Purpose(PATH, sid=session.sid)

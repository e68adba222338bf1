"""GET and POST /account/password: a new password, with the current one (PWR-09)."""

from authsvc.errors import AuthsvcError, InvalidPassword, InvalidToken, TooManyAttempts, Unavailable
from authsvc.protocol.accounts import PasswordChangeRequest
from authsvc.protocol.forms import Form
from authsvc.web.account import Guest, build_forms, hear, show, to_login, to_room
from authsvc.web.cookies import Cookie
from authsvc.web.errors import headers_of, status_of
from authsvc.web.pages.views import Notice, PasswordPage, PasswordProblem, Room
from authsvc.web.request import Call, find_session, flows_of, pages_of, site_of, wishes_of
from authsvc.web.responses import Answer

ROOM = Room.PASSWORD


async def show_password(request: Call) -> Answer:
    """The form."""
    return await show(request, ROOM, _draw)


async def change_password(request: Call) -> Answer:
    """The form comes back. All other sessions end; this browser goes on with a new cookie (SES-01, SES-04)."""
    return await hear(request, ROOM, _draw, _change)


async def _change(request: Call, guest: Guest, form: Form) -> Answer:
    current, new = form.one("current_password"), form.one("new_password")
    if current is None or new is None:
        return await _draw_as(request, guest, PasswordProblem.EMPTY, 400)
    asked = PasswordChangeRequest(current_password=current, new_password=new)
    try:
        cookie = await flows_of(request).browser_sessions.change_password(guest.session, asked)
    except InvalidPassword as error:
        is_new = error.pointer == "/new_password"
        return await _show_again(request, guest, PasswordProblem(error.fault) if is_new else PasswordProblem.WRONG)
    except InvalidToken:
        return await to_login(request, ROOM, was_interrupted=True)
    except TooManyAttempts as error:
        return await _show_again(request, guest, PasswordProblem.LOCKED, error)
    except Unavailable as error:
        return await _draw_as(request, guest, PasswordProblem.BUSY, error=error)
    headers = [site_of(request).cookies.give(Cookie.SESSION, cookie)]
    return await to_room(request, guest, Room.OVERVIEW, Notice.PASSWORD_CHANGED, headers)


async def _show_again(
    request: Call, guest: Guest, problem: PasswordProblem, error: AuthsvcError | None = None
) -> Answer:
    """The form, and what was wrong with it. But who has pressed the button twice finds that the first time has changed
    the password, and with it the cookie."""
    if await find_session(request) is None:
        return await to_login(request, ROOM, was_interrupted=True)
    return await _draw_as(request, guest, problem, 400, error)


async def _draw(request: Call, guest: Guest, *, has_expired: bool = False) -> Answer:
    return await _draw_as(request, guest, *((PasswordProblem.EXPIRED, 403) if has_expired else ()))


async def _draw_as(
    request: Call,
    guest: Guest,
    problem: PasswordProblem | None = None,
    status: int = 200,
    error: AuthsvcError | None = None,
) -> Answer:
    form, logout, headers = await build_forms(request, guest, ROOM)
    page = PasswordPage(
        email=guest.user.email,
        logout=logout,
        form=form,
        min_length=flows_of(request).browser_sessions.min_password_length,
        problem=problem,
        wait_seconds=error.retry_after if isinstance(error, (TooManyAttempts, Unavailable)) else 0,
    )
    if error is not None:
        status, headers = status_of(error), [*headers, *headers_of(error)]
    return pages_of(request).draw(page, wishes_of(request.scope), status, headers)

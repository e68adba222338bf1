"""GET and POST /login: the page where users say who they are."""

from authsvc.errors import AuthsvcError, InvalidCredentials, TooManyAttempts, Unavailable
from authsvc.flows.authorization import LoginWanted, Pending
from authsvc.protocol.own_forms import Purpose
from authsvc.web.authorize import LOGIN, answer, find_sealed, view_of, wishes_for
from authsvc.web.cookies import Cookie
from authsvc.web.errors import headers_of, status_of
from authsvc.web.own_forms import REQUEST, build_own_forms, is_ours, read_own_form
from authsvc.web.pages.views import LoginPage, LoginProblem
from authsvc.web.request import Call, address_of, find_session, flows_of, pages_of, site_of
from authsvc.web.responses import Answer


async def show_login(request: Call) -> Answer:
    """The form, where somebody is to log in; else whatever comes next."""
    authorization = flows_of(request).authorization
    pending = await authorization.resume(find_sealed(request))
    outcome = await authorization.decide(pending, await find_session(request))
    if not isinstance(outcome, LoginWanted):
        return answer(request, pending, outcome)
    return await _draw(request, pending, outcome)


async def log_in(request: Call) -> Answer:
    """The form comes back."""
    flows = flows_of(request)
    form = await read_own_form(request)
    pending = await flows.authorization.resume(form.one(REQUEST))
    username, password = form.one("username"), form.one("password")
    if not await is_ours(request, form, Purpose(LOGIN, pending.sealed)):
        return await _show_again(request, pending, LoginProblem.EXPIRED, username, status=403)
    if form.one("answer") == "cancel":
        return answer(request, pending, flows.authorization.deny(pending))
    if username is None or password is None:
        return await _show_again(request, pending, LoginProblem.EMPTY, username, status=400)
    cookies = site_of(request).cookies
    try:
        opened = await flows.hosted_login.log_in(
            username, password, address_of(request), cookie=cookies.find(request.scope, Cookie.SESSION)
        )
    except InvalidCredentials:
        return await _show_again(request, pending, LoginProblem.WRONG, username, status=400)
    except TooManyAttempts as error:
        return await _show_again(request, pending, LoginProblem.LOCKED, username, error=error)
    except Unavailable as error:
        return await _show_again(request, pending, LoginProblem.BUSY, username, error=error)
    outcome = await flows.authorization.decide(pending, opened.session)
    return answer(request, pending, outcome, [cookies.give(Cookie.SESSION, opened.cookie)])


async def _show_again(
    request: Call,
    pending: Pending,
    problem: LoginProblem,
    username: str | None,
    *,
    status: int = 400,
    error: AuthsvcError | None = None,
) -> Answer:
    """The form, and what was wrong with it; but who is logged in by now, in another tab, goes on."""
    outcome = await flows_of(request).authorization.decide(pending, await find_session(request))
    if not isinstance(outcome, LoginWanted):
        return answer(request, pending, outcome)
    return await _draw(request, pending, outcome, problem, username or "", status, error)


async def _draw(
    request: Call,
    pending: Pending,
    wanted: LoginWanted,
    problem: LoginProblem | None = None,
    username: str = "",
    status: int = 200,
    error: AuthsvcError | None = None,
) -> Answer:
    (form,), headers = await build_own_forms(request, Purpose(LOGIN, pending.sealed))
    known = "" if wanted.user is None else wanted.user.email
    page = LoginPage(
        client=view_of(pending.client),
        returns_to=pending.recipient.redirect_uri,
        form=form,
        username=username or known or wanted.asked.login_hint or "",
        problem=problem,
        wait_seconds=error.retry_after if isinstance(error, (TooManyAttempts, Unavailable)) else 0,
        confirms=wanted.user is not None,
        may_cancel=True,
    )
    if error is not None:
        status, headers = status_of(error), [*headers, *headers_of(error)]
    return pages_of(request).draw(page, wishes_for(request, wanted.asked), status, headers)

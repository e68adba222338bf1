"""GET and POST /login: the page where users say who they are, on the way to a client, an app or a page of ours."""

from dataclasses import replace

from authsvc.errors import AuthsvcError, InvalidCredentials, InvalidRequest, TooManyAttempts, Unavailable
from authsvc.flows.authorization import LoginWanted, Pending
from authsvc.models import Session
from authsvc.protocol.forms import parse_query
from authsvc.protocol.own_forms import Purpose
from authsvc.protocol.sealed_visit import Visit
from authsvc.web.authorize import LOGIN, answer, find_sealed, to_own_page, view_of, wishes_for
from authsvc.web.cookies import Cookie
from authsvc.web.errors import headers_of, status_of
from authsvc.web.own_forms import REQUEST, build_own_forms, is_ours, read_own_form
from authsvc.web.pages.views import LoginPage, LoginProblem, Room
from authsvc.web.request import Call, address_of, device_of, find_session, flows_of, pages_of, site_of, wishes_of
from authsvc.web.responses import Answer, Headers, see_other

Errand = Pending | Visit
"""What somebody logs in for."""


async def show_login(request: Call) -> Answer:
    """The form, where somebody is to log in; else whatever comes next."""
    sealed = find_sealed(request)
    if sealed is None:
        return await _begin(request)
    errand = await _find_errand(request, sealed)
    outcome = await _go_on(request, errand, await find_session(request))
    if isinstance(outcome, Answer):
        return outcome
    is_late = isinstance(errand, Visit) and errand.was_interrupted
    return await _draw(request, errand, sealed, outcome, LoginProblem.INTERRUPTED if is_late else None)


async def log_in(request: Call) -> Answer:
    """The form comes back."""
    flows = flows_of(request)
    form = await read_own_form(request)
    sealed = form.one(REQUEST) or ""
    errand = await _find_errand(request, sealed)
    username, password = form.one("username"), form.one("password")

    async def again(problem: LoginProblem, status: int = 400, error: AuthsvcError | None = None) -> Answer:
        """The form, and what was wrong with it; but who is logged in by now, in another tab, goes on."""
        outcome = await _go_on(request, errand, await find_session(request))
        if isinstance(outcome, Answer):
            return outcome
        return await _draw(request, errand, sealed, outcome, problem, username or "", status, error)

    if not await is_ours(request, form, Purpose(LOGIN, sealed)):
        return await again(LoginProblem.EXPIRED, 403)
    if isinstance(errand, Pending) and form.one("answer") == "cancel":
        return answer(request, errand, await flows.authorization.deny(errand))
    if username is None or password is None:
        return await again(LoginProblem.EMPTY)
    cookies = site_of(request).cookies
    try:
        opened = await flows.hosted_login.log_in(
            username,
            password,
            address_of(request),
            cookie=cookies.find(request.scope, Cookie.SESSION),
            device=device_of(request),
        )
    except InvalidCredentials:
        return await again(LoginProblem.WRONG)
    except TooManyAttempts as error:
        return await again(LoginProblem.LOCKED, error=error)
    except Unavailable as error:
        return await again(LoginProblem.BUSY, error=error)
    headers = [cookies.give(Cookie.SESSION, opened.cookie)]
    outcome = await _go_on(request, errand, opened.session, headers)
    return outcome if isinstance(outcome, Answer) else to_own_page(request, LOGIN, {REQUEST: sealed}, headers)


async def _begin(request: Call) -> Answer:
    """Who only wants to log in wants to see the account, unless an app has sent them, which wants them back.

    Raises:
        InvalidRequest: nobody is led to an origin that is not listed (ATK-65).
        Unavailable: the store cannot be asked.
    """
    app = parse_query(request.scope["query_string"]).one("app")
    if app is None:
        return to_own_page(request, Room.OVERVIEW, {})
    if not site_of(request).has_app(app):
        raise InvalidRequest("no app of ours has this origin")
    errand = Visit("/", app=app)
    outcome = await _go_on(request, errand, await find_session(request))
    if isinstance(outcome, Answer):
        return outcome
    return to_own_page(request, LOGIN, {REQUEST: await flows_of(request).visits.seal(errand)})


async def _find_errand(request: Call, sealed: str) -> Errand:
    """Raises NoRecipient, ExpiredRequest, Unavailable: as `AuthorizationRequests.resume`."""
    flows = flows_of(request)
    return await flows.visits.find(sealed) or await flows.authorization.resume(sealed)


async def _go_on(
    request: Call, errand: Errand, session: Session | None, headers: Headers | None = None
) -> Answer | LoginWanted:
    """Where somebody goes from here who has this session, unless they are to log in."""
    if isinstance(errand, Visit):
        if session is None:
            return LoginWanted()
        if errand.app is not None and site_of(request).has_app(errand.app):
            return see_other(f"{errand.app}/", headers)
        return to_own_page(request, errand.path if errand.app is None else Room.OVERVIEW, {}, headers)
    outcome = await flows_of(request).authorization.decide(errand, session)
    return outcome if isinstance(outcome, LoginWanted) else answer(request, errand, outcome, headers)


async def _draw(
    request: Call,
    errand: Errand,
    sealed: str,
    wanted: LoginWanted,
    problem: LoginProblem | None = None,
    username: str = "",
    status: int = 200,
    error: AuthsvcError | None = None,
) -> Answer:
    (form,), headers = await build_own_forms(request, Purpose(LOGIN, sealed))
    known = "" if wanted.user is None else wanted.user.email
    page = LoginPage(
        form=form,
        username=username or known,
        problem=problem,
        wait_seconds=error.retry_after if isinstance(error, (TooManyAttempts, Unavailable)) else 0,
        confirms=wanted.user is not None,
    )
    wishes = wishes_of(request.scope)
    if isinstance(errand, Visit) and errand.app is not None:
        page = replace(page, returns_to=errand.app)
    if isinstance(errand, Pending) and wanted.asked is not None:
        wishes = wishes_for(request, wanted.asked)
        page = replace(
            page,
            client=view_of(errand.client),
            returns_to=errand.recipient.redirect_uri,
            username=page.username or wanted.asked.login_hint or "",
            may_cancel=True,
        )
    if error is not None:
        status, headers = status_of(error), [*headers, *headers_of(error)]
    return pages_of(request).draw(page, wishes, status, headers)

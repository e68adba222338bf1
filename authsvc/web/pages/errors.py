"""From errors to pages: the renderer of what people come to with a browser."""

from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from authsvc import errors
from authsvc.errors import AuthsvcError
from authsvc.logs import request_id
from authsvc.web.errors import headers_of, status_of
from authsvc.web.pages.views import Cause, ErrorPage
from authsvc.web.request import State, wishes_of

CAUSES: dict[type[AuthsvcError], Cause] = {
    errors.Unavailable: Cause.BUSY,
    errors.TooManyAttempts: Cause.LIMITED,
    errors.NotFound: Cause.NOT_FOUND,
    errors.Forbidden: Cause.NOT_ALLOWED,
    errors.ForeignForm: Cause.FOREIGN_FORM,
    errors.ExpiredRequest: Cause.EXPIRED,
    errors.InsufficientScope: Cause.NOT_ALLOWED,
}
"""As with statuses, the nearest class of an error's ancestry decides. The rest is the request's fault, or ours."""


def render_page(error: AuthsvcError) -> ASGIApp:
    """For people: what happened, that nothing is lost, what to do. It is drawn when it is known who asked."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        state: State = scope["state"]
        wishes = wishes_of(scope, _find_ui_locales(scope))
        drawn = state["pages"].draw(view_of(error), wishes, _status_of(error), headers_of(error))
        await drawn(scope, receive, send)

    return answer


def view_of(error: AuthsvcError) -> ErrorPage:
    """What stands on the page. Of a fault of ours it says no more than where to look for it."""
    is_told = status_of(error) != 500
    return ErrorPage(
        cause=_cause_of(error),
        request_id=request_id.get(),
        code=error.code if is_told else AuthsvcError.code,
        description=error.description if is_told else "",
        wait_seconds=error.retry_after if isinstance(error, (errors.Unavailable, errors.TooManyAttempts)) else 0,
    )


def _cause_of(error: AuthsvcError) -> Cause:
    of_the_request = Cause.FAULT if status_of(error) == 500 else Cause.REQUEST
    return next((CAUSES[kind] for kind in type(error).__mro__ if kind in CAUSES), of_the_request)


def _status_of(error: AuthsvcError) -> int:
    """401 would come with a challenge, and browsers then ask for a password of their own accord."""
    status = status_of(error)
    return 400 if status == 401 else status


def _find_ui_locales(scope: Scope) -> str | None:
    """A request that is refused may still have said in which language to answer (OpenID Connect Core §3.1.2.1)."""
    found = parse_qs(str(scope["query_string"], "latin-1")).get("ui_locales")
    return found[0] if found else None

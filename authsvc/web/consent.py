"""GET and POST /consent: the page where users say what a client may have of theirs."""

from authsvc.errors import InvalidRequest
from authsvc.flows.authorization import ConsentWanted, Pending
from authsvc.models import Client, Session
from authsvc.protocol.authorization import AuthorizationRequest
from authsvc.protocol.claims import scopes_behind
from authsvc.protocol.own_forms import Purpose
from authsvc.web.authorize import CONSENT, LOGIN, answer, find_sealed, to_page, view_of, wishes_for
from authsvc.web.own_forms import REQUEST, build_own_forms, is_ours, read_own_form
from authsvc.web.pages.views import ConsentPage
from authsvc.web.request import Call, find_session, flows_of, pages_of
from authsvc.web.responses import Answer


async def show_consent(request: Call) -> Answer:
    """The question, where there is one; else whatever comes next."""
    authorization = flows_of(request).authorization
    pending = await authorization.resume(find_sealed(request))
    outcome = await authorization.decide(pending, await find_session(request))
    if not isinstance(outcome, ConsentWanted):
        return answer(request, pending, outcome)
    return await _draw(request, pending, outcome)


async def give_consent(request: Call) -> Answer:
    """The answer. It counts for the user who was shown the question, and for that very request (AUZ-17)."""
    authorization = flows_of(request).authorization
    form = await read_own_form(request)
    pending = await authorization.resume(form.one(REQUEST))
    session = await find_session(request)
    if session is None or not await is_ours(request, form, _purpose(pending, session)):
        outcome = await authorization.decide(pending, session)
        if not isinstance(outcome, ConsentWanted):
            return answer(request, pending, outcome)
        return await _draw(request, pending, outcome, has_expired=True)
    match form.one("answer"):
        case "allow":
            return answer(request, pending, await authorization.decide(pending, session, allowed=True))
        case "deny":
            return answer(request, pending, await authorization.deny(pending))
        case "switch":
            return to_page(request, LOGIN, await authorization.switch_user(pending))
    raise InvalidRequest("the form says neither yes nor no")


def _purpose(pending: Pending, session: Session) -> Purpose:
    """A question that was shown to one user is not answered by another who has logged in meanwhile."""
    return Purpose(CONSENT, pending.sealed, session.sid)


def _shown(asked: AuthorizationRequest, client: Client) -> tuple[str, ...]:
    """All that is asked for, claims that are named one by one too."""
    names = {*asked.claims.userinfo, *asked.claims.id_token}
    return tuple(dict.fromkeys((*asked.scope, *scopes_behind(names, client.scope))))


async def _draw(request: Call, pending: Pending, wanted: ConsentWanted, *, has_expired: bool = False) -> Answer:
    (form,), headers = await build_own_forms(request, _purpose(pending, wanted.session))
    page = ConsentPage(
        client=view_of(pending.client),
        returns_to=pending.recipient.redirect_uri,
        form=form,
        email=wanted.user.email,
        scope=_shown(wanted.asked, pending.client),
        has_expired=has_expired,
        may_switch=True,
    )
    status = 403 if has_expired else 200
    return pages_of(request).draw(page, wishes_for(request, wanted.asked), status, headers)

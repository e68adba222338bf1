"""GET and POST /consent: the page where users say what a client may have of theirs."""

from authsvc.errors import InvalidRequest
from authsvc.flows.authorization import ConsentWanted, Pending
from authsvc.models import Client
from authsvc.protocol.authorization import AuthorizationRequest
from authsvc.protocol.claims import scopes_behind
from authsvc.web.authorize import CONSENT, LOGIN, answer, find_sealed, find_session, to_page, view_of, wishes_for
from authsvc.web.own_forms import REQUEST, build_own_form, is_ours, read_own_form
from authsvc.web.pages.views import ConsentPage
from authsvc.web.request import Call, flows_of, pages_of
from authsvc.web.responses import Answer

PURPOSE = "consent"


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
    sid = "" if session is None else session.sid
    if session is None or not await is_ours(request, form, pending, purpose=PURPOSE, sid=sid):
        outcome = await authorization.decide(pending, session)
        if not isinstance(outcome, ConsentWanted):
            return answer(request, pending, outcome)
        return await _draw(request, pending, outcome, has_expired=True)
    match form.one("answer"):
        case "allow":
            return answer(request, pending, await authorization.decide(pending, session, allowed=True))
        case "deny":
            return answer(request, pending, authorization.deny(pending))
        case "switch":
            return to_page(request, LOGIN, await authorization.switch_user(pending))
    raise InvalidRequest("the form says neither yes nor no")


def _shown(asked: AuthorizationRequest, client: Client) -> tuple[str, ...]:
    """All that is asked for, claims that are named one by one too."""
    names = {*asked.claims.userinfo, *asked.claims.id_token}
    return tuple(dict.fromkeys((*asked.scope, *scopes_behind(names, client.scope))))


async def _draw(request: Call, pending: Pending, wanted: ConsentWanted, *, has_expired: bool = False) -> Answer:
    own = await build_own_form(request, pending, CONSENT, purpose=PURPOSE, sid=wanted.session.sid)
    page = ConsentPage(
        client=view_of(pending.client),
        returns_to=pending.recipient.redirect_uri,
        form=own.form,
        email=wanted.user.email,
        scope=_shown(wanted.asked, pending.client),
        has_expired=has_expired,
        may_switch=True,
    )
    status = 403 if has_expired else 200
    return pages_of(request).draw(page, wishes_for(request, wanted.asked), status, own.headers)

"""GET and POST /oauth2/authorize (RFC 6749 §3.1), and what the pages behind it have in common."""

from collections.abc import Mapping
from urllib.parse import urlencode

from authsvc.flows.authorization import LoginWanted, Outcome, Pending
from authsvc.models import Client
from authsvc.protocol.authorization import AuthorizationRequest
from authsvc.protocol.authorization_response import AuthorizationResponse, build_location
from authsvc.protocol.forms import Form, parse_form, parse_query
from authsvc.protocol.recipients import ResponseMode
from authsvc.web.own_forms import REQUEST
from authsvc.web.pages import views
from authsvc.web.pages.renderer import Wishes
from authsvc.web.request import Call, find_header, find_session, flows_of, pages_of, read_body, site_of, wishes_of
from authsvc.web.responses import Answer, Headers, see_other

LOGIN, CONSENT = "/login", "/consent"


async def authorize(request: Call) -> Answer:
    """Send the user back to the client with a code, after whatever has to happen before."""
    authorization = flows_of(request).authorization
    pending = await authorization.begin(await read_request(request))
    session = await find_session(request)
    if session is None and pending.fault is None and request.scope["method"] == "POST":
        # A browser brings no cookie along when another site has it POST. By the GET that this answer leads to, it does.
        return to_page(request, LOGIN, pending)
    return answer(request, pending, await authorization.decide(pending, session))


async def read_request(request: Call) -> Form:
    """The parameters with which a client sends a browser, by GET or POST. Raises InvalidRequest, TooLarge,
    UnsupportedMediaType."""
    if request.scope["method"] != "POST":
        return parse_query(request.scope["query_string"])
    body = await read_body(request)
    return parse_form(body, find_header(request.scope, b"content-type"), keeps_repeated=True)


def find_sealed(request: Call) -> str | None:
    """The request that waits, where a page is asked for. Raises InvalidRequest."""
    form = parse_query(request.scope["query_string"])
    form.check_unrepeated()
    return form.one(REQUEST)


def answer(request: Call, pending: Pending, outcome: Outcome, headers: Headers | None = None) -> Answer:
    """Where the browser goes now: to one of our pages, or back to the client."""
    if isinstance(outcome, AuthorizationResponse):
        return _back_to_client(request, pending, outcome, headers or [])
    return to_page(request, LOGIN if isinstance(outcome, LoginWanted) else CONSENT, pending, headers)


def to_page(request: Call, path: str, pending: Pending, headers: Headers | None = None) -> Answer:
    return to_own_page(request, path, {REQUEST: pending.sealed}, headers)


def to_own_page(request: Call, path: str, query: Mapping[str, str], headers: Headers | None = None) -> Answer:
    parameters = "?" + urlencode(query) if query else ""
    return see_other(site_of(request).base_path + path + parameters, headers)


def _back_to_client(request: Call, pending: Pending, response: AuthorizationResponse, headers: Headers) -> Answer:
    if response.mode is ResponseMode.QUERY:
        return see_other(build_location(response), headers)
    form = views.Form(response.redirect_uri, response.fields)
    page = views.FormPostPage(client=view_of(pending.client), form=form)
    return pages_of(request).draw(page, wishes_of(request.scope), headers=headers)


def view_of(client: Client) -> views.ClientView:
    return views.ClientView(
        name=client.name,
        logo=client.logo_uri,
        homepage=client.client_uri,
        policy=client.policy_uri,
        terms=client.tos_uri,
    )


def wishes_for(request: Call, asked: AuthorizationRequest) -> Wishes:
    """In the language that the client asks for, if it does."""
    return wishes_of(request.scope, " ".join(asked.ui_locales) or None)

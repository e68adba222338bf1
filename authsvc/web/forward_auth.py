"""/oauth2/forward-auth: a gateway asks whether a request may pass (nginx `auth_request`, Traefik, Envoy, Caddy).

The Authorization header is the user's, and so is the cookie. What the gateway says of itself comes in headers of its
own, which it has to *set*, so that nobody else can; each may come once.
"""

from dataclasses import dataclass, replace
from functools import partial

from authsvc.errors import AuthsvcError, InvalidRequest, InvalidToken
from authsvc.flows import Flows
from authsvc.flows.coalescer import Found
from authsvc.flows.forward_auth import ForwardAuth
from authsvc.flows.recognition import Recognised
from authsvc.models import AccessToken, Session
from authsvc.protocol.client_auth import PresentedCredentials
from authsvc.protocol.forms import Form
from authsvc.protocol.forward_auth import Requirement, build_headers, find_bearer, parse_requirement
from authsvc.web.app_session import check_page, check_token, look
from authsvc.web.at_once import Unstarted
from authsvc.web.cookies import Cookie
from authsvc.web.errors import render_gateway
from authsvc.web.middleware import Observer
from authsvc.web.request import Call, address_of, find_header, flows_of, site_of
from authsvc.web.responses import Answer, Headers, empty
from authsvc.web.taken import Taken, Together

_GATEWAY, _AUDIENCE, _SCOPE, _SUCCESS, _SESSION = (
    b"gateway-authorization",
    b"gateway-audience",
    b"gateway-scope",
    b"gateway-success",
    b"gateway-session",
)
_OWN = frozenset({_GATEWAY, _AUDIENCE, _SCOPE, _SUCCESS, _SESSION})


async def forward_auth(request: Call) -> Answer:
    """May this request pass?"""
    question = _read(request.scope["headers"])
    presented = PresentedCredentials(question.gateway, Form({}))
    flow, requirement, find_address = flows_of(request).forward_auth, question.requirement, partial(address_of, request)
    if question.takes_session and site_of(request).cookies.find(request.scope, Cookie.SESSION) is not None:
        if find_header(request.scope, b"authorization") is None:
            find = partial(_find_app_session, request)
            return _let_through(await flow.authorize_session(presented, find, requirement, find_address), requirement)
        question = replace(question, token="")  # with both, whose request it is would be anybody's guess (ATK-67)
    return _let_through(await flow.authorize(presented, question.token, requirement, find_address), requirement)


async def _find_app_session(request: Call) -> Session | None:
    """The session of the cookie, of which a page of an app says that it asks by it. It brings its token with whatever
    it asks: here nobody knows what a request may change (CSR-01).

    Raises:
        Forbidden, Unavailable.
    """
    check_page(request)
    session = await look(request)
    if session is None:
        return None
    await check_token(request, session)
    return await flows_of(request).browser_sessions.use(session)


@dataclass(frozen=True, slots=True)
class _Question:
    gateway: str | None
    """Its credentials."""
    token: str | None
    """As `find_bearer` says."""
    requirement: Requirement
    takes_session: bool
    """A cookie came, and the gateway lets through by it."""


def _read(headers: Headers) -> _Question:
    """Raises InvalidRequest: the gateway says something twice, or not what it has to."""
    said: dict[bytes, str] = {}
    authorization, has_cookie = [], False
    for name, value in headers:
        if name == b"authorization":
            authorization.append(str(value, "latin-1"))
        elif name == b"cookie":
            has_cookie = True
        elif name in _OWN:
            if name in said:
                raise InvalidRequest(f"there is more than one header {str(name, 'ascii')}")
            said[name] = str(value, "latin-1")
    requirement = parse_requirement(said.get(_AUDIENCE), said.get(_SCOPE), said.get(_SUCCESS))
    if said.get(_SESSION, "allow") != "allow":
        raise InvalidRequest("a gateway says of sessions that it lets through by them (allow), or nothing")
    return _Question(said.get(_GATEWAY), find_bearer(authorization), requirement, has_cookie and _SESSION in said)


def _let_through(token: AccessToken, requirement: Requirement) -> Answer:
    return empty(requirement.success, build_headers(token))


class AtOnce:
    """The same without a task, as for introspection: see `web/introspect.py`."""

    method = "GET"

    def __init__(self, flows: Flows, observer: Observer, route: str) -> None:
        self._forward_auth = flows.forward_auth
        self._observer = observer
        self._route = route
        self._together = Together()

    def __call__(self, request: Unstarted) -> bool:
        try:
            question = _read(request.scope["headers"])
        except InvalidRequest:  # told on the long way
            return False
        if question.gateway is None or question.takes_session or not question.token or not question.token.isascii():
            return False
        gateway, text = question.gateway.encode("latin-1"), question.token.encode("ascii")
        try:
            known = self._forward_auth.begin(gateway, text, question.requirement)
        except InvalidToken as error:
            taken = Taken(request, self._observer, self._route)
            self._together.answer(taken, taken.word(error, render_gateway))
            return True
        if known is None:
            return False
        taken = Taken(request, self._observer, self._route)
        self._forward_auth.ask(known, _Waiting(self._forward_auth, known, question.requirement, taken))
        return True


class _Waiting:
    """Answered when its batch is."""

    __slots__ = ("_forward_auth", "_known", "_requirement", "_taken")

    def __init__(self, forward_auth: ForwardAuth, known: Recognised, requirement: Requirement, taken: Taken) -> None:
        self._forward_auth = forward_auth
        self._known = known
        self._requirement = requirement
        self._taken = taken

    def done(self) -> bool:
        """Never: who hangs up is counted as who does not."""
        return False

    def set_result(self, found: Found) -> None:
        try:
            token = self._forward_auth.end(self._known, found, self._requirement)
            answer = _let_through(token, self._requirement)
        except AuthsvcError as error:
            self._taken.refuse(error, render_gateway)
        else:
            self._taken.answer(answer)

    def set_exception(self, error: AuthsvcError) -> None:
        self._forward_auth.give_up()
        self._taken.refuse(error, render_gateway)

"""POST /oauth2/token (RFC 6749 §3.2)."""

from functools import partial

from authsvc.errors import AuthsvcError
from authsvc.flows import Flows
from authsvc.flows.coalescer import Found
from authsvc.flows.service_tokens import Begun, ServiceTokens
from authsvc.protocol.client_auth import names_client
from authsvc.protocol.forms import parse_form
from authsvc.protocol.token_request import TokenRequest, build_response, check_grant_allowed, parse, parse_grant_type
from authsvc.web.at_once import Unstarted
from authsvc.web.cors import VARY_LINE
from authsvc.web.errors import render_oauth
from authsvc.web.middleware import Observer
from authsvc.web.request import Call, address_of, find_header, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, json_answer
from authsvc.web.taken import Taken, find_form_credentials


async def token(request: Call) -> Answer:
    """Exchange a grant for tokens."""
    form = await read_form(request)
    exchange = flows_of(request).exchange
    with exchange.counted(form.one("grant_type")):
        presented = present_credentials(request, form)
        client = await exchange.authenticate(presented, partial(address_of, request))
        check_grant_allowed(client.client, parse_grant_type(form))
        response = await exchange.exchange(client, parse(form))
    return json_answer(build_response(response))


class AtOnce:
    """The same without a task, for services that have proven themselves by the same header before and ask for a token
    of their own. It takes two thirds of the time; most of what is left is the signature."""

    method = "POST"

    def __init__(self, flows: Flows, observer: Observer, route: str) -> None:
        self._tokens = flows.service_tokens
        self._observer = observer
        self._route = route

    def __call__(self, request: Unstarted) -> bool:
        authorization = find_form_credentials(request.scope["headers"])
        if authorization is None or find_header(request.scope, b"origin") is not None:
            return False
        asked = _read(bytes(request.body))
        begun = None if asked is None else self._tokens.begin(authorization, asked)
        if begun is None:
            return False
        self._tokens.ask(begun, _Request(self._tokens, begun, Taken(request, self._observer, self._route)))
        return True


def _read(body: bytes) -> TokenRequest | None:
    """None for what is wrong, which is told on the long way, and for who presents itself in the form."""
    try:
        form = parse_form(body, "application/x-www-form-urlencoded")
        return None if names_client(form) else parse(form)
    except AuthsvcError:
        return None


class _Request:
    """Answered when the batch is that its numbers are asked with."""

    __slots__ = ("_begun", "_taken", "_tokens")

    def __init__(self, tokens: ServiceTokens, begun: Begun, taken: Taken) -> None:
        self._tokens = tokens
        self._begun = begun
        self._taken = taken

    def done(self) -> bool:
        """Never: who hangs up is counted as who does not."""
        return False

    def set_result(self, found: Found) -> None:
        try:
            response = self._tokens.end(self._begun, found)
        except Exception:  # those who wait for the same batch must not; the application meets it again, and tells
            response = None
        if response is None:
            self._taken.give_back()
        else:
            self._taken.answer(json_answer(build_response(response)), VARY_LINE)

    def set_exception(self, error: AuthsvcError) -> None:
        self._tokens.give_up(error)
        self._taken.refuse(error, render_oauth, VARY_LINE)

"""POST /oauth2/token (RFC 6749 §3.2)."""

from authsvc.protocol.client_auth import parse_credentials
from authsvc.protocol.token_request import build_response, check_grant_allowed, parse, parse_grant_type
from authsvc.web.request import Call, address_of, find_authorization, flows_of, read_form
from authsvc.web.responses import Answer, json_answer


async def token(request: Call) -> Answer:
    """Exchange a grant for tokens."""
    form = await read_form(request)
    exchange = flows_of(request).exchange
    with exchange.counted(form.one("grant_type")):
        credentials = parse_credentials(find_authorization(request.scope), form)
        client = await exchange.authenticate(credentials, address_of(request))
        check_grant_allowed(client.client, parse_grant_type(form))
        response = await exchange.exchange(client, parse(form))
    return json_answer(build_response(response))

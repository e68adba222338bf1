"""POST /oauth2/token (RFC 6749 §3.2)."""

from functools import partial

from authsvc.protocol.token_request import build_response, check_grant_allowed, parse, parse_grant_type
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, json_answer


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

"""POST /oauth2/par (RFC 9126)."""

from functools import partial

from authsvc.protocol.pushed_request import build_response
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, json_answer


async def push(request: Call) -> Answer:
    """Push an authorization request."""
    form = await read_form(request)
    presented = present_credentials(request, form)
    request_uri = await flows_of(request).pushed_requests.push(presented, form, partial(address_of, request))
    return json_answer(build_response(request_uri), 201)

"""POST /oauth2/introspect (RFC 7662). The hot path: everything here is read and written by hand."""

from functools import partial

from authsvc.protocol.introspection import parse
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, json_bytes


async def introspect(request: Call) -> Answer:
    """Is this token live?"""
    form = await read_form(request)
    presented = present_credentials(request, form)
    answer = await flows_of(request).introspection.introspect(presented, parse(form), partial(address_of, request))
    return json_bytes(answer)

"""POST /oauth2/introspect (RFC 7662). The hot path: everything here is read and written by hand."""

from authsvc.protocol.client_auth import parse_credentials
from authsvc.protocol.introspection import parse
from authsvc.web.request import Call, address_of, find_authorization, flows_of, read_form
from authsvc.web.responses import Answer, json_bytes


async def introspect(request: Call) -> Answer:
    """Is this token live?"""
    form = await read_form(request)
    credentials = parse_credentials(find_authorization(request.scope), form)
    answer = await flows_of(request).introspection.introspect(credentials, parse(form), address_of(request))
    return json_bytes(answer)

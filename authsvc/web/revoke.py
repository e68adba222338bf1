"""POST /oauth2/revoke (RFC 7009)."""

from authsvc.protocol.client_auth import parse_credentials
from authsvc.protocol.revocation import parse
from authsvc.web.request import Call, address_of, find_authorization, flows_of, read_form
from authsvc.web.responses import Answer, empty


async def revoke(request: Call) -> Answer:
    """Kill a token."""
    form = await read_form(request)
    credentials = parse_credentials(find_authorization(request.scope), form)
    await flows_of(request).revocation.revoke(credentials, parse(form), address_of(request))
    return empty(200)

"""POST /oauth2/revoke (RFC 7009)."""

from functools import partial

from authsvc.protocol.revocation import parse
from authsvc.web.request import Call, address_of, flows_of, present_credentials, read_form
from authsvc.web.responses import Answer, empty


async def revoke(request: Call) -> Answer:
    """Kill a token."""
    form = await read_form(request)
    presented = present_credentials(request, form)
    await flows_of(request).revocation.revoke(presented, parse(form), partial(address_of, request))
    return empty(200)

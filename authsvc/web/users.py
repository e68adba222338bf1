"""POST /api/v1/users: a person registers."""

from authsvc.protocol.accounts import RegistrationRequest, build_profile
from authsvc.web.request import Call, address_of, flows_of, read_json
from authsvc.web.responses import Answer, json_answer


async def register(request: Call) -> Answer:
    """Register a user."""
    body = await read_json(request, RegistrationRequest)
    user = await flows_of(request).registration.register(body, address_of(request))
    return json_answer(build_profile(user), 201)

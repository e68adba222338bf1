"""POST /api/v1/users: a person registers."""

from authsvc.protocol.accounts import RegistrationRequest, build_profile
from authsvc.web.request import Call, flows_of, read_json
from authsvc.web.responses import Answer, json_answer


async def register(request: Call) -> Answer:
    """Register a user."""
    user = await flows_of(request).registration.register(await read_json(request, RegistrationRequest))
    return json_answer(build_profile(user), 201)

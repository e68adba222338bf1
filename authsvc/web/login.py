"""POST /api/v1/login: for login UIs that post credentials."""

from authsvc.errors import InvalidClient, InvalidScope, InvalidValue
from authsvc.protocol.accounts import LoginRequest
from authsvc.web.request import Call, address_of, device_of, flows_of, read_json
from authsvc.web.responses import Answer, json_answer


async def login(request: Call) -> Answer:
    """Open a session with a password."""
    body = await read_json(request, LoginRequest)
    try:
        told = await flows_of(request).login.log_in(body, address_of(request), device=device_of(request))
        return json_answer(told)
    except InvalidClient as error:
        raise InvalidValue(error.description, pointer="/client_id") from None
    except InvalidScope as error:
        raise InvalidValue(error.description, pointer="/scope") from None

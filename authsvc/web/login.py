"""POST /api/v1/login: for login UIs that post credentials."""

from authsvc.protocol.accounts import LoginRequest
from authsvc.web.request import Call, flows_of, read_json
from authsvc.web.responses import Answer, json_answer


async def login(request: Call) -> Answer:
    """Open a session with a password."""
    return json_answer(await flows_of(request).login.log_in(await read_json(request, LoginRequest)))

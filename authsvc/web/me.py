"""/api/v1/me and /api/v1/logout: what users do with their own account, by access token."""

from authsvc.protocol.access_token import shown_sub
from authsvc.protocol.accounts import PasswordChangeRequest, build_profile
from authsvc.web.request import Call, authorize_ending, authorize_user, flows_of, read_json
from authsvc.web.responses import Answer, empty, json_answer


async def profile(request: Call) -> Answer:
    """Whose token is this?"""
    token = await authorize_user(request)
    user = await flows_of(request).account.find(token)
    return json_answer(build_profile(user, sub=shown_sub(token)))


async def change_claims(request: Call) -> Answer:
    """Change what is kept about the user (RFC 7396): null takes a claim away."""
    token = await authorize_user(request)
    changes = await read_json(request, dict)
    user = await flows_of(request).account.change_claims(token, changes)
    return json_answer(build_profile(user, sub=shown_sub(token)))


async def log_out(request: Call) -> Answer:
    """End this session."""
    token = await authorize_ending(request)
    await flows_of(request).account.log_out(token)
    return empty(204)


async def log_out_everywhere(request: Call) -> Answer:
    """End every session of the user."""
    token = await authorize_ending(request)
    await flows_of(request).account.log_out_everywhere(token)
    return empty(204)


async def change_password(request: Call) -> Answer:
    """Change the password; every other session ends."""
    token = await authorize_ending(request)
    body = await read_json(request, PasswordChangeRequest)
    return json_answer(await flows_of(request).account.change_password(token, body))

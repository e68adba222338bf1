"""GET and POST /oauth2/userinfo (OpenID Connect Core §5.3)."""

from authsvc.errors import InvalidRequest
from authsvc.protocol.forms import parse_form
from authsvc.web.request import Call, find_bearer_token, find_header, flows_of, read_body
from authsvc.web.responses import Answer, json_answer, jwt_answer

_FORM = "application/x-www-form-urlencoded"


async def userinfo(request: Call) -> Answer:
    """Who is the user of this token?"""
    told = await flows_of(request).userinfo.tell(await _find_token(request))
    return jwt_answer(told) if isinstance(told, str) else json_answer(told)


async def _find_token(request: Call) -> str | None:
    """The access token, by one of two ways: the header, or a form that is posted (RFC 6750 §2.2).

    Raises:
        InvalidRequest: it came by both, or in the URL; or the form is not one.
    """
    token = find_bearer_token(request)
    if request.scope["method"] != "POST":
        return token
    body, content_type = await read_body(request), find_header(request.scope, b"content-type")
    if content_type is None or not content_type.lower().startswith(_FORM):
        return token  # nobody looks for a token in it
    posted = parse_form(body, content_type).one("access_token")
    if posted is not None and token is not None:
        raise InvalidRequest("the access token came in two ways")
    return token if posted is None else posted

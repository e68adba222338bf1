"""OpenID Connect Core §5.5: the parameter `claims`, by which claims are asked for one by one (OID-08)."""

import msgspec

from authsvc.errors import InvalidRequest
from authsvc.models import ClaimAsk, ClaimsRequest

MAX_LENGTH = 4096
MAX_CLAIMS = 64
"""Of each of the two places."""


def parse_claims_request(text: str) -> ClaimsRequest:
    """What is asked for. Members that are not known are ignored, and so are claims that nobody has, later on.

    Raises:
        InvalidRequest: it is too long, no JSON, or not of the form that §5.5 describes.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidRequest("the parameter claims is too long")
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidRequest("the parameter claims is not JSON") from None
    if not isinstance(document, dict):
        raise _malformed()
    return ClaimsRequest(_parse_place(document.get("userinfo")), _parse_place(document.get("id_token")))


def _parse_place(place: object) -> dict[str, ClaimAsk]:
    if place is None:
        return {}
    if not isinstance(place, dict) or len(place) > MAX_CLAIMS:
        raise _malformed()
    _check_letters(*place)
    return {name: _parse_ask(ask) for name, ask in place.items()}


def _parse_ask(ask: object) -> ClaimAsk:
    if ask is None:
        return ClaimAsk()
    if not isinstance(ask, dict):
        raise _malformed()
    essential, values = ask.get("essential", False), ask.get("values", [])
    if not isinstance(essential, bool) or not isinstance(values, list):
        raise _malformed()
    wanted = [ask["value"], *values] if "value" in ask else values
    # Objects and lists are values that no claim is compared with here.
    values = tuple(each for each in wanted if isinstance(each, (str, int, float)))
    _check_letters(*values)
    return ClaimAsk(essential, values)


def _check_letters(*values: object) -> None:
    """PostgreSQL takes no NUL in a text, and no claim has a use for one."""
    if any(isinstance(each, str) and "\0" in each for each in values):
        raise _malformed()


def _malformed() -> InvalidRequest:
    return InvalidRequest("the parameter claims is malformed")

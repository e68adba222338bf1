"""RFC 8707: resource indicators, and RFC 9068 §3: the audience that comes of them."""

import re
from collections.abc import Collection, Sequence

from authsvc.errors import InvalidTarget

MAX_RESOURCE_LENGTH = 512

# RFC 3986 §4.3: a scheme and something after it, in the letters of a URI, without the `#` of a fragment.
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_WEB_WITHOUT_HOST = re.compile(r"https?:(?!//[^/?:@])", re.IGNORECASE)


def parse_resource(text: str) -> str:
    """A resource as it is written, and nothing is normalised: they are compared letter by letter.

    Raises:
        InvalidTarget: it is not an absolute URI without fragment (RSC-01).
    """
    if len(text) > MAX_RESOURCE_LENGTH or not _ABSOLUTE_URI.fullmatch(text) or _WEB_WITHOUT_HOST.match(text):
        raise InvalidTarget("a resource is an absolute URI without fragment")
    return text


def audience_of(resources: Sequence[str], allowed: Sequence[str], default: str) -> str:
    """The one audience of an access token: the resource asked for, else the first allowed one.

    A client without allowed resources gets `default`, and may ask for it by name.

    Raises:
        InvalidTarget: the client may not have this resource, or asked for more than one (RSC-03).
    """
    allowed = allowed or (default,)
    if len(resources) > 1:
        raise InvalidTarget("an access token is for one resource")
    if not resources:
        return allowed[0]
    if resources[0] not in allowed:
        raise InvalidTarget("the client may not ask for this resource")
    return resources[0]


def narrow(named: Sequence[str], granted: Sequence[str], own: Collection[str]) -> tuple[str, ...]:
    """What an access token of a grant is for: the resource that is named now (RSC-02), or else the one that there is,
    and the endpoints of our own that the grant opens beside it. Of several resources none is guessed (RSC-03): such a
    token is for our own endpoints alone, as for UserInfo.

    Raises:
        InvalidTarget: more than one is named, or one that is not part of the grant; or one of several has to be.
    """
    if len(named) > 1:
        raise InvalidTarget("an access token is for one resource")
    if not set(named) <= set(granted):
        raise InvalidTarget("the resource is not part of the grant")
    if named:
        return tuple(named)
    if sum(each not in own for each in granted) <= 1:
        return tuple(granted)
    if ours := tuple(each for each in granted if each in own):
        return ours
    raise InvalidTarget("the grant is for several resources: the parameter resource names one of them")


def granted_resources(resources: Sequence[str], allowed: Sequence[str], default: str) -> tuple[str, ...]:
    """The resources that a grant is for: those asked for, each once; none where none is asked for (RSC-02).

    Raises:
        InvalidTarget: the client may not have one of them.
    """
    if not set(resources) <= set(allowed or (default,)):
        raise InvalidTarget("the client may not ask for this resource")
    return tuple(dict.fromkeys(resources))

"""RFC 9700 §2.1, RFC 8252 §7: where a client may be sent its answers (RED-01 to RED-06).

Rules for what may be registered are strict, so that the rule for what is asked can be plain: the same text.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import parse_qsl, unquote

from authsvc.errors import InvalidRedirectUri
from authsvc.models import ApplicationType

MAX_LENGTH = 2000
ANSWER_PARAMETERS = frozenset({"code", "state", "iss", "error", "error_description"})
"""What an answer is made of. A redirect URI with one of them in its own query would say it twice."""

# RFC 3986 §2, without the `#` of a fragment, and without the `*` that elsewhere is a wildcard.
_LETTERS = re.compile(r"(?:[A-Za-z0-9._~:/?\[\]@!$&'()+,;=-]|%[0-9A-Fa-f]{2})+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY = re.compile(r"//([^/?]*)")

_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{{0,4}}))?")
# RFC 8252 §7.1: a name under a domain that somebody owns, backwards. No scheme that browsers know has a period.
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+")
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|\[::1\]|localhost)(?::([1-9][0-9]{0,4}))?((?:[/?].*)?)", re.DOTALL)


def check_redirect_uri(uri: str, application_type: ApplicationType) -> None:
    """Whether a client of this type may register it.

    A web client has https URIs. A native one also has http on the loopback, with any port, and private-use schemes.

    Raises:
        InvalidRedirectUri: it may not; says why.
    """
    _check_text(uri)
    scheme, rest = _split(uri)
    host, path = _check_authority(rest, is_web=scheme in {"http", "https"})
    _check_path(path)
    names = {name for name, _ in parse_qsl(uri.partition("?")[2], keep_blank_values=True)}
    if not ANSWER_PARAMETERS.isdisjoint(names):
        raise InvalidRedirectUri("the query of a redirect URI names nothing that an answer names")
    is_native = application_type is ApplicationType.NATIVE
    if scheme == "https":
        if host == "localhost" and not is_native:
            raise InvalidRedirectUri("a redirect URI of a web client is not on localhost")
    elif scheme == "http":
        if not is_native or not _LOOPBACK.fullmatch(uri):
            raise InvalidRedirectUri(
                "a redirect URI begins with https://; only native clients have http, on 127.0.0.1, [::1] or localhost"
            )
    elif not is_native or not _PRIVATE_SCHEME.fullmatch(scheme):
        raise InvalidRedirectUri(
            "a redirect URI begins with https://; only native clients have schemes of their own, which are domain "
            "names backwards, as in com.example.app:/callback"
        )
    elif not rest.startswith("/"):
        raise InvalidRedirectUri("behind a scheme of its own a redirect URI goes on with a slash")


def matches(registered: str, asked: str) -> bool:
    """Whether an answer that is asked to one URI may go there because of the other: it is the same text (RED-01), or
    differs in nothing but the port of the loopback (RED-02)."""
    if registered == asked:
        return True
    ours, theirs = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(asked)
    return (
        ours is not None
        and theirs is not None
        and (ours[1], ours[3]) == (theirs[1], theirs[3])
        and int(theirs[2] or 80) <= 65535
    )


def is_registered(asked: str, registered: Iterable[str]) -> bool:
    return any(matches(each, asked) for each in registered)


def is_claimed(uri: str) -> bool:
    """Whether only the owner of a domain gets what is sent there. Any program on a device may listen on its loopback,
    or call itself the one for a scheme (RFC 8252 §8.6)."""
    return uri.startswith("https://")


def is_web_page(uri: str) -> bool:
    """Whether it is an https URI that browsers read in one way only."""
    try:
        _check_text(uri)
        scheme, rest = _split(uri)
        _, path = _check_authority(rest, is_web=True)
        _check_path(path)
    except InvalidRedirectUri:
        return False
    return scheme == "https"


def _check_text(uri: str) -> None:
    if len(uri) > MAX_LENGTH:
        raise InvalidRedirectUri(f"a redirect URI has at most {MAX_LENGTH} letters")
    if "#" in uri:
        raise InvalidRedirectUri("a redirect URI has no fragment")
    if "*" in uri:
        raise InvalidRedirectUri("a redirect URI has no wildcard")
    if not _LETTERS.fullmatch(uri):
        raise InvalidRedirectUri("a redirect URI has the letters of a URI, and no others")
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in unquote(uri)):
        raise InvalidRedirectUri("a redirect URI has no control characters")


def _split(uri: str) -> tuple[str, str]:
    """The scheme and what follows it."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        raise InvalidRedirectUri("a redirect URI is absolute: it begins with a scheme")
    if scheme[1] != scheme[1].lower():
        raise InvalidRedirectUri("the scheme of a redirect URI is in lower case")
    return scheme[1], uri[scheme.end() :]


def _check_authority(rest: str, *, is_web: bool) -> tuple[str, str]:
    """The host and the path. Schemes of native clients need no host."""
    authority = _AUTHORITY.match(rest)
    if authority is None and not is_web:
        return "", rest.partition("?")[0]
    if authority is None:
        raise InvalidRedirectUri("a redirect URI has a host")
    if "@" in authority[1]:
        raise InvalidRedirectUri("a redirect URI has no user name")
    path = rest[authority.end() :].partition("?")[0]
    host = _HOST.fullmatch(authority[1])
    if host is None:
        if is_web or authority[1]:
            raise InvalidRedirectUri("the host of a redirect URI is a name in lower case or an address")
        return "", path
    if int(host[2] or 0) > 65535 or (host[1].startswith("[") and not _is_ipv6(host[1])):
        raise InvalidRedirectUri("the address of a redirect URI is not one")
    return host[1], path


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host[1:-1])
    except AddressValueError:
        return False
    return True


def _check_path(path: str) -> None:
    """No segment that walks up or stands still, however it is written."""
    segments = unquote(path).replace("\\", "/").split("/")
    if any(segment.partition(";")[0] in {".", ".."} for segment in segments):
        raise InvalidRedirectUri("a redirect URI has no dot segments")

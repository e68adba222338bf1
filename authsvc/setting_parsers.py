"""What the text of a setting may be: text -> value, or ValueError with words for the operator."""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

Parse = Callable[[str], Any]

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {("https", "443"), ("http", "80")}


def whole(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def one_of(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def switch(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


def url(*schemes: str) -> Parse:
    def parse(text: str) -> str:
        if _scheme_of(text) not in schemes:
            raise ValueError(f"must be a URL that starts with {' or '.join(scheme + '://' for scheme in schemes)}")
        return text

    return parse


def _scheme_of(text: str) -> str:
    try:
        return urlsplit(text).scheme
    except ValueError:  # whose words may quote the text, and that holds a password
        return ""


def issuer(text: str) -> str:
    """MET-05, ISS-02: https, no query, no fragment; http on loopback alone."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if not host or not (text.isascii() and text.isprintable()) or " " in text or "@" in parts.netloc:
        raise ValueError("must be a URL with a host and no credentials")
    if "?" in text or "#" in text:
        raise ValueError("must have no query and no fragment (RFC 8414 §2)")
    if parts.path.endswith("/"):
        raise ValueError("must not end in a slash: it is compared character for character")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must start with https:// (http:// is accepted on loopback only)")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origins(text: str) -> tuple[str, ...]:
    """As browsers write them (RFC 6454 §6.2): anything else would never match, or match too much (ATK-64)."""
    found = tuple(each.strip() for each in text.split(","))
    for each in found:
        parts = _ORIGIN.fullmatch(each)
        if parts is None or int(parts["port"] or 1) > 65_535 or (parts["scheme"], parts["port"]) in _DEFAULT_PORTS:
            raise ValueError("must be origins as browsers send them, like https://login.example.com, between commas")
        if parts["scheme"] == "http" and not _is_loopback(parts["host"].strip("[]")):
            raise ValueError("must be origins with https (http is accepted on loopback only)")
    return found


def absolute_uri(text: str) -> str:
    if not _scheme_of(text) or "#" in text or not text.isascii() or any(c.isspace() for c in text):
        raise ValueError("must be an absolute URI without fragment (RFC 8707 §2)")
    return text


def networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("must be networks like 10.0.0.0/8 or fd00::/8 (no bits set behind the prefix)") from None


def days_or_never(text: str) -> int:
    """PostgreSQL keeps every event for a month, whatever it is told (`audit.forget`)."""
    return 0 if text == "0" else int(whole(31, 36_500)(text))


def colour(text: str) -> str:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
        raise ValueError("must be a colour like #2457c5")
    return text


def name(text: str) -> str:
    """For a heading: it has to fit on a phone."""
    if len(text) > 60 or not text.isprintable():
        raise ValueError("must be at most 60 printable characters")
    return text


def text(text: str) -> str:
    return text

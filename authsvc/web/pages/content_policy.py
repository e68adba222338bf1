"""Content-Security-Policy of a page (HDR-02, AUZ-08, AUZ-16): what it loads, and where its forms may lead."""

import re
from base64 import b64encode
from hashlib import sha256
from urllib.parse import urlsplit

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_NEVER = frozenset({"javascript", "data", "vbscript", "blob", "filesystem", "about"})
"""Schemes that lead nowhere, but back into the page."""

SELF = "'self'"


def build_policy(*, forms: tuple[str, ...], logo: str | None, script: str = SELF) -> bytes:
    """The header of a page whose forms lead to these addresses, and that shows this logo."""
    images = [SELF, "data:", *_origin(logo or "")]
    targets = dict.fromkeys([SELF, *(scheme for address in forms for scheme in _schemes(address))])
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {script}",
            f"style-src {SELF}",
            f"img-src {' '.join(images)}",
            f"form-action {' '.join(targets)}",
            "base-uri 'none'",
            "object-src 'none'",
            "frame-ancestors 'none'",
        ]
    ).encode("ascii")


def script_hash(script: str) -> str:
    """The source expression that lets this very script run, where it stands in a page."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode('ascii')}'"


def _origin(address: str) -> list[str]:
    """The origin as a source expression. Nothing of the address is copied that could end the directive."""
    try:
        parts = urlsplit(address)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return []
    if parts.scheme != "https" or not _HOST.fullmatch(host):
        return []
    return [f"https://{host}" + ("" if port is None else f":{port}")]


def _schemes(address: str) -> list[str]:
    """Where a form may lead that ends at this address. Chromium holds every redirect against the policy, those of the
    client from its redirect URI onwards among them, and where that sends people nobody knows: so it is no origin."""
    scheme = address.partition(":")[0].lower()
    if not _SCHEME.fullmatch(scheme) or scheme in _NEVER:
        return []
    return ["http:", "https:"] if scheme == "http" else [f"{scheme}:"]

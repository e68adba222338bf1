"""Where this service stands, as browsers see it, and its two cookies: that of the session (SES-02), and that of a
browser which has none yet (CSR-02)."""

import re
from dataclasses import dataclass
from enum import StrEnum

from starlette.types import Scope

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")  # 32 random bytes


class Cookie(StrEnum):
    SESSION = "sid"
    BROWSER = "browser"
    """Opens nothing: the forms that a browser is given are good in that browser alone."""


@dataclass(frozen=True, slots=True)
class Cookies:
    """By https their names have a prefix, with which no other host and no plain http can set them (RFC 6265bis
    §4.1.3.2). An http issuer is on the loopback, and is for development."""

    is_https: bool

    def find(self, scope: Scope, cookie: Cookie) -> str | None:
        """Its value, if it has one that we could have given it, and only one."""
        name = self._name(cookie)
        found = set()
        for key, value in scope["headers"]:
            if key == b"cookie":
                for each in str(value, "latin-1").split(";"):
                    of, _, text = each.strip(" ").partition("=")
                    if of == name:
                        found.add(text)
        return next(iter(found)) if len(found) == 1 and all(map(_VALUE.fullmatch, found)) else None

    def give(self, cookie: Cookie, value: str) -> tuple[bytes, bytes]:
        """The header that sets it, until the browser is closed."""
        secure = "; Secure" if self.is_https else ""
        text = f"{self._name(cookie)}={value}; Path=/{secure}; HttpOnly; SameSite=Lax"
        return b"set-cookie", text.encode("ascii")

    def take(self, cookie: Cookie) -> tuple[bytes, bytes]:
        """The header that takes it away."""
        name, given = self.give(cookie, "")
        return name, given + b"; Max-Age=0"

    def _name(self, cookie: Cookie) -> str:
        return f"__Host-{cookie}" if self.is_https else str(cookie)


@dataclass(frozen=True, slots=True)
class Site:
    origin: str
    base_path: str
    cookies: Cookies
    apps: frozenset[str] = frozenset()
    """The neighbours whose pages may ask with the cookie of a session: exact origins."""

    def has_app(self, origin: str) -> bool:
        """Whether this is, letter by letter, where a page of an app may be."""
        return origin == self.origin or origin in self.apps

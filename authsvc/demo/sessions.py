"""Who is here: a cookie that says nothing, and what belongs to it, in memory. Gone when the website stops."""

import asyncio
import hmac
from collections import OrderedDict
from dataclasses import dataclass, field

from authlib.common.security import generate_token
from starlette.requests import Request
from starlette.responses import Response

from authsvc.demo.relying_party import Claims, Departure, Tokens

COOKIE = "demo"
MAX_SESSIONS = 1000
MAX_DEPARTURES = 10
LETTERS = 43  # 256 bits


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of the last thing that the user did."""

    title: str
    text: str
    document: Claims | None = None
    is_bad: bool = False


@dataclass(slots=True)
class Visitor:
    """Somebody who has logged in."""

    tokens: Tokens
    user: Claims

    @property
    def name(self) -> str:
        """By the best that the service tells; all but `sub` may be missing."""
        return str(self.user.get("name") or self.user.get("email") or self.user["sub"])


@dataclass(slots=True)
class Session:
    """One browser."""

    form_token: str = field(default_factory=lambda: generate_token(LETTERS), repr=False)
    departures: OrderedDict[str, Departure] = field(default_factory=OrderedDict)
    """By their state: each tab may be on its way for itself."""
    visitor: Visitor | None = None
    notice: Notice | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    """A refresh token is good once. Who clicks twice waits for himself."""

    def remember(self, departure: Departure) -> None:
        self.departures[departure.state] = departure
        while len(self.departures) > MAX_DEPARTURES:
            self.departures.popitem(last=False)

    def is_ours(self, form_token: str) -> bool:
        """Whether a form was drawn for this session, and not by another site (CSRF)."""
        return hmac.compare_digest(form_token.encode(), self.form_token.encode())


class Sessions:
    """A website with several processes keeps them in a database or in Redis."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def find(self, request: Request) -> Session | None:
        key = request.cookies.get(COOKIE, "")
        session = self._sessions.get(key)
        if session is not None:
            self._sessions.move_to_end(key)
        return session

    def add(self, session: Session, response: Response) -> None:
        """With a key that nobody has known before: at the first visit, and again at each login, for whoever has slipped
        somebody else a key must not be logged in together with them (session fixation)."""
        key = generate_token(LETTERS)
        self._sessions[key] = session
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        # By https also: secure=True, and "__Host-" before the name.
        response.set_cookie(COOKIE, key, httponly=True, samesite="lax")

    def end(self, request: Request) -> None:
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)

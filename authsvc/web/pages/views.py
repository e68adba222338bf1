"""What stands on each page: one record per page, and nothing of how it came about.

Every text in them may have been made up by a stranger: templates escape it. Where a view has a `form`, that says where
the browser sends it and what travels with it unseen (the token against foreign forms, the request that waits).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Form:
    """Where a form goes, and its hidden fields."""

    action: str
    hidden: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientView:
    """Who asks, as its own people describe it. Addresses are those that it was registered with."""

    name: str
    logo: str | None = None
    """https, or data: of an image."""
    homepage: str | None = None
    policy: str | None = None
    terms: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What every page has. `template` is the file that draws it."""

    template: ClassVar[str]

    client: ClientView | None = None
    returns_to: str | None = None
    """The redirect URI that a form of this page leads to in the end: browsers have to be told (AUZ-16)."""


# --- On the way to a client


class LoginProblem(StrEnum):
    EMPTY = "empty"
    WRONG = "wrong"
    LOCKED = "locked"
    """Too many attempts; `wait_seconds` says for how long."""
    EXPIRED = "expired"
    """The form is older than what it was made for. This one is new."""
    BUSY = "busy"
    """Passwords cannot be looked at right now."""
    INTERRUPTED = "interrupted"
    """They were logged in when they began what they have just sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPage(Page):
    """Sends `username` and `password`; with `answer=cancel` where somebody would rather not."""

    template: ClassVar[str] = "login.html"

    form: Form
    username: str = ""
    problem: LoginProblem | None = None
    wait_seconds: int = 0
    confirms: bool = False
    """Somebody is logged in, and is asked for the password once more."""
    may_cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentPage(Page):
    """Sends `answer`: `allow`, `deny` or, where another user may be meant, `switch`."""

    template: ClassVar[str] = "consent.html"

    client: ClientView
    form: Form
    email: str
    scope: tuple[str, ...]
    has_expired: bool = False
    may_switch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPostPage(Page):
    """The answer to a client that takes it as a form (OAuth 2.0 Form Post Response Mode). It sends itself."""

    template: ClassVar[str] = "form_post.html"

    form: Form


# --- When it does not work


class Cause(StrEnum):
    """What a person has to know of it. Each has its words."""

    REQUEST = "request"
    """What the client, or whoever made the link, sent cannot be answered."""
    EXPIRED = "expired"
    FOREIGN_FORM = "foreign_form"
    """The form was not one that this browser was given."""
    NOT_FOUND = "not_found"
    NOT_ALLOWED = "not_allowed"
    LIMITED = "limited"
    BUSY = "busy"
    FAULT = "fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage(Page):
    """`code` and `description` are for whoever runs the client, and stand where only they look."""

    template: ClassVar[str] = "error.html"

    cause: Cause
    request_id: str
    code: str = ""
    description: str = ""
    wait_seconds: int = 0


# --- Logging out


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutPage(Page):
    """Sends `answer`: `logout` or `stay`."""

    template: ClassVar[str] = "logout.html"

    form: Form
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOutPage(Page):
    template: ClassVar[str] = "logged_out.html"


# --- The account


class Room(StrEnum):
    """The pages of the account, and where they stand."""

    OVERVIEW = "/account"
    SESSIONS = "/account/sessions"
    CONNECTIONS = "/account/connections"
    PASSWORD = "/account/password"  # noqa: S105 - a path


class Notice(StrEnum):
    """What has just been done."""

    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a name
    SESSION_ENDED = "session_ended"
    OTHERS_ENDED = "others_ended"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage(Page):
    """What the pages of the account share."""

    room: ClassVar[Room]

    email: str
    logout: Form
    notice: Notice | None = None
    has_expired: bool = False
    """What was sent did nothing: its form was not for this session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPage(AccountPage):
    template: ClassVar[str] = "overview.html"
    room: ClassVar[Room] = Room.OVERVIEW

    name: str = ""
    is_verified: bool
    since: datetime
    sessions: int
    connections: int
    password_changed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    sid: str
    client: str = ""
    """The name of the client that it was opened at; empty: here."""
    device: str = ""
    address: str = ""
    since: datetime
    seen_at: datetime | None = None
    is_current: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsPage(AccountPage):
    """Sends the `session` to end, or `others=all`."""

    template: ClassVar[str] = "sessions.html"
    room: ClassVar[Room] = Room.SESSIONS

    form: Form
    sessions: tuple[SessionView, ...]
    more: int = 0
    """Beyond those that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """Without the logo, which would be fetched from the client: it need not know who looks at their account."""

    client_id: str
    name: str
    scope: tuple[str, ...]
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionsPage(AccountPage):
    """Sends the `client_id` whose access ends."""

    template: ClassVar[str] = "connections.html"
    room: ClassVar[Room] = Room.CONNECTIONS

    form: Form
    connections: tuple[ConnectionView, ...]


class PasswordProblem(StrEnum):
    EMPTY = "empty"
    WRONG = "wrong"
    """The current one."""
    SHORT = "short"
    LONG = "long"
    GUESSABLE = "guessable"
    LOCKED = "locked"
    EXPIRED = "expired"
    BUSY = "busy"

    @property
    def is_of_the_new_one(self) -> bool:
        return self in (PasswordProblem.SHORT, PasswordProblem.LONG, PasswordProblem.GUESSABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPage(AccountPage):
    """Sends `current_password` and `new_password`."""

    template: ClassVar[str] = "password.html"
    room: ClassVar[Room] = Room.PASSWORD

    form: Form
    min_length: int
    problem: PasswordProblem | None = None
    wait_seconds: int = 0


EVERY_PAGE: tuple[type[Page], ...] = (
    LoginPage, ConsentPage, FormPostPage, ErrorPage, LogoutPage, LoggedOutPage,
    OverviewPage, SessionsPage, ConnectionsPage, PasswordPage,
)  # fmt: skip

"""Users: where they are logged in, what they have allowed."""

from dataclasses import dataclass
from datetime import datetime

from authsvc.models.clients import Client
from authsvc.models.json_object import JsonObject
from authsvc.models.tokens import Generations


@dataclass(frozen=True, slots=True)
class User:
    sub: str
    email: str
    email_canonical: str
    email_verified: bool
    password_hash: str | None
    claims: JsonObject
    created_at: datetime
    disabled_at: datetime | None
    updated_at: datetime | None = None
    """When the claims were last changed; None: never."""
    password_changed_at: datetime | None = None
    """None: never, as far as is known."""


@dataclass(frozen=True, slots=True)
class Session:
    sid: str
    sub: str
    client_id: str
    generations: Generations
    methods: tuple[str, ...]
    authenticated_at: datetime
    expires_at: datetime
    idle_until: datetime | None = None
    """Until when its cookie opens it, if nobody uses it; None: it has no cookie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session that lives, as its user is shown it."""

    sid: str
    client_id: str
    client_name: str
    device: str | None
    """What they logged in with."""
    address: str | None
    """From where."""
    since: datetime
    seen_at: datetime | None
    """When it was last used, to the minute; None: not since."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client may do with a user's account, and since when: because the user allowed it and that is remembered,
    or because it has tokens that outlive sessions."""

    client: Client
    scope: tuple[str, ...]
    since: datetime


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user has allowed a client, to be remembered."""

    scope: frozenset[str]
    resources: frozenset[str]
    claims: frozenset[str]
    """Asked for one by one, beside those that come with the scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutNotice:
    """A client is to be told that a session has ended. `sid` is that in which it was given something."""

    notice_id: int
    client_id: str
    sub: str
    sid: str
    created_at: datetime
    attempts: int
    """This one too."""
    answered: int
    """Tries before this one that the client has answered, and not well."""
    uri: str | None
    """Where it is told; None: it is not, any more."""
    algorithm: str
    """By which it knows our ID tokens."""
    generation: int
    """The client's number: what it calls users and sessions it has called them since then."""

"""What ends with what: the events that end something, and how far each of them reaches.

The table is the promise. `tests/flows/test_endings.py` holds every cell of it against what happens, and
`docs/revocation.md` shows it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Trigger(StrEnum):
    ACCESS_TOKEN_REVOKED = "an access token is revoked"  # noqa: S105 - words, as the next two
    REFRESH_TOKEN_REVOKED = "a refresh token is revoked"  # noqa: S105
    REFRESH_TOKEN_REUSED = "a refresh token is reused"  # noqa: S105
    CODE_REUSED = "a code is reused"
    LOGOUT = "logout"
    SESSION_ENDED = "the user ends one of their sessions"
    OTHERS_ENDED = "the user ends all their other sessions"
    PASSWORD_CHANGED = "a new password"  # noqa: S105
    LOGOUT_EVERYWHERE = "logout everywhere"
    USER_REVOKED = "the operator revokes a user's tokens"
    USER_DISABLED = "a user is disabled"
    USER_DELETED = "a user is deleted"
    CONSENT_WITHDRAWN = "a user takes a client's access back"
    CLIENT_REVOKED = "the operator revokes a client's tokens"
    SUBJECTS_CHANGED = "a client is to call its users something else"
    CLIENT_DISABLED = "a client is disabled"
    CLIENT_DELETED = "a client is deleted"
    KEY_KILLED = "a signing key is killed"
    EVERYTHING_REVOKED = "everything is revoked"


class Reach(StrEnum):
    """Whose: that of which the event is."""

    NOTHING = "-"
    TOKEN = "this one"  # noqa: S105
    FAMILY = "of this grant"
    SESSION = "of this session"
    """What was given to outlive sessions (`offline_access`) is of none."""
    OTHER_SESSIONS = "of the user's other sessions"
    USER_ELSEWHERE = "of the user, but for this session"
    USER = "of the user"
    CONNECTION = "of this user at this client"
    CLIENT = "of the client"
    KEY = "signed by it"
    EVERYTHING = "all"


@dataclass(frozen=True, slots=True)
class Ends:
    families: Reach
    """Refresh tokens."""
    access_tokens: Reach
    sessions: Reach
    """Of browsers."""
    tells_clients: bool
    """Those in the sessions that end are told (Back-Channel Logout)."""


_TOKENS_OF_USER = Ends(Reach.USER, Reach.USER, Reach.USER, True)
_ONE_FAMILY = Ends(Reach.FAMILY, Reach.FAMILY, Reach.NOTHING, False)
_ONE_SESSION = Ends(Reach.SESSION, Reach.SESSION, Reach.SESSION, True)
_ONE_CLIENT = Ends(Reach.CLIENT, Reach.CLIENT, Reach.NOTHING, False)

ENDS: dict[Trigger, Ends] = {
    Trigger.ACCESS_TOKEN_REVOKED: Ends(Reach.NOTHING, Reach.TOKEN, Reach.NOTHING, False),
    Trigger.REFRESH_TOKEN_REVOKED: _ONE_FAMILY,
    Trigger.REFRESH_TOKEN_REUSED: _ONE_FAMILY,
    Trigger.CODE_REUSED: _ONE_FAMILY,
    Trigger.LOGOUT: _ONE_SESSION,
    Trigger.SESSION_ENDED: _ONE_SESSION,
    Trigger.OTHERS_ENDED: Ends(Reach.OTHER_SESSIONS, Reach.OTHER_SESSIONS, Reach.OTHER_SESSIONS, True),
    # The access tokens of this session too: who has changed the password is given a new one.
    Trigger.PASSWORD_CHANGED: Ends(Reach.USER_ELSEWHERE, Reach.USER, Reach.OTHER_SESSIONS, True),
    Trigger.LOGOUT_EVERYWHERE: _TOKENS_OF_USER,
    Trigger.USER_REVOKED: _TOKENS_OF_USER,
    Trigger.USER_DISABLED: _TOKENS_OF_USER,
    Trigger.USER_DELETED: _TOKENS_OF_USER,
    Trigger.CONSENT_WITHDRAWN: Ends(Reach.CONNECTION, Reach.CONNECTION, Reach.NOTHING, False),
    Trigger.CLIENT_REVOKED: _ONE_CLIENT,
    Trigger.SUBJECTS_CHANGED: _ONE_CLIENT,
    Trigger.CLIENT_DISABLED: _ONE_CLIENT,
    Trigger.CLIENT_DELETED: _ONE_CLIENT,
    Trigger.KEY_KILLED: Ends(Reach.NOTHING, Reach.KEY, Reach.NOTHING, False),
    # Whoever does this has reason to doubt everything that was said in our name. Clients are not told one by one.
    Trigger.EVERYTHING_REVOKED: Ends(Reach.EVERYTHING, Reach.EVERYTHING, Reach.EVERYTHING, False),
}

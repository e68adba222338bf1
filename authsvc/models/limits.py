"""How much of something anybody may do."""

from enum import StrEnum

import msgspec


class Limiter(StrEnum):
    """What is counted, and of whom."""

    __hash__ = str.__hash__  # that of Enum is written in Python, and three of them are a microsecond

    LOGIN = "login"
    """Of one account, by one address."""
    LOGIN_ACCOUNT = "login_account"
    LOGIN_ADDRESS = "login_address"
    PASSWORD = "password"  # noqa: S105
    """Of one user who is logged in: the current password, given with a new one."""
    REGISTRATION = "registration"
    """By one address."""
    CLIENT_AUTHENTICATION = "client_authentication"
    """Failures of one client, by one address."""
    TOKEN = "token"  # noqa: S105
    REVOCATION = "revocation"
    PUSHED_REQUEST = "pushed_request"
    INTROSPECTION = "introspection"


class Budget(msgspec.Struct, frozen=True, gc=False):
    """What somebody may attempt, counted under a key. Times are in microseconds."""

    limiter: Limiter
    key: str
    interval: int
    """In which one attempt grows back."""
    whole: int
    """In which all of them do."""


Refusal = tuple[Budget, int]
"""Which budget is spent, and for how long."""

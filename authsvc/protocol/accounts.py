"""The first-party JSON API: bodies that login UIs send and get. Unknown members are refused (ATK-49)."""

from datetime import datetime

from msgspec import UNSET, Struct, UnsetType

from authsvc.models import JsonObject, User


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body."""


class LoginRequest(Body, frozen=True):
    email: str
    password: str
    client_id: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET


class RegistrationRequest(Body, frozen=True):
    email: str
    password: str


class PasswordChangeRequest(Body, frozen=True):
    current_password: str
    new_password: str


class Profile(Struct, frozen=True, kw_only=True):
    sub: str
    email: str
    email_verified: bool
    claims: JsonObject
    created_at: datetime
    updated_at: datetime


class CookieLoginRequest(Body, frozen=True):
    email: str
    password: str


class AppSession(Struct, frozen=True, kw_only=True):
    """What an app is told of the session whose cookie its browser has."""

    user: Profile
    expires_at: datetime
    idle_until: datetime
    """It ends by then if nobody uses it."""
    csrf_token: str
    """To be sent with whatever changes something, in the header `X-CSRF-Token`."""


class LoginResponse(Struct, frozen=True, kw_only=True):
    access_token: str
    token_type: str
    expires_in: int
    scope: str
    client_id: str
    user: Profile
    refresh_token: str | UnsetType = UNSET
    id_token: str | UnsetType = UNSET


def build_profile(user: User, *, sub: str | None = None) -> Profile:
    """`sub`: what the client calls the user that this is told to. None: no client asks."""
    return Profile(
        sub=user.sub if sub is None else sub,
        email=user.email,
        email_verified=user.email_verified,
        claims=user.claims,
        created_at=user.created_at.replace(microsecond=0),
        updated_at=(user.updated_at or user.created_at).replace(microsecond=0),
    )

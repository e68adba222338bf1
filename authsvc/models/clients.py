"""Clients, and what can be set for one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authsvc.models.json_object import JsonObject


class GrantType(StrEnum):
    """The grant types a client can be allowed (RFC 6749 §1.3)."""

    AUTHORIZATION_CODE = "authorization_code"
    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - a name


class AuthMethod(StrEnum):
    """How a client authenticates (RFC 7591 §2, `token_endpoint_auth_method`)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    PRIVATE_KEY_JWT = "private_key_jwt"
    NONE = "none"


class IntrospectionRight(StrEnum):
    """Which tokens a client may introspect."""

    OWN = "own"
    AUDIENCE = "audience"
    ANY = "any"


class ApplicationType(StrEnum):
    """Where a client runs (OpenID Connect Registration §2): its redirect URIs are held to it."""

    WEB = "web"
    NATIVE = "native"
    """On the user's own device."""


class SubjectType(StrEnum):
    """By what a client knows its users (OpenID Connect Core §8)."""

    PUBLIC = "public"
    PAIRWISE = "pairwise"


class ConsentPolicy(StrEnum):
    """Whether users are asked before a client gets anything of theirs."""

    ALWAYS = "always"
    REMEMBER = "remember"
    """Once, until it asks for more."""
    NEVER = "never"
    """The operator vouches for it."""


@dataclass(frozen=True, slots=True)
class Client:
    client_id: str
    name: str
    secret_digests: tuple[bytes, ...]
    """The newest first; the one before it while a rotation goes on."""
    auth_method: AuthMethod | None
    """None: both client_secret_basic and client_secret_post."""
    grant_types: frozenset[GrantType]
    scope: tuple[str, ...]
    audiences: tuple[str, ...]
    """The resources it may ask tokens for."""
    serves: frozenset[str]
    """The resources that it is."""
    introspection: IntrospectionRight
    first_party: bool
    created_at: datetime
    disabled_at: datetime | None
    secret_created_at: datetime | None = None
    old_secret_expires_at: datetime | None = None
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None
    """Where it is told that a session of a user of its own has ended."""
    backchannel_logout_session_required: bool = False
    application_type: ApplicationType = ApplicationType.WEB
    require_pkce: bool = True
    id_token_algorithm: str = "RS256"  # noqa: S105 - a name
    userinfo_algorithm: str | None = None
    """None: UserInfo is plain JSON."""
    introspection_algorithm: str = "RS256"
    """Of introspection answers, where it asks for signed ones."""
    consent: ConsentPolicy = ConsentPolicy.REMEMBER
    logo_uri: str | None = None
    client_uri: str | None = None
    policy_uri: str | None = None
    tos_uri: str | None = None
    default_max_age: int | None = None
    """Seconds after which a login is too old, where a request names none."""
    require_auth_time: bool = False
    jwks: JsonObject | None = None
    """Its public keys; or else they are at `jwks_uri`, or it has none."""
    jwks_uri: str | None = None
    assertion_algorithm: str | None = None
    """None: any that its keys are for. So with the next one."""
    request_object_algorithm: str | None = None
    require_pushed_request: bool = False
    require_signed_request: bool = False
    subject_type: SubjectType = SubjectType.PUBLIC
    sector_identifier_uri: str | None = None

    @property
    def has_keys(self) -> bool:
        return self.jwks is not None or self.jwks_uri is not None

    @property
    def is_public(self) -> bool:
        return self.auth_method is AuthMethod.NONE

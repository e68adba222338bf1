"""The nouns: frozen records. A digest here is always SHA-256 of a machine secret; the secret itself is never kept.

Those that every introspection makes are msgspec's, which makes one in a tenth of the time.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

JsonObject = dict[str, Any]


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


class ConsentPolicy(StrEnum):
    """Whether users are asked before a client gets anything of theirs."""

    ALWAYS = "always"
    REMEMBER = "remember"
    """Once, until it asks for more."""
    NEVER = "never"
    """The operator vouches for it."""


class Generations(msgspec.Struct, frozen=True, gc=False):
    """The numbers a token, session or grant was minted under. It dies when one of them has since grown."""

    client: int
    everything: int
    user: int | None = None


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
    application_type: ApplicationType = ApplicationType.WEB
    require_pkce: bool = True
    id_token_algorithm: str = "RS256"  # noqa: S105 - a name
    userinfo_algorithm: str | None = None
    """None: UserInfo is plain JSON."""
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

    @property
    def has_keys(self) -> bool:
        return self.jwks is not None or self.jwks_uri is not None

    @property
    def is_public(self) -> bool:
        return self.auth_method is AuthMethod.NONE


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """A row of `auth.authorization_codes`: what one user, in one session, gives one client."""

    digest: bytes
    client_id: str
    sub: str
    sid: str
    redirect_uri: str | None
    """As the request named it; None: it did not."""
    scope: tuple[str, ...]
    resources: tuple[str, ...]
    code_challenge: str | None
    nonce: str | None
    claims: JsonObject | None
    generations: Generations
    methods: tuple[str, ...]
    authenticated_at: datetime
    session_ends_at: datetime
    expires_at: datetime
    consumed_at: datetime | None = None
    grant_id: str | None = None
    """What came of it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one authorization gave one client: a family of tokens. `place` is that of its one live refresh token."""

    grant_id: str
    sub: str
    client_id: str
    sid: str | None
    scope: tuple[str, ...]
    audience: tuple[str, ...]
    generations: Generations
    methods: tuple[str, ...]
    authenticated_at: datetime
    place: int
    rotated_at: datetime | None
    idle_until: datetime
    expires_at: datetime
    claims: JsonObject | None = None
    """Which claims were asked for one by one, as `protocol/claims.py` writes it."""


@dataclass(frozen=True, slots=True)
class ClaimAsk:
    """How one claim is asked for (OpenID Connect Core §5.5.1)."""

    essential: bool = False
    values: tuple[str | int | float | bool, ...] = ()
    """Those that are wanted; none: any."""


@dataclass(frozen=True, slots=True)
class ClaimsRequest:
    """Claims that are asked for one by one, by name: what the parameter `claims` says."""

    userinfo: dict[str, ClaimAsk]
    id_token: dict[str, ClaimAsk]


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user has allowed a client, to be remembered."""

    scope: frozenset[str]
    resources: frozenset[str]
    claims: frozenset[str]
    """Asked for one by one, beside those that come with the scope."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A row of `auth.signing_keys`. `signs_from` is None while the key is only published ahead."""

    kid: str
    algorithm: str
    public_jwk: JsonObject
    sealed_private: bytes
    master_key_id: str
    created_at: datetime
    signs_from: datetime | None
    verifies_until: datetime | None


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A row of `auth.sealed_secrets`: what only the master key of that id opens."""

    name: str
    sealed: bytes
    master_key_id: str


class AccessToken(msgspec.Struct, frozen=True, gc=False):
    """A verified access token: signature and claims are right. Whether it is revoked is another question."""

    jti: str
    sub: str
    client_id: str
    kid: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    issued_at: int
    expires_at: int
    generations: Generations
    grant_id: str | None = None
    sid: str | None = None
    authenticated_at: int | None = None
    methods: tuple[str, ...] = ()
    """RFC 8176 names of how the user authenticated (`amr`)."""


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


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A row of `audit.security_events`. No secret stands in it, and of people only identifiers and addresses."""

    at: datetime
    event: str
    level: str
    via: str
    request_id: str | None
    address: str | None
    sub: str | None
    client_id: str | None
    sid: str | None
    details: JsonObject
    event_id: int = 0
    """Given by the table."""


@dataclass(frozen=True, slots=True)
class AuditSeal:
    """A row of `audit.seals`: the keyed digest of one batch of events, chained to the one before."""

    number: int
    previous: bytes
    events: int
    digest: bytes
    link: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are asked for; None asks for all."""

    since: datetime | None = None
    until: datetime | None = None
    events: tuple[str, ...] | None = None
    sub: str | None = None
    client_id: str | None = None
    address: str | None = None


class CacheState(StrEnum):
    """Whether Redis may be asked for marks."""

    TRUSTED = "R"
    WARMING = "W"
    POSTGRESQL = "G"


@dataclass(frozen=True, slots=True)
class CacheMode:
    """The row of `auth.cache_mode`."""

    state: CacheState
    epoch: int
    nonce: str
    settled: bool
    changed_at: datetime
    setbacks: int
    deployment: str
    lease_seconds: float

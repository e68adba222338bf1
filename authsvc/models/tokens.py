"""What becomes of a login: codes, token families, tokens, and the keys that sign them."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from authsvc.models.json_object import JsonObject


class Generations(msgspec.Struct, frozen=True, gc=False):
    """The numbers a token, session or grant was minted under. It dies when one of them has since grown."""

    client: int
    everything: int
    user: int | None = None


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
    opened_in: str | None = None
    """The session that it was opened in, of one that goes on without."""


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
    pairwise_sub: str | None = None
    """What its client calls the user; None: by `sub`, which is never shown where there is this."""


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

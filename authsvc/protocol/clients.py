"""RFC 7591 §2: what a client may be registered as."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict

from authsvc.errors import InvalidScope, InvalidTarget, InvalidValue
from authsvc.models import AuthMethod, Client, GrantType, IntrospectionRight
from authsvc.protocol.resources import parse_resource
from authsvc.protocol.scopes import format_scope, parse_scope

MAX_NAME = 200
_DEFAULT_GRANTS: dict[bool, tuple[GrantType, ...]] = {True: (GrantType.REFRESH_TOKEN,), False: ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRegistration:
    """What an operator asks for."""

    name: str
    public: bool = False
    first_party: bool = False
    auth_method: AuthMethod | None = None
    grant_types: tuple[GrantType, ...] = ()
    scope: str = ""
    audiences: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    introspection: IntrospectionRight = IntrospectionRight.AUDIENCE


class ClientChanges(TypedDict, total=False):
    """What an operator may change later; what is not named stays."""

    name: str
    auth_method: AuthMethod | None
    grant_types: tuple[GrantType, ...]
    scope: str
    audiences: tuple[str, ...]
    serves: tuple[str, ...]
    introspection: IntrospectionRight


def build_client(
    registration: ClientRegistration, *, client_id: str, secret_digests: tuple[bytes, ...], now: datetime
) -> Client:
    """Raises InvalidValue when the registration contradicts itself or names no valid scope or resource."""
    if not registration.name.isprintable() or not 0 < len(registration.name) <= MAX_NAME:
        raise InvalidValue("the name must be printable text", pointer="/client_name")
    if registration.public and GrantType.CLIENT_CREDENTIALS in registration.grant_types:
        raise InvalidValue("a public client has no credentials to be granted tokens for", pointer="/grant_types")
    if registration.public != (registration.auth_method is AuthMethod.NONE) and (
        registration.public is False or registration.auth_method is not None
    ):
        raise InvalidValue(
            "public clients, and they alone, have the authentication method none",
            pointer="/token_endpoint_auth_method",
        )
    try:
        scope = parse_scope(registration.scope) if registration.scope else ()
        audiences = tuple(dict.fromkeys(parse_resource(each) for each in registration.audiences))
        serves = frozenset(parse_resource(each) for each in registration.serves)
    except (InvalidScope, InvalidTarget) as error:
        raise InvalidValue(error.description) from error
    return Client(
        client_id=client_id,
        name=registration.name,
        secret_digests=secret_digests,
        auth_method=AuthMethod.NONE if registration.public else registration.auth_method,
        # Who logs users in wants to keep them logged in, unless it was told what it may do.
        grant_types=frozenset(registration.grant_types or _DEFAULT_GRANTS[registration.first_party]),
        scope=scope,
        audiences=audiences,
        serves=serves,
        introspection=registration.introspection,
        first_party=registration.first_party,
        created_at=now,
        disabled_at=None,
        secret_created_at=now if secret_digests else None,
    )


def change_client(client: Client, changes: ClientChanges) -> Client:
    """The client with what an operator changes of it. What it is, public or confidential, it stays.

    Raises:
        InvalidValue: as `build_client`, of the client as it would be.
    """
    present = ClientRegistration(
        name=client.name,
        public=client.is_public,
        first_party=client.first_party,
        auth_method=client.auth_method,
        grant_types=tuple(client.grant_types),
        scope=format_scope(client.scope),
        audiences=client.audiences,
        serves=tuple(client.serves),
        introspection=client.introspection,
    )
    asked = build_client(
        replace(present, **changes), client_id=client.client_id, secret_digests=(), now=client.created_at
    )
    return replace(
        asked,
        secret_digests=client.secret_digests,
        secret_created_at=client.secret_created_at,
        old_secret_expires_at=client.old_secret_expires_at,
        disabled_at=client.disabled_at,
    )

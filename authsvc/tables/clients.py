"""`auth.clients`."""

from datetime import datetime
from typing import Any

from authsvc.models import (
    ApplicationType,
    AuthMethod,
    Client,
    ConsentPolicy,
    GrantType,
    IntrospectionRight,
    SubjectType,
)
from authsvc.tables.db import Queries, Row

# What an operator may change of a client, in the order of `_changeable`.
_CHANGEABLE = (
    "name",
    "token_endpoint_auth_method",
    "grant_types",
    "scope",
    "audiences",
    "serves",
    "introspection",
    "first_party",
    "redirect_uris",
    "post_logout_redirect_uris",
    "backchannel_logout_uri",
    "backchannel_logout_session_required",
    "application_type",
    "require_pkce",
    "id_token_signed_response_alg",
    "userinfo_signed_response_alg",
    "introspection_signed_response_alg",
    "consent",
    "logo_uri",
    "client_uri",
    "policy_uri",
    "tos_uri",
    "default_max_age",
    "require_auth_time",
    "jwks",
    "jwks_uri",
    "token_endpoint_auth_signing_alg",
    "request_object_signing_alg",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "subject_type",
    "sector_identifier_uri",
)
_GIVEN = (
    "client_id",
    "secret_digests",
    "created_at",
    "disabled_at",
    "secret_created_at",
    "old_secret_expires_at",
)
_COLUMNS = ", ".join((*_GIVEN, *_CHANGEABLE))


def _places(first: int, many: int) -> list[str]:
    return [f"${number}" for number in range(first, first + many)]


_INSERT = f"INSERT INTO auth.clients ({_COLUMNS}) VALUES ({', '.join(_places(1, len(_GIVEN) + len(_CHANGEABLE)))})"
_UPDATE = (
    f"UPDATE auth.clients SET ({', '.join(_CHANGEABLE)}) = ROW ({', '.join(_places(2, len(_CHANGEABLE)))}) "
    "WHERE client_id = $1"
)


def _changeable(client: Client) -> tuple[Any, ...]:
    return (
        client.name,
        client.auth_method,
        sorted(client.grant_types),
        list(client.scope),
        list(client.audiences),
        sorted(client.serves),
        client.introspection,
        client.first_party,
        list(client.redirect_uris),
        list(client.post_logout_redirect_uris),
        client.backchannel_logout_uri,
        client.backchannel_logout_session_required,
        client.application_type,
        client.require_pkce,
        client.id_token_algorithm,
        client.userinfo_algorithm,
        client.introspection_algorithm,
        client.consent,
        client.logo_uri,
        client.client_uri,
        client.policy_uri,
        client.tos_uri,
        client.default_max_age,
        client.require_auth_time,
        client.jwks,
        client.jwks_uri,
        client.assertion_algorithm,
        client.request_object_algorithm,
        client.require_pushed_request,
        client.require_signed_request,
        client.subject_type,
        client.sector_identifier_uri,
    )


async def insert_client(db: Queries, client: Client) -> None:
    await db.execute(
        _INSERT,
        client.client_id,
        list(client.secret_digests),
        client.created_at,
        client.disabled_at,
        client.secret_created_at,
        client.old_secret_expires_at,
        *_changeable(client),
    )


async def find_client_to_copy(db: Queries, client_id: str, mark: str) -> tuple[Client, int, str] | None:
    """The client, the number of its mark and the version of all clients, read in one statement. A token minted from
    this copy carries a number that a revocation of the client's tokens outgrows, and where the version is still the
    same, the client is too (`cache_mode.get_mode_and_clients_version`)."""
    row = await db.fetchrow(
        f"SELECT {_COLUMNS}, coalesce((SELECT generation FROM auth.token_blacklist WHERE mark = $2), 0) AS generation, "
        "(SELECT version FROM auth.clients_version) FROM auth.clients WHERE client_id = $1",
        client_id,
        mark,
    )
    return None if row is None else (_client(row), row["generation"], row["version"])


async def find_client(db: Queries, client_id: str) -> Client | None:
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.clients WHERE client_id = $1", client_id)
    return None if row is None else _client(row)


async def list_clients(db: Queries) -> list[Client]:
    return [_client(row) for row in await db.fetch(f"SELECT {_COLUMNS} FROM auth.clients ORDER BY created_at")]


async def update_disabled(db: Queries, client_id: str, disabled_at: datetime | None) -> bool:
    """False when there is no such client."""
    row = await db.fetchrow(
        "UPDATE auth.clients SET disabled_at = $2 WHERE client_id = $1 RETURNING client_id", client_id, disabled_at
    )
    return row is not None


async def find_client_for_update(db: Queries, client_id: str) -> Client | None:
    """Until the transaction ends nobody else changes it; readers are not held up."""
    row = await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.clients WHERE client_id = $1 FOR NO KEY UPDATE", client_id)
    return None if row is None else _client(row)


async def update_client(db: Queries, client: Client) -> None:
    """Replace what an operator may change of it."""
    await db.execute(_UPDATE, client.client_id, *_changeable(client))


async def rotate_secret(
    db: Queries, client_id: str, digest: bytes, *, now: datetime, old_expires_at: datetime | None
) -> bool:
    """Put a secret in front; the one that was in front goes on to `old_expires_at`, and those before it go. False when
    there is no such client, or none that proves itself by a secret.

    One statement: of two at once one comes second, and keeps what the first made."""
    row = await db.fetchrow(
        """
        UPDATE auth.clients
           SET secret_digests = ARRAY[$2::bytea] || CASE WHEN $4::timestamptz IS NOT NULL THEN secret_digests[1:1] END,
               secret_created_at = $3,
               old_secret_expires_at = $4
         WHERE client_id = $1
           AND coalesce(token_endpoint_auth_method, 'client_secret_basic') LIKE 'client_secret_%'
        RETURNING client_id
        """,
        client_id,
        digest,
        now,
        old_expires_at,
    )
    return row is not None


async def drop_old_secret(db: Queries, client_id: str) -> bool:
    """Leave the newest secret alone. False when there is no such client, or it has no secret."""
    row = await db.fetchrow(
        "UPDATE auth.clients SET secret_digests = secret_digests[1:1], old_secret_expires_at = NULL "
        "WHERE client_id = $1 AND cardinality(secret_digests) > 0 RETURNING client_id",
        client_id,
    )
    return row is not None


async def delete_client(db: Queries, client_id: str) -> bool:
    """Sessions opened through it go with the row. False when there is no such client, or one that is not disabled."""
    row = await db.fetchrow(
        "DELETE FROM auth.clients WHERE client_id = $1 AND disabled_at IS NOT NULL RETURNING client_id", client_id
    )
    return row is not None


def _client(row: Row) -> Client:
    method: Any = row["token_endpoint_auth_method"]
    return Client(
        client_id=row["client_id"],
        name=row["name"],
        secret_digests=tuple(row["secret_digests"]),
        auth_method=None if method is None else AuthMethod(method),
        grant_types=frozenset(GrantType(each) for each in row["grant_types"]),
        scope=tuple(row["scope"]),
        audiences=tuple(row["audiences"]),
        serves=frozenset(row["serves"]),
        introspection=IntrospectionRight(row["introspection"]),
        first_party=row["first_party"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        secret_created_at=row["secret_created_at"],
        old_secret_expires_at=row["old_secret_expires_at"],
        redirect_uris=tuple(row["redirect_uris"]),
        post_logout_redirect_uris=tuple(row["post_logout_redirect_uris"]),
        backchannel_logout_uri=row["backchannel_logout_uri"],
        backchannel_logout_session_required=row["backchannel_logout_session_required"],
        application_type=ApplicationType(row["application_type"]),
        require_pkce=row["require_pkce"],
        id_token_algorithm=row["id_token_signed_response_alg"],
        userinfo_algorithm=row["userinfo_signed_response_alg"],
        introspection_algorithm=row["introspection_signed_response_alg"],
        consent=ConsentPolicy(row["consent"]),
        logo_uri=row["logo_uri"],
        client_uri=row["client_uri"],
        policy_uri=row["policy_uri"],
        tos_uri=row["tos_uri"],
        default_max_age=row["default_max_age"],
        require_auth_time=row["require_auth_time"],
        jwks=row["jwks"],
        jwks_uri=row["jwks_uri"],
        assertion_algorithm=row["token_endpoint_auth_signing_alg"],
        request_object_algorithm=row["request_object_signing_alg"],
        require_pushed_request=row["require_pushed_authorization_requests"],
        require_signed_request=row["require_signed_request_object"],
        subject_type=SubjectType(row["subject_type"]),
        sector_identifier_uri=row["sector_identifier_uri"],
    )

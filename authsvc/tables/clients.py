"""`auth.clients`."""

from datetime import datetime
from typing import Any

from authsvc.models import AuthMethod, Client, GrantType, IntrospectionRight
from authsvc.tables.db import Queries, Row

_COLUMNS = (
    "client_id, name, secret_digests, token_endpoint_auth_method, grant_types, scope, audiences, serves, "
    "introspection, first_party, created_at, disabled_at, secret_created_at, old_secret_expires_at"
)


async def insert_client(db: Queries, client: Client) -> None:
    await db.execute(
        f"INSERT INTO auth.clients ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        client.client_id,
        client.name,
        list(client.secret_digests),
        client.auth_method,
        sorted(client.grant_types),
        list(client.scope),
        list(client.audiences),
        sorted(client.serves),
        client.introspection,
        client.first_party,
        client.created_at,
        client.disabled_at,
        client.secret_created_at,
        client.old_secret_expires_at,
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
    await db.execute(
        "UPDATE auth.clients SET name = $2, token_endpoint_auth_method = $3, grant_types = $4, scope = $5, "
        "audiences = $6, serves = $7, introspection = $8, first_party = $9 WHERE client_id = $1",
        client.client_id,
        client.name,
        client.auth_method,
        sorted(client.grant_types),
        list(client.scope),
        list(client.audiences),
        sorted(client.serves),
        client.introspection,
        client.first_party,
    )


async def rotate_secret(
    db: Queries, client_id: str, digest: bytes, *, now: datetime, old_expires_at: datetime | None
) -> bool:
    """Put a secret in front; the one that was in front goes on to `old_expires_at`, and those before it go. False when
    there is no such client, or it has no secret.

    One statement: of two at once one comes second, and keeps what the first made."""
    row = await db.fetchrow(
        """
        UPDATE auth.clients
           SET secret_digests = ARRAY[$2::bytea] || CASE WHEN $4::timestamptz IS NOT NULL THEN secret_digests[1:1] END,
               secret_created_at = $3,
               old_secret_expires_at = $4
         WHERE client_id = $1 AND cardinality(secret_digests) > 0
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
    )

"""Rows to put into tables, and pools to put them in with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from authsvc.models import Client, GrantType, IntrospectionRight, Session, SigningKey, User
from authsvc.protocol.revocation import EVERYTHING, client_mark, user_mark
from authsvc.tables import clients, sessions, users
from authsvc.tables.db import Database, Queries

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
HASH = "a hash"

_numbers = count(1)


@asynccontextmanager
async def database_on(url: str, *, size: int = 4, timeout: float = 5.0) -> AsyncIterator[Database]:
    database = Database(url, size=size, timeout=timeout, name="test")
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def a_user(**changes: Any) -> User:
    number = next(_numbers)
    user = User(
        sub=f"usr_{number}",
        email=f"User{number}@Example.com",
        email_canonical=f"user{number}@example.com",
        email_verified=False,
        password_hash=HASH,
        claims={},
        created_at=NOW,
        disabled_at=None,
    )
    return replace(user, **changes)


def a_client(**changes: Any) -> Client:
    client = Client(
        client_id=f"cli_{next(_numbers)}",
        name="a client",
        secret_digests=(b"\x01" * 32,),
        auth_method=None,
        grant_types=frozenset({GrantType.CLIENT_CREDENTIALS}),
        scope=("read", "write"),
        audiences=("https://api.example",),
        serves=frozenset({"https://me.example"}),
        introspection=IntrospectionRight.AUDIENCE,
        first_party=True,
        created_at=NOW,
        disabled_at=None,
    )
    return replace(client, **changes)


def a_key(**changes: Any) -> SigningKey:
    number = next(_numbers)
    key = SigningKey(
        kid=f"kid_{number}",
        algorithm="ES256",
        public_jwk={"kty": "EC", "kid": f"kid_{number}"},
        sealed_private=b"\x00sealed\xff",
        master_key_id="0123456789abcdef",
        created_at=NOW,
        signs_from=None,
        verifies_until=None,
    )
    return replace(key, **changes)


async def insert_pair(db: Queries) -> tuple[User, Client]:
    """A user and a client that sessions can be opened for."""
    user, client = a_user(), a_client()
    assert await users.insert_user(db, user)
    await clients.insert_client(db, client)
    return user, client


async def open_session(db: Queries, sid: str, user: User, client: Client, **changes: Any) -> Session | None:
    values: dict[str, Any] = {
        "sid": sid,
        "sub": user.sub,
        "client_id": client.client_id,
        "password_hash": user.password_hash,
        "user_mark": user_mark(user.sub),
        "client_mark": client_mark(client.client_id),
        "everything_mark": EVERYTHING,
        "methods": ("pwd",),
        "now": NOW,
        "expires_at": LATER,
    }
    return await sessions.insert_session(db, **(values | changes))


async def until_somebody_waits(db: Queries, many: int = 1) -> None:
    """Until that many sessions of this database wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while await db.fetchval(waiting) < many:
            await asyncio.sleep(0.005)

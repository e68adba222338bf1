"""`auth.users`."""

from datetime import datetime

from authsvc.models import JsonObject, User
from authsvc.tables.db import Queries, Row

_COLUMNS = (
    "sub, email, email_canonical, email_verified, password_hash, claims, created_at, disabled_at, updated_at, "
    "password_changed_at"
)


async def insert_user(db: Queries, user: User) -> bool:
    """False when the address is taken: the unique index decides, so two at once make one user."""
    row = await db.fetchrow(
        "INSERT INTO auth.users (sub, email, email_canonical, email_verified, password_hash, claims, created_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email_canonical) DO NOTHING RETURNING sub",
        user.sub,
        user.email,
        user.email_canonical,
        user.email_verified,
        user.password_hash,
        user.claims,
        user.created_at,
    )
    return row is not None


async def find_user(db: Queries, sub: str) -> User | None:
    return _user(await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.users WHERE sub = $1", sub))


async def find_user_by_email(db: Queries, email_canonical: str) -> User | None:
    return _user(await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.users WHERE email_canonical = $1", email_canonical))


async def list_users(db: Queries, *, after: str, limit: int) -> list[User]:
    """In the order of the primary key: a page costs the same wherever it begins."""
    query = f"SELECT {_COLUMNS} FROM auth.users WHERE sub > $1 ORDER BY sub LIMIT $2"
    return [User(**dict(row)) for row in await db.fetch(query, after, limit)]


async def lock_user(db: Queries, sub: str) -> None:
    """Until the transaction ends nobody else changes the user or opens a session for them; readers are not held up."""
    await db.execute("SELECT FROM auth.users WHERE sub = $1 FOR NO KEY UPDATE", sub)


async def update_password_hash(
    db: Queries, sub: str, *, old: str, new: str, changed_at: datetime | None = None
) -> bool:
    """Exchange one hash for another. False when it is no longer `old`: of two changes at once one wins. `changed_at` is
    None where it is the same password, hashed anew."""
    row = await db.fetchrow(
        "UPDATE auth.users SET password_hash = $3, password_changed_at = coalesce($4, password_changed_at) "
        "WHERE sub = $1 AND password_hash = $2 AND disabled_at IS NULL RETURNING sub",
        sub,
        old,
        new,
        changed_at,
    )
    return row is not None


async def update_claims(db: Queries, sub: str, claims: JsonObject, now: datetime) -> User:
    """The user with these. To be called by whoever holds `lock_user`, and has found the user there."""
    row = await db.fetchrow(
        f"UPDATE auth.users SET claims = $2, updated_at = $3 WHERE sub = $1 RETURNING {_COLUMNS}", sub, claims, now
    )
    if row is None:
        raise RuntimeError("the user is gone, under a lock")
    return User(**dict(row))


async def update_disabled(db: Queries, sub: str, disabled_at: datetime | None) -> bool:
    """False when there is no such user."""
    row = await db.fetchrow("UPDATE auth.users SET disabled_at = $2 WHERE sub = $1 RETURNING sub", sub, disabled_at)
    return row is not None


async def delete_user(db: Queries, sub: str) -> bool:
    """Sessions go with the row. False when there is no such user, or one who is not disabled: who goes is out first."""
    row = await db.fetchrow("DELETE FROM auth.users WHERE sub = $1 AND disabled_at IS NOT NULL RETURNING sub", sub)
    return row is not None


def _user(row: Row | None) -> User | None:
    return None if row is None else User(**dict(row))

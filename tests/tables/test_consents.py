"""`auth.consents`, on a real PostgreSQL: what is allowed comes to what was allowed before."""

import asyncio
from datetime import timedelta

from authsvc.models import Consent
from authsvc.tables import consents
from authsvc.tables.db import Database
from tests.tables.rows import NOW, insert_pair

READ = Consent(frozenset({"openid", "read"}), frozenset({"https://a.example"}), frozenset({"name"}))
WRITE = Consent(frozenset({"read", "write"}), frozenset(), frozenset({"email"}))


async def test_nobody_has_allowed_anything_yet(db: Database) -> None:
    user, client = await insert_pair(db)
    assert await consents.find_consent(db, user.sub, client.client_id) is None


async def test_consent_grows(db: Database) -> None:
    user, client = await insert_pair(db)
    _, other = await insert_pair(db)
    await consents.add_consent(db, user.sub, client.client_id, READ, NOW)
    assert await consents.find_consent(db, user.sub, client.client_id) == READ
    await consents.add_consent(db, user.sub, client.client_id, WRITE, NOW + timedelta(days=1))
    assert await consents.find_consent(db, user.sub, client.client_id) == Consent(
        frozenset({"openid", "read", "write"}), frozenset({"https://a.example"}), frozenset({"name", "email"})
    )
    assert await consents.find_consent(db, user.sub, other.client_id) is None
    row = await db.fetchrow("SELECT granted_at, updated_at FROM auth.consents")
    assert (row["granted_at"], row["updated_at"]) == (NOW, NOW + timedelta(days=1))


async def test_two_at_once_are_both_kept(db: Database) -> None:
    user, client = await insert_pair(db)
    each = [Consent(frozenset({f"s{number}"}), frozenset(), frozenset()) for number in range(8)]
    await asyncio.gather(*(consents.add_consent(db, user.sub, client.client_id, one, NOW) for one in each))
    found = await consents.find_consent(db, user.sub, client.client_id)
    assert found is not None
    assert found.scope == {f"s{number}" for number in range(8)}


async def test_consent_is_listed_by_client_and_taken_back_once(db: Database) -> None:
    user, client = await insert_pair(db)
    stranger, other = await insert_pair(db)
    await consents.add_consent(db, user.sub, client.client_id, READ, NOW)
    await consents.add_consent(db, user.sub, other.client_id, WRITE, NOW + timedelta(days=1))
    await consents.add_consent(db, stranger.sub, client.client_id, WRITE, NOW)
    assert await consents.list_consents(db, user.sub) == {
        client.client_id: (READ, NOW),
        other.client_id: (WRITE, NOW + timedelta(days=1)),
    }
    assert await consents.delete_consent(db, user.sub, client.client_id)
    assert not await consents.delete_consent(db, user.sub, client.client_id)
    assert await consents.list_consents(db, user.sub) == {other.client_id: (WRITE, NOW + timedelta(days=1))}
    assert await consents.find_consent(db, stranger.sub, client.client_id) == WRITE

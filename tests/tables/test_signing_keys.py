"""`auth.signing_keys`, on a real PostgreSQL."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from authsvc.tables import signing_keys
from authsvc.tables.db import Database
from tests.tables.rows import LATER, NOW, a_key, database_on, until_somebody_waits


async def test_a_key_comes_back_as_it_went_in(db: Database) -> None:
    key = a_key(signs_from=NOW, verifies_until=LATER, sealed_private=bytes(range(256)))
    await signing_keys.insert_key(db, key)
    assert await signing_keys.list_keys(db) == [key]


async def test_keys_are_listed_in_the_order_they_were_made(db: Database) -> None:
    keys = [a_key(kid=kid, created_at=NOW + timedelta(seconds=at)) for kid, at in [("b", 1), ("c", 0), ("a", 1)]]
    for key in keys:
        await signing_keys.insert_key(db, key)
    assert [key.kid for key in await signing_keys.list_keys(db)] == ["c", "a", "b"]


async def test_the_two_times_of_one_key_are_set(db: Database) -> None:
    key, other = a_key(kid="a"), a_key(kid="b")
    await signing_keys.insert_key(db, key)
    await signing_keys.insert_key(db, other)
    await signing_keys.update_times(db, "a", signs_from=NOW, verifies_until=LATER)
    await signing_keys.update_times(db, "nobody", signs_from=NOW, verifies_until=LATER)
    assert await signing_keys.list_keys(db) == [replace(key, signs_from=NOW, verifies_until=LATER), other]


async def test_one_key_is_sealed_anew(db: Database) -> None:
    key, other = a_key(kid="a"), a_key(kid="b")
    await signing_keys.insert_key(db, key)
    await signing_keys.insert_key(db, other)
    await signing_keys.update_sealed(db, "a", sealed_private=b"anew", master_key_id="another")
    assert await signing_keys.list_keys(db) == [replace(key, sealed_private=b"anew", master_key_id="another"), other]


async def test_keys_that_are_gone_are_purged_and_no_others(db: Database) -> None:
    kept = [a_key(), a_key(verifies_until=NOW), a_key(verifies_until=LATER)]
    gone = [a_key(verifies_until=NOW - timedelta(seconds=n)) for n in (1, 2, 3)]
    for key in [*gone, *kept]:
        await signing_keys.insert_key(db, key)
    assert [await signing_keys.purge_keys(db, NOW, 2) for _ in range(3)] == [2, 1, 0]
    assert {key.kid for key in await signing_keys.list_keys(db)} == {key.kid for key in kept}


async def test_a_key_is_deleted_once(db: Database) -> None:
    key, other = a_key(kid="a"), a_key(kid="b")
    await signing_keys.insert_key(db, key)
    await signing_keys.insert_key(db, other)
    assert await signing_keys.delete_key(db, "a")
    assert not await signing_keys.delete_key(db, "a")
    assert await signing_keys.list_keys(db) == [other]


async def test_of_ten_who_delete_a_key_one_did(database_url: str) -> None:
    async with database_on(database_url, size=10) as db:
        await signing_keys.insert_key(db, a_key(kid="a"))
        done = await asyncio.gather(*(signing_keys.delete_key(db, "a") for _ in range(10)))
        assert done.count(True) == 1


async def test_a_kid_is_never_two_keys(db: Database) -> None:
    await signing_keys.insert_key(db, a_key(kid="a"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await signing_keys.insert_key(db, a_key(kid="a"))


async def test_who_locks_the_keys_holds_up_writers_and_no_reader(db: Database) -> None:
    async with db.transaction() as tx:
        await signing_keys.lock_keys(tx)
        writer = asyncio.create_task(signing_keys.insert_key(db, a_key()))
        await until_somebody_waits(db)
        assert await signing_keys.list_keys(db) == []
        assert not writer.done()
    await writer
    assert len(await signing_keys.list_keys(db)) == 1


async def test_of_two_who_lock_the_keys_the_second_waits(db: Database) -> None:
    async def lock() -> list[object]:
        async with db.transaction() as tx:
            await signing_keys.lock_keys(tx)
            return list(await signing_keys.list_keys(tx))

    async with db.transaction() as tx:
        await signing_keys.lock_keys(tx)
        second = asyncio.create_task(lock())
        await until_somebody_waits(db)
        await signing_keys.insert_key(tx, a_key(kid="a"))
    assert len(await second) == 1, "the second sees what the first one left"

"""`auth.users`, on a real PostgreSQL."""

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from authsvc.errors import Unavailable
from authsvc.models import User
from authsvc.tables import users
from authsvc.tables.db import Database
from tests.tables.rows import HASH, LATER, NOW, a_user, database_on, insert_pair, open_session, until_somebody_waits


async def test_a_user_comes_back_as_it_went_in(db: Database) -> None:
    claims = {"name": "Ada Ünïcode 😀", "list": [1, 2.5, None, True], "deep": {"a": {"b": "c"}}, "big": 2**53}
    user = a_user(email_verified=True, claims=claims)
    assert await users.insert_user(db, user)
    assert await users.find_user(db, user.sub) == user
    assert await users.find_user_by_email(db, user.email_canonical) == user


async def test_claims_are_changed_with_the_time_of_it_and_nothing_else_is(db: Database) -> None:
    user, other = a_user(claims={"name": "Ada"}), a_user(claims={"name": "Eve"})
    for each in (user, other):
        await users.insert_user(db, each)
    changed = await users.update_claims(db, user.sub, {"nickname": "A"}, LATER)
    assert changed == replace(user, claims={"nickname": "A"}, updated_at=LATER)
    assert await users.find_user(db, user.sub) == changed
    assert await users.find_user(db, other.sub) == other
    with pytest.raises(RuntimeError):
        await users.update_claims(db, "usr_nobody", {}, LATER)


async def test_a_user_may_have_no_password(db: Database) -> None:
    user = a_user(password_hash=None)
    await users.insert_user(db, user)
    assert await users.find_user(db, user.sub) == user


async def test_nobody_is_found_where_nobody_is(db: Database) -> None:
    await users.insert_user(db, a_user())
    assert await users.find_user(db, "usr_nobody") is None
    assert await users.find_user_by_email(db, "nobody@example.com") is None
    assert await users.find_user_by_email(db, "") is None


@pytest.mark.parametrize("text", ["%", "_", "*", "' OR 1=1--", "\\", "user_@example.com", "user%@example.com"])
async def test_what_means_something_elsewhere_is_only_text_here(db: Database, text: str) -> None:  # ATK-48
    await users.insert_user(db, a_user())
    assert await users.find_user(db, text) is None
    assert await users.find_user_by_email(db, text) is None


async def test_the_address_is_compared_letter_by_letter(db: Database) -> None:
    user = a_user(email_canonical="ada@example.com")
    await users.insert_user(db, user)
    for other in ("Ada@example.com", "ada@example.com ", "ada@example.co", "ada@example.comm"):
        assert await users.find_user_by_email(db, other) is None


async def test_of_twenty_users_inserted_at_once_under_one_address_one_is_there(database_url: str) -> None:
    asked = [a_user(email_canonical="ada@example.com") for _ in range(20)]
    async with database_on(database_url, size=20) as db:
        inserted = await asyncio.gather(*(users.insert_user(db, user) for user in asked))
        assert inserted.count(True) == 1
        assert await users.find_user_by_email(db, "ada@example.com") == asked[inserted.index(True)]
        assert await db.fetchval("SELECT count(*) FROM auth.users") == 1


async def test_users_are_listed_a_page_at_a_time(db: Database) -> None:
    assert await users.list_users(db, after="", limit=10) == []
    made = [a_user(sub=f"usr_{letter}") for letter in "cadbe"]
    for user in made:
        await users.insert_user(db, user)
    expected = sorted(made, key=lambda user: user.sub)
    assert await users.list_users(db, after="", limit=10) == expected
    for size in (1, 2, 5):
        pages: list[User] = []
        while page := await users.list_users(db, after=pages[-1].sub if pages else "", limit=size):
            assert len(page) <= size
            pages += page
        assert pages == expected


async def test_an_address_that_is_taken_changes_nothing_about_who_has_it(db: Database) -> None:
    first = a_user(email_canonical="ada@example.com")
    await users.insert_user(db, first)
    assert not await users.insert_user(db, a_user(email_canonical="ada@example.com", claims={"role": "admin"}))
    assert await users.find_user_by_email(db, "ada@example.com") == first


async def test_an_address_is_free_when_the_insert_before_it_rolls_back(db: Database) -> None:
    waiting: asyncio.Task[bool] | None = None
    second = a_user(email_canonical="ada@example.com")
    with pytest.raises(LookupError):
        async with db.transaction() as tx:
            assert await users.insert_user(tx, a_user(email_canonical="ada@example.com"))
            waiting = asyncio.create_task(users.insert_user(db, second))
            await until_somebody_waits(db)
            raise LookupError
    assert waiting is not None
    assert await waiting
    assert await users.find_user_by_email(db, "ada@example.com") == second


async def test_a_sub_is_never_two_users(db: Database) -> None:
    user = a_user()
    await users.insert_user(db, user)
    with pytest.raises(asyncpg.UniqueViolationError):
        await users.insert_user(db, replace(user, email_canonical="other@example.com"))


async def test_a_password_is_changed_by_who_knows_the_old_hash(db: Database) -> None:
    user = a_user()
    await users.insert_user(db, user)
    assert not await users.update_password_hash(db, user.sub, old="another hash", new="evil")
    assert not await users.update_password_hash(db, "usr_nobody", old=HASH, new="evil")
    assert await users.find_user(db, user.sub) == user
    assert await users.update_password_hash(db, user.sub, old=HASH, new="new")
    assert await users.find_user(db, user.sub) == replace(user, password_hash="new")
    assert await users.update_password_hash(db, user.sub, old="new", new="newer", changed_at=NOW)
    assert await users.update_password_hash(db, user.sub, old="newer", new="the same, hashed anew")
    found = await users.find_user(db, user.sub)
    assert found is not None
    assert found.password_changed_at == NOW


async def test_a_user_without_a_password_has_none_to_exchange(db: Database) -> None:
    user = a_user(password_hash=None)
    await users.insert_user(db, user)
    assert not await users.update_password_hash(db, user.sub, old="", new="evil")


async def test_the_password_of_a_disabled_user_stays(db: Database) -> None:
    user = a_user()
    await users.insert_user(db, user)
    await users.update_disabled(db, user.sub, NOW)
    assert not await users.update_password_hash(db, user.sub, old=HASH, new="evil")


async def test_of_ten_password_changes_at_once_one_wins(database_url: str) -> None:
    async with database_on(database_url, size=10) as db:
        user = a_user()
        await users.insert_user(db, user)
        won = await asyncio.gather(
            *(users.update_password_hash(db, user.sub, old=HASH, new=f"new {number}") for number in range(10))
        )
        assert won.count(True) == 1
        found = await users.find_user(db, user.sub)
        assert found is not None
        assert found.password_hash == f"new {won.index(True)}"


async def test_a_user_is_disabled_and_enabled(db: Database) -> None:
    user, other = a_user(), a_user()
    await users.insert_user(db, user)
    await users.insert_user(db, other)
    assert await users.update_disabled(db, user.sub, NOW)
    assert await users.find_user(db, user.sub) == replace(user, disabled_at=NOW)
    assert await users.update_disabled(db, user.sub, None)
    assert await users.find_user(db, user.sub) == user
    assert await users.find_user(db, other.sub) == other
    assert not await users.update_disabled(db, "usr_nobody", NOW)


async def test_a_deleted_user_takes_the_sessions_along(db: Database) -> None:
    user, client = await insert_pair(db)
    other, other_client = await insert_pair(db)
    assert await open_session(db, "gone", user, client)
    assert await open_session(db, "stays", other, other_client)
    assert not await users.delete_user(db, user.sub), "who is not out yet"
    assert await users.update_disabled(db, user.sub, NOW)
    assert await users.delete_user(db, user.sub)
    assert await users.find_user(db, user.sub) is None
    assert [row["sid"] for row in await db.fetch("SELECT sid FROM auth.sessions")] == ["stays"]
    assert not await users.delete_user(db, user.sub)


async def test_who_locks_a_user_holds_up_changes_and_no_reader(db: Database) -> None:
    user = a_user()
    await users.insert_user(db, user)
    async with db.transaction() as tx:
        await users.lock_user(tx, user.sub)
        change = asyncio.create_task(users.update_disabled(db, user.sub, LATER))
        await until_somebody_waits(db)
        assert await users.find_user(db, user.sub) == user
        assert not change.done()
    assert await change


async def test_a_user_who_is_not_there_can_be_locked(db: Database) -> None:
    async with db.transaction() as tx:
        await users.lock_user(tx, "usr_nobody")


@pytest.mark.parametrize("text", ["a\0b", "\0", "a\ud800b"])
async def test_a_text_that_postgresql_cannot_hold_is_a_fault_and_not_an_outage(db: Database, text: str) -> None:
    with pytest.raises(asyncpg.DataError):
        await users.find_user(db, text)
    with pytest.raises(asyncpg.DataError):
        await users.insert_user(db, a_user(email_canonical=text))
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0


async def test_the_address_is_unique_by_an_index_and_not_by_a_check(db: Database) -> None:
    """What decides a race must be the database: a copy of the address goes in by no other way either."""
    await users.insert_user(db, a_user(email_canonical="ada@example.com"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await db.execute(
            "INSERT INTO auth.users SELECT 'usr_x', email, email_canonical, false, NULL, '{}', created_at, NULL "
            "FROM auth.users"
        )


async def test_nothing_is_known_of_users_before_the_schema_is_there(empty_database_url: str) -> None:
    async with database_on(empty_database_url) as db:
        with pytest.raises(Unavailable):
            await users.find_user(db, "usr_1")

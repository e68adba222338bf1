"""Migrations: applied once, whoever else applies them; noticed when they were changed; all or nothing."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from authsvc import migrate as migrations
from authsvc.embedded import Stores
from authsvc.errors import ConfigurationError, Unavailable
from authsvc.migrate import find_missing, migrate, parse_migration, prepare_schema, shipped
from tests.stores import fresh_database

FIRST = "CREATE TABLE one (n int); INSERT INTO one VALUES (1);"
SECOND = "CREATE TABLE two (n int);"

_AS_NEW = "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS auth, audit CASCADE; CREATE SCHEMA public"

Put = Callable[..., None]


@pytest.fixture(scope="module")
def module_database_url(stores: Stores) -> Iterator[str]:
    with fresh_database(stores) as url:
        yield url


@pytest.fixture
def empty_database_url(module_database_url: str) -> str:
    """The same database for all tests here, as it was when it was new: a new one takes much longer."""

    async def empty() -> None:
        connection = await asyncpg.connect(module_database_url)
        try:
            await connection.execute(_AS_NEW)
        finally:
            await connection.close()

    asyncio.run(empty())
    return module_database_url


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Puts a migration beside the others of a build that has these alone."""
    monkeypatch.setattr(migrations, "_folder", lambda: tmp_path)

    def put(name: str, up: str, options: str = "") -> None:
        (tmp_path / f"{name}.sql").write_text(f"-- migrate:up{options}\n{up}\n-- migrate:down\nDROP TABLE {name};\n")

    put("0001_one", FIRST)
    put("0002_two", SECOND)
    return put


@pytest.fixture
async def connection(empty_database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def applied(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("SELECT version FROM public.schema_migrations ORDER BY version")]


async def tables(connection: asyncpg.Connection) -> set[str]:
    rows = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    return {row[0] for row in rows}


# --- Files


def test_the_shipped_migrations_are_numbered_without_a_gap_and_can_be_undone() -> None:
    found = shipped()
    assert [m.version for m in found] == [f"{number:04}" for number in range(1, len(found) + 1)]
    for migration in found:
        assert migration.sql.strip()
        assert "-- migrate:down" not in migration.sql


def test_a_migration_is_what_stands_between_up_and_down() -> None:
    text = "-- a word before\n-- migrate:up\nSELECT 1;\n-- migrate:down\nSELECT 2;\n"
    migration = parse_migration("0007_a_name.sql", text)
    assert (migration.version, migration.name, migration.sql) == ("0007", "0007_a_name.sql", "SELECT 1;\n")
    assert migration.in_transaction
    assert migration.checksum == hashlib.sha256(text.encode()).hexdigest()


def test_a_migration_without_a_way_down_is_read_to_its_end() -> None:
    assert parse_migration("0007_x.sql", "-- migrate:up\nSELECT 1;").sql == "SELECT 1;"


def test_a_migration_may_ask_for_no_transaction() -> None:
    assert not parse_migration("0007_x.sql", "-- migrate:up transaction:false\nSELECT 1;").in_transaction
    assert parse_migration("0007_x.sql", "-- migrate:up transaction:true\nSELECT 1;").in_transaction


@pytest.mark.parametrize("name", ["7_x.sql", "0007.sql", "0007_X.sql", "0007_x.txt", "x0007_x.sql", "0007-x.sql"])
def test_a_file_of_another_name_is_no_migration(name: str) -> None:
    with pytest.raises(ValueError, match="is not a migration"):
        parse_migration(name, "-- migrate:up\nSELECT 1;")


@pytest.mark.parametrize("text", ["", "SELECT 1;", "-- migrate:down\nSELECT 1;", "  -- migrate:up\nSELECT 1;"])
def test_a_file_without_a_way_up_is_no_migration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a migration"):
        parse_migration("0007_x.sql", text)


async def test_the_shipped_migrations_can_be_done_undone_and_done_again(
    empty_database_url: str, connection: asyncpg.Connection
) -> None:
    names = [m.name for m in shipped()]
    assert await migrate(empty_database_url) == names
    schema = await tables(connection)
    for migration in reversed(shipped()):
        text = migrations._folder().joinpath(migration.name).read_text()
        await connection.execute(text.partition("-- migrate:down")[2])
        await connection.execute("DELETE FROM public.schema_migrations WHERE version = $1", migration.version)
    assert await tables(connection) == {"schema_migrations"}
    assert await migrate(empty_database_url) == names
    assert await tables(connection) == schema


# --- Applying


async def test_what_is_missing_is_applied_in_order_and_once(
    put: Put, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    said: list[str] = []
    assert await migrate(empty_database_url, said.append) == ["0001_one.sql", "0002_two.sql"]
    assert said == ["applied 0001_one.sql", "applied 0002_two.sql"]
    assert await migrate(empty_database_url, said.append) == []
    put("0003_three", "CREATE TABLE three (n int);")
    assert await migrate(empty_database_url) == ["0003_three.sql"]
    assert await applied(connection) == ["0001", "0002", "0003"]
    assert await connection.fetchval("SELECT count(*) FROM one") == 1


async def test_of_eight_who_migrate_at_once_one_does(empty_database_url: str, connection: asyncpg.Connection) -> None:
    outcomes = await asyncio.gather(*(migrate(empty_database_url) for _ in range(8)))
    assert Counter(map(len, outcomes)) == {0: 7, len(shipped()): 1}
    assert await applied(connection) == [m.version for m in shipped()]


async def test_a_database_that_is_ahead_is_left_as_it_is(
    put: Put, empty_database_url: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    """A new build is rolling in beside this one."""
    await migrate(empty_database_url)
    (tmp_path / "0002_two.sql").unlink()
    assert await find_missing(empty_database_url) == []
    assert await migrate(empty_database_url) == []
    await prepare_schema(empty_database_url, wants_migration=False)
    assert await applied(connection) == ["0001", "0002"]


async def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    put: Put, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    await migrate(empty_database_url)
    put("0001_one", FIRST + " ")
    put("0003_three", "CREATE TABLE three (n int);")
    acts: list[Callable[[str], Any]] = [
        lambda url: migrate(url),
        lambda url: find_missing(url),
        lambda url: prepare_schema(url, wants_migration=True),
        lambda url: prepare_schema(url, wants_migration=False),
    ]
    for act in acts:
        with pytest.raises(ConfigurationError) as caught:
            await act(empty_database_url)
        assert caught.value.faults == ("migration 0001_one.sql was changed after it had been applied",)
    assert await applied(connection) == ["0001", "0002"], "and nothing else is applied over it"


async def test_a_migration_that_wants_no_transaction_gets_none(
    put: Put, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    put("0003_three", "CREATE INDEX CONCURRENTLY by_n ON one (n);")
    with pytest.raises(asyncpg.ActiveSQLTransactionError):
        await migrate(empty_database_url)
    assert await applied(connection) == ["0001", "0002"]
    put("0003_three", "CREATE INDEX CONCURRENTLY by_n ON one (n);", " transaction:false")
    assert await migrate(empty_database_url) == ["0003_three.sql"]
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_n'::regclass")


async def test_indexes_can_be_made_without_a_transaction_while_others_wait_for_their_turn(
    put: Put, empty_database_url: str
) -> None:
    """A blocking lock would wait inside a transaction, which the holder of the lock would wait for."""
    put("0003_three", "CREATE INDEX CONCURRENTLY by_n ON one (n);", " transaction:false")
    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert Counter(map(len, outcomes)) == {0: 3, 3: 1}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("SELECT 1/0;", asyncpg.DivisionByZeroError),
        ("SELEKT;", asyncpg.PostgresSyntaxError),
        ("INSERT INTO nothing VALUES (1);", ConfigurationError),
        ("CREATE TABLE nowhere.x (n int);", ConfigurationError),
        ("CREATE TABLE one (n int);", asyncpg.DuplicateTableError),
    ],
)
async def test_a_migration_that_fails_leaves_nothing_of_itself(
    put: Put, empty_database_url: str, connection: asyncpg.Connection, fault: str, error: type[Exception]
) -> None:
    """Nor is it told to try again later: it is a fault of the file."""
    put("0002_two", f"CREATE TABLE two (n int); {fault}")
    put("0003_three", "CREATE TABLE three (n int);")
    with pytest.raises(error):
        await migrate(empty_database_url)
    assert await tables(connection) == {"one", "schema_migrations"}
    assert await applied(connection) == ["0001"]
    put("0002_two", SECOND)
    assert await migrate(empty_database_url) == ["0002_two.sql", "0003_three.sql"], "and its lock is not left behind"


async def test_a_migration_whose_session_is_killed_leaves_nothing_of_itself(
    put: Put, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    put("0002_two", "CREATE TABLE two (n int); SELECT pg_sleep(60);")
    task = asyncio.create_task(migrate(empty_database_url))
    others = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    async with asyncio.timeout(30):
        while not await connection.fetchval(f"SELECT count(*) {others}"):
            await asyncio.sleep(0.01)
    await connection.execute(f"SELECT pg_terminate_backend(pid) {others}")
    with pytest.raises(Unavailable):
        await task
    assert await tables(connection) == {"one", "schema_migrations"}
    put("0002_two", SECOND)
    assert await migrate(empty_database_url) == ["0002_two.sql"]


async def test_who_migrates_waits_for_who_is_migrating_and_not_for_ever(
    put: Put, empty_database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "LOCK_WAIT_SECONDS", 0)
        with pytest.raises(ConfigurationError):
            await migrate(empty_database_url)
    task = asyncio.create_task(migrate(empty_database_url))
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_try_advisory%'"
    )
    async with asyncio.timeout(30):
        while await connection.fetchval(f"{asked} AND pid <> pg_backend_pid()") == 0:
            await asyncio.sleep(0.005)
    assert await tables(connection) == set()
    assert not task.done()
    await connection.execute("SELECT pg_advisory_unlock($1)", migrations.LOCK)
    assert await task == ["0001_one.sql", "0002_two.sql"]


# --- Looking


async def test_looking_for_what_is_missing_changes_nothing(
    put: Put, empty_database_url: str, connection: asyncpg.Connection
) -> None:
    assert await find_missing(empty_database_url) == ["0001_one.sql", "0002_two.sql"]
    assert await tables(connection) == set()
    await migrate(empty_database_url)
    assert await find_missing(empty_database_url) == []
    put("0003_three", "CREATE TABLE three (n int);")
    assert await find_missing(empty_database_url) == ["0003_three.sql"]
    assert await tables(connection) == {"one", "two", "schema_migrations"}


async def test_looking_needs_no_lock(put: Put, empty_database_url: str, connection: asyncpg.Connection) -> None:
    await connection.execute("SELECT pg_advisory_lock($1)", migrations.LOCK)
    async with asyncio.timeout(30):
        assert len(await find_missing(empty_database_url)) == 2


async def test_a_service_does_not_start_on_a_schema_that_is_too_old(put: Put, empty_database_url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await prepare_schema(empty_database_url, wants_migration=False)
    assert caught.value.faults[0].startswith("2 migrations are not applied: run `authsvc migrate`")
    await prepare_schema(empty_database_url, wants_migration=True)
    await prepare_schema(empty_database_url, wants_migration=False)


@pytest.mark.parametrize("url", ["postgresql://postgres@/x?host=/nowhere", "postgresql://postgres@127.0.0.1:1/x"])
async def test_a_server_that_is_away_is_an_outage(url: str) -> None:
    for act in (migrate, find_missing):
        with pytest.raises(Unavailable):
            await act(url)

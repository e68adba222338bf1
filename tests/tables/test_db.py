"""The pool: what counts as "the store cannot be asked", and that it is whole again afterwards (FLT-36, FLT-37)."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from authsvc.embedded import Stores
from authsvc.errors import Unavailable
from authsvc.tables import clients, revocations, users
from authsvc.tables.db import Database
from tests.stores import run_sql
from tests.tables.line import Line, line_to
from tests.tables.rows import LATER, NOW, a_client, a_user, database_on, insert_pair, until_somebody_waits

SOON = 0.3
"""A timeout for what is bound to run into it."""
SLEEP = "SELECT pg_sleep(60)"
MY_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    async with line_to(database_url) as line:
        yield line


async def check_works(db: Database) -> None:
    """Every connection that the pool may have answers, at the same time, and none is held by nobody."""
    assert await asyncio.gather(*(db.fetchval("SELECT 1 FROM pg_sleep(0.02)") for _ in range(4))) == [1] * 4
    await until_idle(db)


async def until_idle(db: Database) -> None:
    async with asyncio.timeout(30):
        while db.in_use:
            await asyncio.sleep(0.005)


async def until_asleep(db: Database, many: int = 1) -> None:
    """Until that many queries are under way."""
    async with asyncio.timeout(30):
        while await db.fetchval(f"SELECT count(*) {MY_OTHERS} AND wait_event = 'PgSleep'") < many:
            await asyncio.sleep(0.005)


# --- What works


async def test_no_connection_is_opened_before_the_first_query(db: Database) -> None:
    assert (db.size, db.in_use) == (0, 0)
    await db.fetchval("SELECT 1")
    assert (db.size, db.in_use) == (1, 0)


async def test_a_connection_says_whose_it_is(db: Database) -> None:
    assert await db.fetchval("SELECT current_setting('application_name')") == "authsvc test"


async def test_a_pool_grows_to_its_size_and_no_further(db: Database) -> None:
    await asyncio.gather(*(db.fetchval("SELECT pg_sleep(0.01)") for _ in range(40)))
    assert db.size == 4
    assert db.in_use == 0


# --- Transactions


async def test_a_transaction_commits_when_its_block_ends(db: Database) -> None:
    async with db.transaction() as tx:
        await insert_pair(tx)
        assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 1


async def test_a_transaction_rolls_back_when_its_block_raises(db: Database) -> None:
    with pytest.raises(LookupError):
        async with db.transaction() as tx:
            await insert_pair(tx)
            raise LookupError
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_a_transaction_rolls_back_when_a_query_in_it_fails(db: Database) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with db.transaction() as tx:
            await insert_pair(tx)
            await tx.fetchval("SELECT 1/0")
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_a_transaction_that_hides_a_failed_query_is_not_said_to_be_committed(db: Database) -> None:
    with pytest.raises(RuntimeError, match="nothing was committed"):
        async with db.transaction() as tx:
            await insert_pair(tx)
            with suppress(asyncpg.DivisionByZeroError):
                await tx.fetchval("SELECT 1/0")
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_a_transaction_rolls_back_when_its_task_is_cancelled(db: Database) -> None:
    async def act() -> None:
        async with db.transaction() as tx:
            await insert_pair(tx)
            await tx.execute(SLEEP)

    task = asyncio.create_task(act())
    await until_asleep(db)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_a_transaction_is_durable_whatever_the_servers_default_is(database_url: str) -> None:  # C2
    async with database_on(f"{database_url}&synchronous_commit=off") as db:
        assert await db.fetchval("SHOW synchronous_commit") == "off"
        async with db.transaction() as tx:
            assert await tx.fetchval("SHOW synchronous_commit") == "on"
        assert await db.fetchval("SHOW synchronous_commit") == "off"


async def test_a_transaction_answers_in_all_four_ways(db: Database) -> None:
    async with db.transaction() as tx:
        assert await tx.execute("CREATE TEMPORARY TABLE t (n int) ON COMMIT DROP") == "CREATE TABLE"
        assert await tx.fetchrow("INSERT INTO t VALUES (1) RETURNING n") == (1,)
        assert await tx.fetch("SELECT n FROM t") == [(1,)]
        assert await tx.fetchval("SELECT n FROM t") == 1


# --- What is no outage


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("SELECT 1/0", asyncpg.DivisionByZeroError),
        ("SELEKT 1", asyncpg.PostgresSyntaxError),
        ("SELECT nothing FROM auth.users", asyncpg.UndefinedColumnError),
        ("SELECT nothing()", asyncpg.UndefinedFunctionError),
        ("SELECT 'x'::int", asyncpg.InvalidTextRepresentationError),
        ("INSERT INTO auth.users (sub) VALUES ('x')", asyncpg.NotNullViolationError),
        ("INSERT INTO auth.sessions VALUES ('s','u','c',0,0,0,'{}',now(),now())", asyncpg.ForeignKeyViolationError),
        ("INSERT INTO auth.clients SELECT * FROM auth.clients", asyncpg.UniqueViolationError),
        ("DO $$ BEGIN RAISE EXCEPTION 'ours'; END $$", asyncpg.RaiseError),
    ],
)
async def test_a_fault_of_ours_stays_what_it_is(db: Database, query: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await db.execute(query)
    with pytest.raises(error):
        async with db.transaction() as tx:
            await tx.execute(query)
    await check_works(db)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
async def test_a_number_that_no_column_holds_is_a_fault_of_ours(db: Database, value: int) -> None:
    with pytest.raises(asyncpg.DataError):
        await db.fetchval("SELECT $1::bigint", value)


async def test_what_a_block_raises_for_reasons_of_its_own_stays_what_it_is(db: Database) -> None:
    class OursError(Exception):
        pass

    with pytest.raises(OursError):
        async with db.transaction():
            raise OursError


# --- What is an outage

Act = Callable[[Database], Awaitable[Any]]


async def _in_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.fetchval("SELECT 1")


ASK: list[Act] = [
    lambda db: db.fetchval("SELECT 1"),
    lambda db: db.fetch("SELECT 1"),
    lambda db: db.fetchrow("SELECT 1"),
    lambda db: db.execute("SELECT 1"),
    _in_a_transaction,
]


@pytest.mark.parametrize("ask", ASK)
async def test_a_server_that_is_not_there_cannot_be_asked(ask: Act) -> None:
    for url in (
        "postgresql://postgres@/x?host=/nowhere/at/all",
        "postgresql://postgres@127.0.0.1:1/x",
        "postgresql://postgres@name.invalid/x",
    ):
        async with database_on(url) as db:
            with pytest.raises(Unavailable) as caught:
                await ask(db)
            assert caught.value.__cause__ is not None


@pytest.mark.parametrize("part", ["database", "role"])
async def test_a_database_or_role_that_is_not_there_cannot_be_asked(database_url: str, part: str) -> None:
    parts = urlsplit(database_url)
    wrong = parts._replace(path="/nothing") if part == "database" else parts._replace(netloc="nobody@")
    async with database_on(wrong.geturl()) as db:
        with pytest.raises(Unavailable):
            await db.fetchval("SELECT 1")


async def test_a_statement_that_takes_too_long_is_given_up(database_url: str) -> None:
    async with database_on(database_url, timeout=SOON) as db:
        started = perf_counter()
        with pytest.raises(Unavailable):
            await db.execute(SLEEP)
        assert perf_counter() - started < 10 * SOON
        await check_works(db)
        assert await db.fetchval(f"SELECT count(*) {MY_OTHERS} AND wait_event = 'PgSleep'") == 0, "and is cancelled"


async def test_a_statement_that_the_server_gives_up_is_an_outage(database_url: str) -> None:
    async with database_on(f"{database_url}&statement_timeout=500") as db:
        with pytest.raises(Unavailable):
            await db.execute(SLEEP)
        await check_works(db)


async def test_a_lock_that_is_not_given_in_time_is_an_outage(database_url: str) -> None:
    async with database_on(f"{database_url}&lock_timeout=50") as db, database_on(database_url) as other:
        async with other.transaction() as tx:
            await tx.execute("LOCK TABLE auth.users")
            with pytest.raises(Unavailable):
                await users.find_user(db, "x")
        assert await users.find_user(db, "x") is None


async def test_locked_tables_hold_nobody_for_longer_than_the_timeout(database_url: str) -> None:  # FLT-36
    tables = "auth.users, auth.clients, auth.sessions, auth.signing_keys, auth.token_blacklist"
    async with database_on(database_url) as other, database_on(database_url, timeout=SOON) as db:
        async with other.transaction() as tx:
            await tx.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            started = perf_counter()
            outcomes = await asyncio.gather(
                *(users.insert_user(db, a_user()) for _ in range(10)),
                *(revocations.find_generations(db, ["j:1"]) for _ in range(10)),
                *(clients.list_clients(db) for _ in range(10)),
                return_exceptions=True,
            )
            assert {type(outcome) for outcome in outcomes} == {Unavailable}
            assert perf_counter() - started < 10 * SOON
        await check_works(db)
        assert await db.fetchval("SELECT count(*) FROM auth.users") == 0, "what was given up did not happen later"


async def test_a_pool_that_is_exhausted_cannot_be_asked(database_url: str) -> None:
    async with database_on(database_url, size=2, timeout=5) as db:
        tasks = [asyncio.create_task(db.execute(SLEEP)) for _ in range(2)]
        async with database_on(database_url) as other:
            await until_asleep(other, 2)
        db._timeout = SOON
        with pytest.raises(Unavailable):
            await db.fetchval("SELECT 1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        db._timeout = 5
        await check_works(db)


async def test_the_wait_for_a_connection_is_measured(database_url: str) -> None:  # PRO-09
    waited: list[float] = []
    held = 0.2
    db = Database(database_url, size=1, timeout=5, name="test", on_wait=waited.append)
    await db.open()
    try:
        await db.fetchval("SELECT 1")
        async with asyncio.TaskGroup() as group:
            group.create_task(db.execute(f"SELECT pg_sleep({held})"))
            group.create_task(db.fetchval("SELECT 1"))
    finally:
        await db.close()
    assert len(waited) == 3
    assert max(waited) > held * 0.9 > min(waited)


async def test_a_role_that_has_all_its_connections_cannot_be_asked(database_url: str, db: Database) -> None:  # FLT-37
    parts = urlsplit(database_url)
    await db.execute("CREATE ROLE limited LOGIN CONNECTION LIMIT 1")
    try:
        async with database_on(parts._replace(netloc="limited@").geturl()) as limited:
            async with limited.transaction() as tx:
                outcomes = await asyncio.gather(
                    *(limited.fetchval("SELECT 1") for _ in range(3)), return_exceptions=True
                )
                assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
                assert await tx.fetchval("SELECT 1") == 1
            assert await limited.fetchval("SELECT 1") == 1
    finally:
        await db.execute("DROP ROLE limited")


async def test_a_primary_that_has_become_a_standby_takes_no_writes(database_url: str) -> None:
    async with database_on(f"{database_url}&default_transaction_read_only=on") as db:
        with pytest.raises(Unavailable):
            await users.insert_user(db, a_user())
        with pytest.raises(Unavailable):
            async with db.transaction() as tx:
                await revocations.insert_mark(tx, "j:1", now=NOW, expires_at=LATER)
        assert await revocations.find_generations(db, ["j:1"]) == {}


async def test_a_schema_that_is_not_there_yet_cannot_be_asked(empty_database_url: str) -> None:
    async with database_on(empty_database_url) as db:
        with pytest.raises(Unavailable):
            await clients.list_clients(db)


async def test_a_deadlock_is_an_outage_of_one_and_not_of_the_other(database_url: str) -> None:  # FLT-38
    async with database_on(f"{database_url}&deadlock_timeout=20ms") as db:
        first, second = a_user(), a_user()
        await users.insert_user(db, first)
        await users.insert_user(db, second)
        meeting = asyncio.Barrier(2)

        async def cross(one: str, other: str) -> None:
            async with db.transaction() as tx:
                await users.update_disabled(tx, one, NOW)
                await meeting.wait()
                await users.update_disabled(tx, other, NOW)

        outcomes = await asyncio.gather(
            cross(first.sub, second.sub), cross(second.sub, first.sub), return_exceptions=True
        )
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "Unavailable"]
        await check_works(db)


async def test_a_serialization_failure_is_an_outage(db: Database) -> None:
    user = a_user()
    await users.insert_user(db, user)
    with pytest.raises(Unavailable):
        async with db.transaction() as tx:
            await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await tx.fetchval("SELECT count(*) FROM auth.users")
            await users.update_disabled(db, user.sub, NOW)
            await users.update_disabled(tx, user.sub, None)
    await check_works(db)


# --- Killed and cut


async def test_who_is_killed_in_mid_query_is_told_of_an_outage_and_the_pool_heals(db: Database) -> None:  # FLT-37
    tasks = [asyncio.create_task(db.execute(SLEEP)) for _ in range(3)]
    await until_asleep(db, 3)
    await db.execute(f"SELECT pg_terminate_backend(pid) {MY_OTHERS}")
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * 3
    await check_works(db)


async def test_who_is_killed_in_mid_transaction_has_written_nothing(db: Database) -> None:
    async def act() -> None:
        async with db.transaction() as tx:
            await insert_pair(tx)
            await tx.execute(SLEEP)

    task = asyncio.create_task(act())
    await until_asleep(db)
    await db.execute(f"SELECT pg_terminate_backend(pid) {MY_OTHERS}")
    with pytest.raises(Unavailable):
        await task
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_who_is_killed_between_two_queries_of_a_transaction_is_told_of_an_outage(db: Database) -> None:
    with pytest.raises(Unavailable):
        async with db.transaction() as tx:
            await insert_pair(tx)
            await db.execute(f"SELECT pg_terminate_backend(pid) {MY_OTHERS}")
            await tx.fetchval("SELECT 1")
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_who_is_killed_before_the_commit_is_not_told_that_it_happened(db: Database) -> None:  # FLT-31
    with pytest.raises(Unavailable):
        async with db.transaction() as tx:
            await insert_pair(tx)
            await db.execute(f"SELECT pg_terminate_backend(pid) {MY_OTHERS}")
    assert await db.fetchval("SELECT count(*) FROM auth.users") == 0
    await check_works(db)


async def test_a_query_that_an_operator_cancels_is_an_outage(db: Database) -> None:
    task = asyncio.create_task(db.execute(SLEEP))
    await until_asleep(db)
    await db.execute(f"SELECT pg_cancel_backend(pid) {MY_OTHERS}")
    with pytest.raises(Unavailable):
        await task
    await check_works(db)


async def test_connections_that_are_killed_while_they_rest_are_replaced(db: Database) -> None:
    await check_works(db)
    await db.execute(f"SELECT pg_terminate_backend(pid) {MY_OTHERS}")
    failed = 0
    for _ in range(20):
        try:
            await db.fetchval("SELECT 1")
        except Unavailable:
            failed += 1
    assert failed <= 3, "no connection fails twice"
    async with asyncio.timeout(30):  # a busy server is a moment late in ending them
        while not await _works(db):
            pass


async def _works(db: Database) -> bool:
    try:
        await check_works(db)
    except Unavailable:
        return False
    return True


async def test_a_line_that_is_cut_and_restored_needs_nobody_to_mend_the_pool(line: Line) -> None:
    async with database_on(line.url) as db:
        await check_works(db)
        await line.cut()
        for ask in ASK:
            with pytest.raises(Unavailable):
                await ask(db)
        await line.restore()
        await check_works(db)


async def test_a_line_that_breaks_in_the_middle_of_a_commit_is_an_outage(line: Line) -> None:
    """Whether it happened is not known: it must not be said that it did."""
    async with database_on(line.url) as db:
        with pytest.raises(Unavailable):
            async with db.transaction() as tx:
                await insert_pair(tx)
                asyncio.get_running_loop().call_soon(line.break_connections)
        await check_works(db)


async def test_a_server_that_hangs_holds_nobody_for_long_and_no_connection_for_good(line: Line) -> None:  # FLT-36
    async with database_on(line.url, timeout=SOON) as db:
        await check_works(db)
        line.hold()
        started = perf_counter()
        outcomes = await asyncio.gather(*(ask(db) for ask in ASK * 4), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert perf_counter() - started < 10 * SOON, "one timeout for the query, one to give the connection up"
        line.resume()
        await check_works(db)


async def test_impatient_callers_of_a_server_that_hangs_leave_no_error_to_nobody(line: Line) -> None:
    """An exception that nobody retrieved fails the test: the runner listens to the loop's own complaints."""
    async with database_on(line.url, timeout=2.0, size=20) as db:
        while db.size < 20:
            await asyncio.gather(*(db.fetchval("SELECT 1 FROM pg_sleep(0.01)") for _ in range(20)))
        line.hold()
        asking = [asyncio.create_task(db.fetchval("SELECT 1")) for _ in range(20)]
        await asyncio.sleep(0.01)
        for pause in (0.01, 0):  # out of the query, into the wait for its cancellation; then out of that
            for each in asking:
                each.cancel()
            await asyncio.sleep(pause)
        await asyncio.wait(asking)
        await until_idle(db)
        gc.collect()
        line.resume()
        await check_works(db)


async def test_a_pool_closes_within_a_second_or_two_of_a_server_that_hangs(line: Line) -> None:
    async with database_on(line.url, timeout=30) as db:
        await check_works(db)
        task = asyncio.create_task(db.execute(SLEEP))
        async with database_on(line.url) as other:
            await until_asleep(other)
        line.hold()
        started = perf_counter()
        await db.close()
        assert perf_counter() - started < 20
        with pytest.raises(Unavailable):
            await task


async def test_a_pool_that_is_closed_cannot_be_asked(database_url: str) -> None:
    async with database_on(database_url) as db:
        await check_works(db)
    for ask in ASK:
        with pytest.raises(Unavailable):
            await ask(db)


async def test_impatient_callers_leak_no_connection(db: Database) -> None:
    """ATK-95: hang-ups before, in and after every phase of a query and of a transaction."""
    chance = random.Random(1)

    async def act(number: int) -> None:
        async with db.transaction() as tx:
            await tx.fetchval("SELECT $1::int", number)
            await tx.execute("SELECT pg_sleep(0.001)")

    async def impatient(number: int) -> None:
        ask = act(number) if number % 2 else db.fetchval("SELECT pg_sleep(0.001)")
        try:
            async with asyncio.timeout(chance.random() * 0.05):
                await ask
        except TimeoutError:
            pass

    await asyncio.gather(*(impatient(number) for number in range(400)))
    await until_idle(db)
    assert db.size <= 4
    await check_works(db)
    assert await db.fetchval(f"SELECT count(*) {MY_OTHERS} AND state <> 'idle'") == 0


async def test_a_waiting_reader_is_freed_by_the_end_of_the_lock(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("LOCK TABLE auth.users")
        reader = asyncio.create_task(users.find_user(db, "x"))
        await until_somebody_waits(db)
    assert await reader is None


async def test_a_stalled_write_that_was_given_up_never_commits(line: Line, database_url: str) -> None:
    """The bytes of a write that was given up arrive when the line is free again, behind the end of their session."""
    async with database_on(line.url, timeout=SOON) as db, database_on(database_url) as other:
        await check_works(db)
        line.hold()
        with pytest.raises(Unavailable):
            async with db.transaction() as tx:
                await clients.insert_client(tx, a_client())
        line.resume()
        await check_works(db)
        assert [client.client_id for client in await clients.list_clients(other)] == ["first-party"]


def test_the_stores_of_the_tests_do_not_wait_for_the_disk(stores: Stores) -> None:
    """Else the test of durability above would prove nothing."""
    assert run_sql(stores.database_url, "SHOW synchronous_commit") == "off"

"""PostgreSQL away, slow, killed under load: never a guess, never a revocation that was told and did not happen, and
whole again by itself (C2, C4; ATK-31, FLT-31, FLT-34 to FLT-37)."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
import pytest

from authsvc.errors import InvalidToken, Unavailable
from tests.flows.workers import (
    Caller,
    Worker,
    cheap,
    contents,
    sql,
    worker_on,
)
from tests.house_of import FakeClock
from tests.tables.line import Line, line_to
from tests.tables.rows import database_on

TABLES = "auth.users, auth.clients, auth.sessions, auth.grants, auth.signing_keys, auth.token_blacklist"
THROW_OUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'authsvc %'
"""


@asynccontextmanager
async def two_ways(database_url: str, **changes: Any) -> AsyncIterator[tuple[Worker, Worker, Line]]:
    """A worker on a line of its own, one beside it that nothing happens to, and the line."""
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(cheap(line.url, **changes), clock) as here,
        worker_on(cheap(database_url), clock) as there,
    ):
        yield here, there, line


@asynccontextmanager
async def cut(line: Line) -> AsyncIterator[None]:
    await line.cut()
    yield
    await line.restore()


@asynccontextmanager
async def held(line: Line) -> AsyncIterator[None]:
    line.hold()
    yield
    line.resume()


@asynccontextmanager
async def locked(line: Line) -> AsyncIterator[None]:
    async with database_on(line.there) as db, db.transaction() as tx:
        await tx.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")
        yield


Outage = Callable[[Line], Any]


@pytest.mark.parametrize("outage", [cut, held, locked])
async def test_what_cannot_be_known_is_told_so_in_time_and_is_known_again_afterwards(
    database_url: str, outage: Outage
) -> None:
    """Everything at once, of a token that is live, one that is revoked and one that is remembered as revoked."""
    async with two_ways(database_url, database_timeout_ms=300) as (here, there, line):
        owner = await there.client()
        sub = await there.register()
        live, revoked, remembered = [await there.mint(owner) for _ in range(3)]
        users = await there.log_in()
        await there.revoke(owner, revoked)
        await there.revoke(owner, remembered)
        assert not await here.is_active(owner, remembered)
        assert await here.is_active(owner, live)
        known = await here.flows.access.authorize_user(users)
        before = await contents(database_url)

        async with outage(line):
            started = perf_counter()
            asked: list[Awaitable[Any]] = [
                here.is_active(owner, live),
                here.is_active(owner, revoked),
                here.is_let_in(users),
                here.mint(owner),
                here.revoke(owner, live),
                here.log_in(),
                here.register("bob@example.com"),
                here.flows.account.find(known),
                here.flows.account.log_out(known),
                here.flows.account.log_out_everywhere(known),
                here.flows.users.disable(sub),
                here.flows.users.delete(sub),
                here.flows.users.enable(sub),
                here.flows.users.get(sub),
                here.flows.clients.disable(owner.client_id),
                here.flows.clients.delete(owner.client_id),
                here.flows.clients.list_all(),
                here.flows.revocation.revoke_everything(),
                here.flows.keys.kill(here.flows.keys.ring.signer.kid),
                here.flows.keys.rotate(),
                here.flows.keys.list_all(),
                here.flows.keys.refresh(),
            ]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(asked)
            assert perf_counter() - started < 3, "a timeout or two, and not one behind the other"
            assert not await here.is_active(owner, remembered), "what is final needs no store"

        async with asyncio.timeout(30):
            while not await _is_up(here, owner, live):
                await asyncio.sleep(0.01)
        assert not await here.is_active(owner, revoked)
        assert await contents(database_url) == before, "nothing of it happened, then or later"
        assert await here.mint(owner)
        assert await here.log_in()


async def _is_up(worker: Worker, who: Caller, token: str) -> bool:
    try:
        assert await worker.is_active(who, token)
    except Unavailable:
        return False
    return True


async def test_a_caller_whose_copy_has_grown_old_is_neither_let_in_nor_turned_away(database_url: str) -> None:
    async with two_ways(database_url) as (here, there, line):
        owner = await there.client()
        token = await here.mint(owner)
        await line.cut()
        here.clock.advance(1)
        wrong = Caller(owner.client_id, "as_wrong")
        for who in (owner, wrong, Caller("cli_nobody", "as_nobody")):
            with pytest.raises(Unavailable):
                await here.is_active(who, token)
            with pytest.raises(Unavailable):
                await here.mint(who)


async def test_a_revocation_that_was_told_is_true_and_one_that_was_not_can_be_repeated(database_url: str) -> None:
    """The line breaks at random moments of 80 revocations and more. Of those that returned, every token is dead on the
    worker beside it; of the others nothing is promised, and the same call again is."""
    async with two_ways(database_url) as (here, there, line):
        owner = await there.client()
        chance = random.Random(31)
        outcomes: Counter[str] = Counter()
        await here.is_active(owner, await there.mint(owner))

        async def time_one() -> float:
            token, started = await there.mint(owner), perf_counter()
            await here.revoke(owner, token)
            return perf_counter() - started

        usual = min([await time_one() for _ in range(5)])
        rounds = 0
        while rounds < 80 or min(outcomes["told"], outcomes["alive"] + outcomes["dead anyway"]) <= 10:
            rounds += 1
            assert rounds < 500, outcomes
            token = await there.mint(owner)
            breaking = asyncio.get_running_loop().call_later(chance.random() * 2 * usual, line.break_connections)
            try:
                await here.revoke(owner, token)
            except Unavailable:
                outcomes["dead anyway" if not await there.is_active(owner, token) else "alive"] += 1
            else:
                outcomes["told"] += 1
                assert not await there.is_active(owner, token)
            breaking.cancel()
            async with asyncio.timeout(30):
                while await there.is_active(owner, token):
                    try:
                        await here.revoke(owner, token)
                    except Unavailable:
                        outcomes["again"] += 1


async def test_sessions_thrown_out_under_load_cost_an_answer_here_and_there_and_never_a_wrong_one(
    database_url: str,
) -> None:  # FLT-37
    # Nothing is remembered, so that what is revoked is asked of the store each time too.
    async with worker_on(cheap(database_url, token_cache=0)) as worker:
        owner = await worker.client()
        live = [await worker.mint(owner) for _ in range(10)]
        dead = [await worker.mint(owner) for _ in range(10)]
        for token in dead:
            await worker.revoke(owner, token)
        outcomes: Counter[object] = Counter()
        over = asyncio.Event()

        async def ask(number: int) -> None:
            while not over.is_set():
                await asyncio.sleep(0)
                token, truth = (live, True) if number % 2 else (dead, False)
                try:
                    answer = await worker.is_active(owner, token[number % 10])
                except Unavailable:
                    outcomes["unavailable"] += 1
                else:
                    outcomes[answer] += 1
                    assert answer is truth
                if number < 4:
                    try:
                        live.append(await worker.mint(owner))
                    except Unavailable:
                        outcomes["not minted"] += 1

        async def throw_out() -> None:
            # Until one was in the middle of a question: on a busy machine few are at any moment.
            for times in range(200):
                if times >= 12 and outcomes["unavailable"]:
                    break
                await asyncio.sleep(0.03)
                await sql(database_url, THROW_OUT)
            over.set()

        await asyncio.gather(throw_out(), *(ask(number) for number in range(20)))
        assert min(outcomes[True], outcomes[False]) > 50
        assert outcomes["unavailable"] > 0
        for _ in range(10):
            assert await _comes_back(worker, owner, live[0])
        assert await asyncio.gather(*(worker.is_active(owner, token) for token in live[:50])) == [True] * len(live[:50])


async def _comes_back(worker: Worker, who: Caller, token: str) -> bool:
    async with asyncio.timeout(20):
        while not await _is_up(worker, who, token):
            await asyncio.sleep(0.01)
    return True


async def test_a_stall_leaves_no_queue_behind(database_url: str) -> None:
    """FLT-35, FLT-36: thousands ask while the store hangs. Each is answered in about two timeouts, and who comes
    afterwards finds no backlog."""
    async with two_ways(database_url, database_timeout_ms=600) as (here, there, line):
        owner = await there.client()
        token = await there.mint(owner)
        assert await here.is_active(owner, token)
        line.hold()
        started = perf_counter()
        outcomes = await asyncio.gather(*(here.is_active(owner, token) for _ in range(4000)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert perf_counter() - started < 4.5
        line.resume()
        assert await _comes_back(here, owner, token)
        started = perf_counter()
        assert await asyncio.gather(*(here.is_active(owner, token) for _ in range(500))) == [True] * 500
        assert perf_counter() - started < 5


async def test_introspection_is_not_held_up_by_who_holds_every_other_connection(database_url: str) -> None:  # ATK-107
    async with worker_on(cheap(database_url, database_pool=2)) as worker, database_on(database_url) as db:
        owner = await worker.client()
        await worker.register()
        token, users = await worker.mint(owner), await worker.log_in()
        assert await worker.is_active(owner, token)
        async with db.transaction() as tx:
            await tx.execute("LOCK TABLE auth.users, auth.sessions IN ACCESS EXCLUSIVE MODE")
            logins = [asyncio.create_task(worker.log_in()) for _ in range(10)]
            async with asyncio.timeout(30):
                while worker.flows.login._db.in_use < 2:
                    await asyncio.sleep(0.005)
            for _ in range(20):
                async with asyncio.timeout(20):
                    assert await worker.is_active(owner, token)
                    assert await worker.is_let_in(users)
        assert all(await asyncio.gather(*logins))


async def test_a_bad_token_is_turned_away_without_a_store(database_url: str) -> None:
    async with two_ways(database_url) as (here, _, line):
        await line.cut()
        for text in ("x", "a.b.c", "", "x" * 10_000):
            with pytest.raises(InvalidToken):
                await here.flows.access.authorize_user(text)


async def test_who_revokes_is_told_to_try_again_when_the_lease_is_over_and_done_is_done(database_url: str) -> None:
    """C5. A lock holds up what puts Redis out of use; when it is gone, that goes on though nobody waits for it."""
    await sql(database_url, "UPDATE auth.cache_mode SET lease_seconds = 0.1")
    async with worker_on(cheap(database_url, database_timeout_ms=30_000), FakeClock()) as worker:
        owner = await worker.client()
        token = await worker.mint(owner)
        await worker.revoke(owner, await worker.mint(owner))
        await sql(database_url, "UPDATE auth.cache_mode SET state = 'R', epoch = epoch + 1, nonce = 'x'")
        connection = await asyncpg.connect(database_url)
        try:
            async with connection.transaction():
                await connection.execute("SELECT FROM auth.cache_mode FOR UPDATE")
                async with asyncio.timeout(20):
                    with pytest.raises(Unavailable):
                        await worker.revoke(owner, token)
            async with asyncio.timeout(20):
                while await sql(database_url, "SELECT state FROM auth.cache_mode") != "G":
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()
        worker.clock.advance(1)  # the leases of others are over
        await worker.revoke(owner, token)
        assert not await worker.is_active(owner, token)

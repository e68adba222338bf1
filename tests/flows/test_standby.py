"""A standby that commits are to wait for, and that is gone: nothing is acknowledged (C2; FLT-30, FLT-31)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from authsvc.errors import Unavailable
from tests.flows.workers import cheap, sql, worker_on
from tests.house_of import FakeClock

WAITING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'SyncRep'"
PATIENT = {"database_timeout_ms": 30_000}


@asynccontextmanager
async def standby_gone(database_url: str) -> AsyncIterator[None]:
    """For every database of the server: for a moment, and while nobody else uses it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET synchronous_commit = on")
    try:
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await connection.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(20):
            while await commits(connection):
                pass
        yield
    finally:
        await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await connection.execute("SELECT pg_reload_conf()")
        async with asyncio.timeout(20):
            while not await commits(connection):
                pass
        await connection.close()


async def commits(connection: Any) -> bool:
    """Whether what is written is acknowledged at once."""
    try:
        await connection.fetchval("SELECT pg_logical_emit_message(true, 'authsvc', 'probe')", timeout=0.2)
    except TimeoutError:
        return False
    return True


async def end_waits(database_url: str, function: str, of: "asyncio.Task[None]") -> None:
    """Everybody's, for as long as that task is not done: a job may wait, too, and be the first to."""
    async with asyncio.timeout(20):
        while not of.done():
            await sql(database_url, f"SELECT {function}(pid) {WAITING}")
            await asyncio.wait({of}, timeout=0.02)


async def test_a_revocation_that_no_standby_has_is_not_acknowledged_however_often_it_is_tried(
    database_url: str,
) -> None:
    """Its mark is there from the first try on: a retry that went by that would say 200."""
    async with worker_on(cheap(database_url, database_timeout_ms=300), FakeClock()) as worker:
        owner = await worker.client()
        token = await worker.mint(owner)
        await worker.register()
        users = await worker.flows.access.authorize_user(await worker.log_in())
        async with standby_gone(database_url):
            for _ in range(2):
                ways = [
                    worker.revoke(owner, token),
                    worker.flows.account.log_out(users),
                    worker.flows.account.log_out_everywhere(users),
                    worker.flows.clients.revoke_tokens(owner.client_id),
                ]
                told = await asyncio.gather(*ways, return_exceptions=True)
                assert [type(each) for each in told] == [Unavailable] * len(ways)
        await worker.revoke(owner, token)
        assert not await worker.is_active(owner, token)


@pytest.mark.parametrize("function", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_whose_wait_somebody_ends_is_a_failure(database_url: str, function: str) -> None:
    """PostgreSQL says COMMIT to who was cancelled, and warns that no standby may have it."""
    async with worker_on(cheap(database_url, **PATIENT), FakeClock()) as worker:
        owner = await worker.client()
        token = await worker.mint(owner)
        async with standby_gone(database_url):
            revoking = asyncio.create_task(worker.revoke(owner, token))
            await end_waits(database_url, function, of=revoking)
            with pytest.raises(Unavailable):
                await revoking
        await worker.revoke(owner, token)
        assert not await worker.is_active(owner, token)

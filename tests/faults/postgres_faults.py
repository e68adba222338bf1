"""What befalls PostgreSQL."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.stage import Stage
from tests.faults.worker_faults import stopped


async def postgres_restarts(stage: Stage, chance: random.Random, how: signal.Signals) -> None:
    await stage.postgres.end(how)
    await stage.postgres.start()


async def postgres_crashes(stage: Stage, chance: random.Random) -> None:
    await stage.postgres.crash()
    await stage.postgres.start()


async def the_postmaster_is_killed(stage: Stage, chance: random.Random) -> None:
    await stage.postgres.behead()
    await stage.postgres.start()


async def postgres_is_stopped(stage: Stage, chance: random.Random) -> None:
    pids = stage.postgres.processes()
    async with stopped(pids):
        await asyncio.sleep(2.0)


async def sessions_are_terminated(stage: Stage, chance: random.Random) -> None:
    await stage.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'authsvc %'")


async def postgres_stays_away(stage: Stage, chance: random.Random) -> None:
    await stage.postgres.end(signal.SIGINT)
    await asyncio.sleep(2 * stage.a_while)
    await stage.postgres.start()


@asynccontextmanager
async def no_standby(stage: Stage) -> AsyncIterator[None]:
    """What is committed waits for one that is not there."""
    await stage.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await stage.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        await stage.sql("ALTER SYSTEM RESET synchronous_standby_names")
        await stage.sql("SELECT pg_reload_conf()")


async def the_standby_is_gone(stage: Stage, chance: random.Random) -> None:
    async with no_standby(stage):
        await asyncio.sleep(2 * stage.a_while)


async def waiting_commits_are_ended(stage: Stage, chance: random.Random, function: str) -> None:
    """Again and again, by somebody who wants to help: PostgreSQL then says that it has committed, and warns."""
    async with no_standby(stage):
        for _ in range(10):
            await stage.sql(f"SELECT {function}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            await asyncio.sleep(stage.a_while / 5)

"""Another server becomes the primary of Redis, because it is told to or because the one before is gone: nothing that
was revoked is ever alive, and Redis answers again (C1, C4; FLT-05)."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from authsvc import wiring
from authsvc.caches.revocations import PREFIX
from authsvc.errors import Unavailable
from tests.caches.own_server import SERVICE, OwnSentinel, OwnServer, own_sentinel, own_servers
from tests.flows.nodes import ask
from tests.flows.test_fast_path import hurry, workers_at
from tests.flows.workers import Worker, active_everywhere, sql
from tests.journeys.service import wait_until

__all__ = ["hurry"]


@pytest.fixture
def servers() -> Iterator[list[OwnServer]]:
    with own_servers(2) as (primary, replica):
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        yield [primary, replica]


@pytest.fixture
def sentinel(servers: list[OwnServer]) -> Iterator[OwnSentinel]:
    with own_sentinel(servers[0].port) as sentinel:
        yield sentinel


def crash(servers: list[OwnServer], sentinel: OwnSentinel) -> None:
    before = sentinel.primary()
    sentinel.until(lambda client: client.sentinel_slaves(SERVICE))
    next(server for server in servers if server.port == before).kill()
    wait_until(lambda: sentinel.primary() != before, 60)


async def is_filled(database_url: str, sentinel: OwnSentinel, after: int) -> bool:
    """Whether the primary of this moment is trusted, and was filled after this epoch."""
    name = await sql(
        database_url, "SELECT deployment || ':' || nonce FROM auth.cache_mode WHERE state = 'R' AND epoch > $1", after
    )
    url = f"redis://127.0.0.1:{sentinel.primary()}"
    return name is not None and ask(url, "HGET", f"{PREFIX}{name}", "#") == b"1" and ask(url, "ROLE")[0] == b"master"


@pytest.mark.parametrize("how", ["told to", "crashed"])
async def test_what_is_revoked_before_during_and_after_a_failover_is_dead_and_redis_answers_again(
    database_url: str, servers: list[OwnServer], sentinel: OwnSentinel, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(wiring, "REDIS_LOOK_SECONDS", 0.05)
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}"
    async with workers_at(database_url, url, url) as workers:
        owner = await workers[0].client()
        first = await sql(database_url, "SELECT epoch FROM auth.cache_mode")
        over = asyncio.Event()
        revoked: list[str] = []

        async def go_on_revoking(worker: Worker) -> None:
            while not over.is_set():
                token = await worker.mint(owner)
                assert await active_everywhere(workers, owner, token)
                with suppress(Unavailable):  # the mode did not hold still: nothing was promised
                    await worker.revoke(owner, token)
                    assert not await active_everywhere(workers, owner, token)
                    revoked.append(token)

        tasks = [asyncio.create_task(go_on_revoking(worker)) for worker in workers]
        if how == "told to":
            await asyncio.to_thread(sentinel.fail_over)
        else:
            await asyncio.to_thread(crash, servers, sentinel)
        during = len(revoked)
        async with asyncio.timeout(60):
            while not await is_filled(database_url, sentinel, first) or len(revoked) < during + 5:
                await asyncio.sleep(0.01)
        over.set()
        await asyncio.gather(*tasks)
        for worker in workers:
            await worker.until_redis_answers()
            assert not any([await worker.is_active(owner, token) for token in revoked])

"""Redis behind Sentinels: they are asked for the primary, whichever of them are alive; it is left when it is none."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from authsvc.caches import redis, revocations
from authsvc.caches.redis import TIMEOUT_SECONDS, Cache
from authsvc.caches.revocations import READ_SECONDS, RevocationCache
from authsvc.caches.server import describe_server
from authsvc.errors import CacheAway
from authsvc.metrics import Metrics
from tests.caches.filled import MARKS, NONCE, US, be_patient, cache_on, fill
from tests.caches.own_server import SERVICE, OwnSentinel, OwnServer, own_sentinel, own_servers
from tests.caches.test_tls import Files, files, tls_line_to
from tests.house_of import FakeClock
from tests.journeys.service import free_port
from tests.stores import passable_directory

__all__ = ["files"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[OwnServer]]:
    """A primary and its replica, until a test has them change places."""
    with own_servers(2) as (primary, replica):
        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        yield [primary, replica]


@pytest.fixture(scope="module")
def sentinel(servers: list[OwnServer]) -> Iterator[OwnSentinel]:
    with own_sentinel(servers[0].port) as sentinel:
        yield sentinel


def url_of(*ports: int, service: str = SERVICE) -> str:
    return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/{service}/0"


async def port_of(cache: Cache) -> int:
    """The port of the server that answers."""
    return int((await cache.call("rev_get", lambda: cache.client.info("server")))["tcp_port"])


async def test_what_it_names_as_the_primary_is_filled_and_asked(sentinel: OwnSentinel) -> None:
    async with cache_on(url_of(sentinel.port)) as cache:
        await fill(cache)
        assert await cache.get(US, NONCE, MARKS) == MARKS
        assert await port_of(cache._cache) == sentinel.primary()
    assert not (await describe_server(url_of(sentinel.port), seconds=30)).is_replica


async def test_sentinels_that_are_away_or_silent_hold_nobody_up_while_one_is_there(
    sentinel: OwnSentinel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with cache_on(url_of(free_port(), silent.getsockname()[1], sentinel.port)) as cache:
            started = time.monotonic()
            assert await cache.is_able()
            assert time.monotonic() - started < 10, "and the silent one would be waited for three times as long"
        async with cache_on(url_of(free_port(), silent.getsockname()[1])) as cache:
            monkeypatch.setattr(redis, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
            monkeypatch.setattr(revocations, "READ_SECONDS", READ_SECONDS)
            for _ in range(3):
                started = time.monotonic()
                with pytest.raises(CacheAway):
                    await cache.get(US, NONCE, ["j:1"])
                assert time.monotonic() - started < 20
        with pytest.raises(CacheAway):
            await describe_server(url_of(silent.getsockname()[1]), seconds=0.1)


async def test_a_service_that_nobody_knows_is_away(sentinel: OwnSentinel) -> None:
    async with cache_on(url_of(sentinel.port, service="other")) as cache:
        with pytest.raises(CacheAway):
            await cache.is_able()


async def test_who_gives_up_waiting_leaves_no_question_behind(sentinel: OwnSentinel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with cache_on(url_of(silent.getsockname()[1])) as cache:
            before = len(asyncio.all_tasks())
            asking = [asyncio.create_task(cache.is_able()) for _ in range(5)]
            async with asyncio.timeout(30):
                while len(asyncio.all_tasks()) < before + 2 * len(asking):
                    await asyncio.sleep(0.001)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            async with asyncio.timeout(30):
                while len(asyncio.all_tasks()) > before:
                    await asyncio.sleep(0.001)


async def test_sentinels_have_credentials_of_their_own() -> None:
    """And may be left with the right to ask this one thing."""
    watcher = "user watcher on >watch% +sentinel|get-master-addr-by-name"
    with own_servers() as (primary,), own_sentinel(primary.port, watcher, "requirepass other") as sentinel:
        primary.ask("ACL", "SETUSER", "worker", "on", ">work%", "~*", "+@all")
        where = f"127.0.0.1:{sentinel.port}/{SERVICE}"
        async with cache_on(
            f"redis+sentinel://worker:work%25@{where}?sentinel_username=watcher&sentinel_password=watch%25"
        ) as cache:
            assert await cache._cache.call("rev_get", cache._cache.client.acl_whoami) == "worker"
        for wrong in (
            f"redis+sentinel://worker:work%25@{where}",
            f"redis+sentinel://worker:wrong@{where}?sentinel_username=watcher&sentinel_password=watch%25",
        ):
            async with cache_on(wrong) as cache:
                with pytest.raises(CacheAway):
                    await cache.is_able()


async def test_over_tls_sentinels_and_primary_are_who_they_say(redis_url: str, files: Files) -> None:
    async with AsyncExitStack() as stack:
        path = stack.enter_context(passable_directory()) / "sentinel"
        primary = await stack.enter_async_context(tls_line_to(redis_url, files))
        stack.enter_context(own_sentinel(primary.port, f"unixsocket {path}"))
        line = await stack.enter_async_context(tls_line_to(f"unix://{path}", files))
        where = f"127.0.0.1:{line.port}/{SERVICE}"
        async with cache_on(f"rediss+sentinel://{where}?ssl_ca_certs={files[0]}") as cache:
            await fill(cache)
            assert await cache.get(US, NONCE, MARKS) == MARKS
        for wrong in (f"rediss+sentinel://{where}", f"redis+sentinel://{where}"):
            async with cache_on(wrong) as cache:
                with pytest.raises(CacheAway):
                    await cache.is_able()


async def test_a_primary_that_is_none_any_more_is_left_at_the_next_look(sentinel: OwnSentinel) -> None:
    """Though it does not know it yet, and answers: for seconds there are two."""
    cache = Cache(url_of(sentinel.port), FakeClock(), Metrics(CollectorRegistry()))
    try:
        await fill(RevocationCache(cache), nonce="before")
        assert await RevocationCache(cache).get(US, "before", MARKS) == MARKS
        before = await port_of(cache)
        is_held, may_end = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            connection = await cache.client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            is_held.set()
            await may_end.wait()
            await cache.client.connection_pool.release(connection)

        holding = asyncio.create_task(hold())
        await is_held.wait()
        await asyncio.to_thread(sentinel.fail_over)
        assert sentinel.primary() != before
        await cache.look()
        may_end.set()
        await holding
        for _ in range(3):
            assert await port_of(cache) == sentinel.primary()
        assert await RevocationCache(cache).get(US, "before", MARKS) is None, "it has the hash, and is not the owner"
    finally:
        await cache.close()


async def test_where_nobody_can_say_who_the_primary_is_a_look_changes_nothing(redis_url: str) -> None:
    for url in (redis_url, url_of(free_port())):
        cache = Cache(url, FakeClock(), Metrics(CollectorRegistry()))
        await cache.look()
        await cache.close()

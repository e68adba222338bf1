"""The marks in Redis through what happens to servers: restarts, reloads, replicas, full memory, silence (FLT-03, FLT-05
to FLT-07, FLT-12, FLT-13)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
import redis

from authsvc.caches import revocations
from authsvc.caches.revocations import READ_SECONDS, RevocationCache
from authsvc.errors import CacheAway
from tests.caches.filled import KEY, MARKS, NONCE, US, be_patient, cache_on, fill, refuses
from tests.caches.own_server import OwnServer, own_servers


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def server() -> Iterator[OwnServer]:
    with own_servers() as (server,):
        yield server


@pytest.fixture
async def cache(server: OwnServer) -> AsyncIterator[RevocationCache]:
    async with cache_on(server.url) as cache:
        yield cache


async def reconnected(cache: RevocationCache) -> None:
    """The connections of before are broken: the first call on each finds out."""
    async with asyncio.timeout(20):
        while True:
            with suppress(CacheAway):
                await cache.is_able()
                return


# --- The process ends, or what it holds is read anew


@pytest.mark.parametrize("saved", ["SAVE", "BGREWRITEAOF", "nothing"])
async def test_a_server_that_was_killed_and_started_again_refuses_whatever_it_still_holds(
    cache: RevocationCache, server: OwnServer, saved: str
) -> None:  # FLT-03
    if saved == "BGREWRITEAOF":
        server.ask("CONFIG SET", "appendonly", "yes")
        server.ask("CONFIG SET", "appendfsync", "always")
        server.until(lambda client: not client.info("persistence")["aof_rewrite_in_progress"])
        server._options = ("--appendonly", "yes")
    await fill(cache)
    if saved == "SAVE":
        server.ask("SAVE")
    assert await cache.put(US, NONCE, {"j:after": 1})
    server.kill()
    server.start()
    await reconnected(cache)
    assert bool(server.ask("EXISTS", KEY)) == (saved != "nothing"), "it has read what was saved"
    assert bool(server.ask("FUNCTION LIST")) == (saved != "nothing"), "and the library with it"
    assert await refuses(cache)
    assert not await cache.done(US, NONCE)
    await fill(cache, nonce="second")
    assert await cache.get(US, "second", MARKS) == MARKS


@pytest.mark.parametrize("options", [(), ("NOSAVE",)])
async def test_a_server_that_reads_a_snapshot_while_it_runs_refuses(
    cache: RevocationCache, server: OwnServer, options: tuple[str, ...]
) -> None:  # FLT-03
    """The process, its run id and the connection stay the same; what it holds is of an earlier time."""
    await fill(cache)
    server.ask("SAVE")
    assert await cache.put(US, NONCE, {"j:after": 1})
    run_id = server.ask("INFO", "server")["run_id"]
    server.ask("DEBUG", "RELOAD", *options)
    assert server.ask("INFO", "server")["run_id"] == run_id
    assert server.ask("HGET", KEY, "#") == b"1"
    assert await refuses(cache)


async def test_functions_that_are_restored_from_elsewhere_have_no_owner(
    cache: RevocationCache, server: OwnServer
) -> None:
    await fill(cache)
    saved = server.ask("FUNCTION DUMP")
    server.ask("FUNCTION RESTORE", saved, "REPLACE")
    assert await refuses(cache)


# --- Replicas


@pytest.fixture
def pair() -> Iterator[tuple[OwnServer, OwnServer]]:
    """A server and its replica, in step."""
    with own_servers(2) as (first, second):
        second.ask("REPLICAOF", "127.0.0.1", first.port)
        second.until(lambda client: client.info("replication")["master_link_status"] == "up")
        yield first, second


def in_step(first: OwnServer, second: OwnServer) -> None:
    assert first.ask("WAIT", 1, 20_000) == 1
    second.until(lambda client: client.hget(KEY, "#") == b"1")


async def test_a_replica_refuses_and_so_does_it_when_it_is_promoted(
    pair: tuple[OwnServer, OwnServer],
) -> None:  # FLT-12
    first, second = pair
    async with cache_on(first.url) as cache, cache_on(second.url) as other:
        await fill(cache)
        in_step(first, second)
        assert await refuses(other)
        assert not await refuses(cache), "the one that was filled does not mind having a replica"
        second.ask("REPLICAOF", "NO", "ONE")
        assert second.ask("HGET", KEY, "j:1") == b"1"
        assert await refuses(other)
        assert not await other.done(US, NONCE)
        assert not await refuses(cache), "it still is who was filled: nothing was confirmed anywhere else"


async def test_a_demoted_server_refuses_on_the_connection_that_it_answered_on(
    pair: tuple[OwnServer, OwnServer],
) -> None:  # FLT-13
    first, second = pair
    async with cache_on(first.url) as cache:
        await fill(cache)
        in_step(first, second)
        second.ask("REPLICAOF", "NO", "ONE")
        first.ask("REPLICAOF", "127.0.0.1", second.port)
        await reconnected(cache)
        assert await refuses(cache)
        first.until(lambda client: client.info("replication")["master_link_status"] == "up")
        assert await refuses(cache)
        first.ask("REPLICAOF", "NO", "ONE")
        second_marks = first.ask("HGETALL", KEY)
        assert second_marks, "it holds everything that it was given by the other"
        if await cache.get(US, NONCE, ["j:1"]) is not None:
            # A partial resync keeps the process's memory: then nothing was confirmed anywhere else meanwhile.
            assert await cache.get(US, NONCE, MARKS) == MARKS


async def test_a_server_that_is_filled_from_another_one_whole_has_forgotten_whose_it_is(
    pair: tuple[OwnServer, OwnServer],
) -> None:  # FLT-13
    first, second = pair
    second.ask("REPLICAOF", "NO", "ONE")
    async with cache_on(first.url) as cache, cache_on(second.url) as other:
        await fill(cache)
        await fill(other, [("j:2", 1)], nonce="theirs")
        first.ask("REPLICAOF", "127.0.0.1", second.port)
        first.until(lambda client: client.info("replication")["master_link_status"] == "up")
        first.ask("REPLICAOF", "NO", "ONE")
        await reconnected(cache)
        assert await refuses(cache)
        assert await refuses(cache, nonce="theirs")
        assert not await refuses(other, nonce="theirs")


# --- Memory


async def test_a_server_that_is_full_tells_what_it_holds_and_takes_nothing(
    cache: RevocationCache, server: OwnServer
) -> None:  # FLT-06
    await fill(cache)
    server.ask("CONFIG SET", "maxmemory-policy", "noeviction")
    server.ask("CONFIG SET", "maxmemory", "1")
    assert await cache.get(US, NONCE, MARKS) == MARKS
    assert not await cache.put(US, NONCE, {"j:2": 1})
    assert not await cache.own(US, "second")
    await cache.sweep(US, "second")
    assert not server.ask("EXISTS", KEY), "what is left of earlier warm-ups can be removed"
    server.ask("CONFIG SET", "maxmemory", "0")
    await fill(cache, nonce="third")
    assert await cache.get(US, "third", MARKS) == MARKS


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "allkeys-lfu"])
async def test_an_eviction_takes_the_marker_along_with_the_marks(
    cache: RevocationCache, server: OwnServer, policy: str
) -> None:  # FLT-05
    await fill(cache, [(f"j:{number}", 1) for number in range(5_000)])
    server.ask("CONFIG SET", "maxmemory-policy", policy)
    used = server.ask("INFO", "memory")["used_memory"]
    server.ask("CONFIG SET", "maxmemory", used + 200_000)
    with redis.Redis.from_url(server.url) as client:
        for number in range(20_000):
            if not client.exists(KEY):
                break
            with suppress(redis.OutOfMemoryError):
                client.set(f"x{number}", "x" * 1000)
    assert not server.ask("EXISTS", KEY), "it was evicted whole"
    assert await refuses(cache)


async def test_what_has_no_end_is_not_evicted_where_only_what_has_one_may_be(
    cache: RevocationCache, server: OwnServer
) -> None:  # FLT-05
    await fill(cache)
    server.ask("CONFIG SET", "maxmemory-policy", "volatile-lru")
    server.ask("CONFIG SET", "maxmemory", "1")
    assert await cache.get(US, NONCE, MARKS) == MARKS
    assert not await cache.put(US, NONCE, {"j:2": 1})


# --- Silence


@pytest.fixture
def impatience(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocations, "READ_SECONDS", READ_SECONDS)


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("pause", ["CLIENT PAUSE", "SIGSTOP"])
async def test_an_answer_that_comes_too_late_is_taken_for_no_later_question(
    cache: RevocationCache, server: OwnServer, pause: str
) -> None:  # FLT-07
    await fill(cache, [(f"j:{number}", number) for number in range(1, 100)])
    asked = 0

    async def ask(number: int) -> None:
        nonlocal asked
        with suppress(CacheAway):
            assert await cache.get(US, NONCE, [f"j:{number}"]) in ({f"j:{number}": number}, None)
            asked += 1

    resume: Callable[[], object]
    resume = server.freeze() if pause == "SIGSTOP" else server.pause()
    started = time.monotonic()
    with pytest.raises(CacheAway):
        await cache.get(US, NONCE, ["j:1"])
    assert READ_SECONDS * 0.9 < time.monotonic() - started < READ_SECONDS * 8
    await asyncio.gather(*(ask(number) for number in range(1, 50)))
    resume()
    cache._cache._breaker.succeeded()
    for number in range(1, 100):
        await ask(number)
    assert asked > 50, "and it is used again"

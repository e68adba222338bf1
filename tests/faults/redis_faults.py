"""What Redis itself suffers, or answers."""

import asyncio
import random
from collections.abc import Sequence

from authsvc.errors import CacheAway
from tests.caches.filled import cache_on
from tests.faults.servers import RedisServer
from tests.faults.stage import Stage
from tests.faults.worker_faults import stopped

SPIN = "for turn = 1, 1e10 do end"
PASSWORD = "of somebody else"
FILLERS, FILLER_MICROSECONDS = 40, 30_000
"""Keys that take their time to be read."""


async def redis_stays_away(stage: Stage, chance: random.Random) -> None:
    await stage.redis.kill()
    await asyncio.sleep(stage.a_while)
    stage.redis.forget()
    await stage.redis.start()


async def redis_comes_back_empty(stage: Stage, chance: random.Random) -> None:
    stage.redis.forget()
    await stage.redis.kill()
    await stage.redis.start()


async def redis_comes_back_with_an_old_snapshot(stage: Stage, chance: random.Random) -> None:
    await stage.redis.tell("SAVE", fails=True)
    await asyncio.sleep(chance.uniform(0.2, 1.0))
    await stage.redis.kill()
    await stage.redis.start()


async def redis_loads_an_old_snapshot_while_it_lives(stage: Stage, chance: random.Random) -> None:
    await stage.redis.tell("SAVE", fails=True)
    await asyncio.sleep(chance.uniform(0.2, 1.0))
    await stage.redis.tell("DEBUG", "RELOAD", "NOSAVE", fails=True)


async def told(stage: Stage, chance: random.Random, command: Sequence[str | int]) -> None:
    await stage.redis.tell(*command, fails=True)


async def the_hash_is_deleted(stage: Stage, chance: random.Random) -> None:
    for key in await stage.redis.tell("KEYS", "authsvc:rev:*", fails=True) or ():
        await stage.redis.tell("DEL", key, fails=True)


async def memory_is_full(stage: Stage, chance: random.Random, policy: str) -> None:
    await stage.redis.tell("CONFIG", "SET", "maxmemory-policy", policy, fails=True)
    await stage.redis.tell("CONFIG", "SET", "maxmemory", "100kb", fails=True)
    await asyncio.sleep(stage.a_while)
    await stage.redis.tell("CONFIG", "SET", "maxmemory", "0", fails=True)


async def redis_is_paused(stage: Stage, chance: random.Random, milliseconds: int, what: str) -> None:
    await stage.redis.tell("CLIENT", "PAUSE", milliseconds, what, fails=True)
    await asyncio.sleep(milliseconds / 1000)


async def redis_is_stopped(stage: Stage, chance: random.Random) -> None:
    async with stopped(stage.redis.processes()):
        await asyncio.sleep(2.0)


async def nodes_see_two_masters(stage: Stage, chance: random.Random) -> None:
    """A replica that lags is promoted while its master lives: one node goes on with the old, the other with the new."""
    replica = stage.replica
    await replica.start()
    try:
        await replica.tell("REPLICAOF", "127.0.0.1", stage.redis.port)
        for _ in range(100):
            if b"master_link_status:up" in (await replica.tell("INFO", "replication", fails=True) or b""):
                break
            await asyncio.sleep(0.05)
        await stage.redis.tell("CLIENT", "KILL", "TYPE", "REPLICA", fails=True)
        await replica.tell("REPLICAOF", "127.0.0.1", "1")  # it hears nothing any more
        await asyncio.sleep(0.3)
        wire = chance.choice(stage.wires)
        wire.target = replica.port
        wire.tear()
        await asyncio.sleep(0.5)
        await replica.tell("REPLICAOF", "NO", "ONE")
        await asyncio.sleep(stage.a_while)
    finally:
        for wire in stage.wires:
            wire.target = stage.redis.port
        await replica.kill()
        replica.forget()


# --- What it answers instead


async def it_is_loading(stage: Stage, chance: random.Random) -> None:
    """LOADING, for a second or so, and then an old snapshot."""
    for number in range(FILLERS):
        await stage.redis.tell("SET", f"filler:{number}", "." * 2_000, fails=True)
    await stage.redis.tell("SAVE", fails=True)
    await stage.redis.kill()
    await stage.redis.start(
        **{"key-load-delay": str(FILLER_MICROSECONDS), "loading-process-events-interval-bytes": "1024"}
    )
    await stage.redis.tell("DEL", *(f"filler:{number}" for number in range(FILLERS)), fails=True)


async def it_follows_nobody(stage: Stage, chance: random.Random, *, tells_old: bool) -> None:
    """READONLY, or MASTERDOWN: it was made the replica of one that is not there, and is made a master again."""
    await stage.redis.tell("CONFIG", "SET", "replica-serve-stale-data", "yes" if tells_old else "no", fails=True)
    await stage.redis.tell("REPLICAOF", "127.0.0.1", "1", fails=True)
    await asyncio.sleep(stage.a_while)
    await stage.redis.tell("REPLICAOF", "NO", "ONE", fails=True)


async def it_wants_a_password(stage: Stage, chance: random.Random) -> None:
    """NOAUTH, on every connection that is made."""
    await stage.redis.tell("CONFIG", "SET", "requirepass", PASSWORD, fails=True)
    stage.redis.password = PASSWORD
    try:
        await stage.redis.tell("CLIENT", "KILL", "TYPE", "normal", fails=True)
        await asyncio.sleep(stage.a_while)
        await stage.redis.tell("CONFIG", "SET", "requirepass", "", fails=True)
    finally:
        stage.redis.password = None


async def it_permits_nothing(stage: Stage, chance: random.Random) -> None:
    """NOPERM, on connections that live."""
    await stage.redis.tell("ACL", "SETUSER", "default", "-fcall", fails=True)
    await asyncio.sleep(stage.a_while)
    await stage.redis.tell("ACL", "SETUSER", "default", "+fcall", fails=True)


async def it_is_busy(stage: Stage, chance: random.Random) -> None:
    """BUSY: somebody's script goes round and round."""
    await stage.redis.tell("CONFIG", "SET", "busy-reply-threshold", 20, fails=True)
    spinning = asyncio.create_task(stage.redis.tell("EVAL", SPIN, 0, fails=True))
    await asyncio.sleep(stage.a_while)
    await stage.redis.tell("SCRIPT", "KILL", fails=True)
    await spinning


async def the_hash_is_something_else(stage: Stage, chance: random.Random) -> None:
    """WRONGTYPE."""
    for key in await stage.redis.tell("KEYS", "authsvc:rev:*", fails=True) or ():
        await stage.redis.tell("SET", key, "no hash", fails=True)


async def the_address_leads_to_another_deployment(stage: Stage, chance: random.Random) -> None:
    """To a Redis that is warm and complete, and somebody else's: of another deployment, or of a copy of this one."""
    replica = stage.replica
    await replica.start()
    try:
        (mode,) = await stage.sql("SELECT deployment FROM auth.cache_mode")
        await make_warm(replica, chance.choice([mode["deployment"], "another"]), f"{chance.getrandbits(128):032x}")
        wires = chance.sample(stage.wires, chance.randint(1, len(stage.wires)))
        for wire in wires:
            wire.target = replica.port
            wire.tear()
        await asyncio.sleep(stage.a_while)
    finally:
        for wire in stage.wires:
            wire.target = stage.redis.port
            wire.tear()
        await replica.kill()


async def make_warm(server: RedisServer, deployment: str, nonce: str) -> None:
    async with cache_on(f"redis://127.0.0.1:{server.port}") as cache:
        try:
            assert await cache.own(deployment, nonce) and await cache.done(deployment, nonce)
        except CacheAway as away:
            raise OSError from away

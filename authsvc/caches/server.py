"""Redis or Valkey itself: what kind of server it is, and what it lets this service do."""

import asyncio
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from authsvc.caches.connections import pool_of
from authsvc.errors import CacheAway


@dataclass(frozen=True, slots=True)
class CacheServer:
    name: str
    version: str
    is_replica: bool
    is_of_cluster: bool
    has_functions: bool
    """It knows them, and this user may load them."""
    eviction: str | None
    """`maxmemory-policy`; None where this user may not ask."""
    unix: float


async def describe_server(url: str, *, seconds: float) -> CacheServer:
    """Ask it, once.

    Raises:
        CacheAway: it gave no answer in time, or refused us.
    """
    try:
        client: Redis = Redis.from_pool(pool_of(url, decode_responses=True))
    except (ValueError, TypeError, OSError) as error:
        raise CacheAway from error
    try:
        async with asyncio.timeout(seconds):
            told = await client.info("server", "replication", "cluster")
            seconds, microseconds = await client.time()
            return CacheServer(
                name=str(told.get("server_name", "redis")),
                version=str(told.get("valkey_version", told["redis_version"])),
                is_replica=told.get("role") != "master",
                is_of_cluster=bool(told.get("cluster_enabled")),
                has_functions=await _has_functions(client),
                eviction=await _eviction(client),
                unix=seconds + microseconds / 1_000_000,
            )
    except (RedisError, OSError, TimeoutError) as error:
        raise CacheAway from error
    finally:
        await client.aclose()


async def _has_functions(client: Redis) -> bool:
    try:
        await client.function_list()
    except ResponseError:  # unknown to it, or denied by its ACL
        return False
    return True


async def _eviction(client: Redis) -> str | None:
    try:
        return str((await client.config_get("maxmemory-policy"))["maxmemory-policy"])
    except (ResponseError, KeyError):
        return None

"""What keeps this deployment from serving, as `/readyz` and the supervisor ask it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from authsvc.errors import ConfigurationError, Unavailable
from authsvc.migrate import pending
from authsvc.models import CacheState
from authsvc.settings import Settings
from authsvc.tables import signing_keys
from authsvc.tables.cache_mode import get_mode
from authsvc.tables.db import Database


@asynccontextmanager
async def open_readiness(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[Sequence[str]]]]:
    """What keeps this deployment from serving: asked of PostgreSQL at each call, on a connection of its own.

    The texts go to operators; they name no host and no secret.
    """
    database = Database(settings.database_url, size=1, timeout=1.0, name="readiness")
    await database.open()

    async def faults() -> Sequence[str]:
        try:
            missing = await pending(database)
            if missing:
                return [f"{len(missing)} migrations are not applied"]
            if not await signing_keys.list_keys(database):
                return ["there is no signing key yet"]
            if settings.redis_url is None and (await get_mode(database)).state is not CacheState.POSTGRESQL:
                return ["other nodes use Redis, and AUTHSVC_REDIS_URL is not set here"]
        except Unavailable:
            return ["PostgreSQL cannot be asked"]
        except ConfigurationError as error:
            return error.faults
        return []

    try:
        yield faults
    finally:
        await database.close()

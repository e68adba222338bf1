"""Redis or Valkey, as something that may be away: asked once, briefly, and not at all while it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from authsvc.caches.breaker import Breaker
from authsvc.caches.patience import Patience
from authsvc.clock import Clock
from authsvc.errors import CacheAway, ConfigurationError
from authsvc.logs import get_logger
from authsvc.metrics import Metrics

TIMEOUT_SECONDS = 0.1
CONNECTIONS = 8

Result = TypeVar("Result")
log = get_logger(__name__)


class Cache:
    """One Redis. Opens no connection before the first call, so the service starts while Redis is away."""

    def __init__(self, url: str, clock: Clock, metrics: Metrics) -> None:
        """Raises ConfigurationError: the URL says something that no connection can be made of."""
        # No retries, and one deadline over everything below instead of the library's, which begin anew at each step.
        try:
            pool = ConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                socket_timeout=None,
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),
                maint_notifications_config=MaintNotificationsConfig(enabled=False),
            )
            pool.make_connection()  # type: ignore[no-untyped-call] # opens nothing, and tells a wrong option
        except (ValueError, TypeError):  # whose words may quote the URL, and that holds a password
            raise ConfigurationError(["AUTHSVC_REDIS_URL is no URL of Redis: see its options and its port"]) from None
        self.client: Redis = Redis.from_pool(pool)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._breaker = Breaker(clock)
        self._errors = metrics.redis_errors
        self._is_open = metrics.redis_breaker_open

    async def call(
        self,
        op: str,
        ask: Callable[[], Awaitable[Result]],
        *,
        seconds: float | None = None,
        with_turn: bool = False,
    ) -> Result:
        """What `ask`, which uses `client`, is answered within `seconds`. `op` is what it is counted as where it fails.

        It may wait as long for its turn before; `with_turn` there is one deadline for both, for those who have somebody
        else to ask.

        Raises:
            CacheAway: no answer in time, an error for an answer, or not asked: because that has been so for a while, or
                because too many others want to.
        """
        is_asked = False
        patience = Patience(TIMEOUT_SECONDS if seconds is None else seconds)
        try:
            async with patience, self._turns:
                if not self._breaker.admits():
                    raise CacheAway
                # A crowd is no fault of Redis: what it is given, or is judged by, begins with the question.
                is_asked = not with_turn or patience.is_whole
                if not with_turn:
                    patience.renew()
                answer = await ask()
        except (RedisError, OSError, TimeoutError) as error:
            if is_asked:
                self._errors[op].inc()
                self._failed(error)
            raise CacheAway from error
        self._succeeded()
        return answer

    async def close(self) -> None:
        await self.client.aclose()

    def _failed(self, error: Exception) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            self._is_open.set(1)
            log.warning("Redis does not answer: doing without it", cause=type(error).__name__)

    def _succeeded(self) -> None:
        was_open = self._breaker.is_open
        self._breaker.succeeded()
        if was_open:
            self._is_open.set(0)
            log.info("Redis answers again")

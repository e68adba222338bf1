"""Redis or Valkey, as something that may be away: asked once, briefly, and not at all while it does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from authsvc.caches.breaker import Breaker
from authsvc.caches.connections import PrimaryPool, pool_of
from authsvc.caches.patience import Patience
from authsvc.caches.pipelined import Answer, PipelinedConnection
from authsvc.clock import Clock
from authsvc.errors import CacheAway, ConfigurationError
from authsvc.logs import get_logger
from authsvc.metrics import Metrics

TIMEOUT_SECONDS = 0.1
CONNECTIONS = 8
"""For calls; what only reads shares one more."""

Result = TypeVar("Result")
log = get_logger(__name__)


class Cache:
    """One Redis. Opens no connection before the first call, so the service starts while Redis is away."""

    def __init__(self, url: str, clock: Clock, metrics: Metrics) -> None:
        """Raises ConfigurationError: the URL says something that no connection can be made of."""
        try:
            pool = pool_of(url, max_connections=CONNECTIONS)
        except (ValueError, TypeError, OSError):  # whose words may quote the URL, and that holds a password
            raise ConfigurationError(
                ["AUTHSVC_REDIS_URL is no URL of Redis: see its options, its ports, and the files that it names"]
            ) from None
        self._pool = pool
        self.client: Redis = Redis.from_pool(pool)
        self._pipelined: PipelinedConnection | None = None
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._breaker = Breaker(clock)
        self._errors = metrics.redis_errors
        self._is_open = metrics.redis_breaker_open

    async def call(
        self,
        op: str,
        act: Callable[[], Awaitable[Result]],
        *,
        seconds: float | None = None,
        with_turn: bool = False,
    ) -> Result:
        """What `act`, which uses `client`, is answered within `seconds`. `op` is what it is counted as where it fails.

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
                answer = await act()
        except (RedisError, OSError, TimeoutError) as error:
            if is_asked:
                self._missed(op, error)
            raise CacheAway from error
        self._succeeded()
        return answer

    async def ask(self, op: str, question: bytes, *, seconds: float) -> Answer | None:
        """What a packed command that only reads is answered, a list of strings, within `seconds`; None: it is refused.

        Raises:
            CacheAway: as `call`.
        """
        pipelined = self._usable(seconds)
        if pipelined is None or self._breaker.is_open:
            return await self.call(
                op, lambda: _or_refusal(self._open_and_ask(question, seconds)), seconds=seconds, with_turn=True
            )
        try:
            answer = await _or_refusal(pipelined.ask(question))
        except (RedisError, OSError, TimeoutError) as error:
            self._missed(op, error)
            raise CacheAway from error
        self._succeeded()
        return answer

    def begin(self, op: str, question: bytes, tell: Callable[[Answer | None], None], *, seconds: float) -> bool:
        """As `ask`, where a connection is open and nobody has to be let in first. `tell` is called later, once; with
        None where it is refused, or there will be no answer. False: nothing was asked."""
        pipelined = self._usable(seconds)
        if pipelined is None or self._breaker.is_open:
            return False
        pipelined.send(question, _Begun(tell, self._succeeded, partial(self._missed, op)))
        return True

    def _missed(self, op: str, error: Exception) -> None:
        self._errors[op].inc()
        self._failed(error)

    async def _open_and_ask(self, question: bytes, seconds: float) -> Answer:
        async with self._opening:
            if (pipelined := self._usable(seconds)) is None:
                if self._pipelined is not None:
                    self._pipelined.close()
                self._pipelined = pipelined = await PipelinedConnection.open(self._pool, seconds)
        return await pipelined.ask(question)

    def _usable(self, seconds: float) -> PipelinedConnection | None:
        pipelined = self._pipelined
        if pipelined is None or not pipelined.is_open or pipelined.seconds != seconds:
            return None
        is_elsewhere = isinstance(self._pool, PrimaryPool) and pipelined.address != self._pool.master_address
        return None if is_elsewhere else pipelined

    async def look(self) -> None:
        """For every second. Leave a server that is no primary any more: Sentinels know it before that server does. And
        find out whether one that did not answer does again, so that nobody has to who waits for an answer."""
        with suppress(RedisError, OSError):  # then who asks something finds out
            async with Patience(TIMEOUT_SECONDS):
                if isinstance(self._pool, PrimaryPool):
                    await self._pool.get_master_address()
                if self._breaker.is_open:
                    await self._ping()
                    self._succeeded()

    async def _ping(self) -> None:
        with suppress(ResponseError):  # it answers, whatever it lets us do
            await self.client.ping()

    async def close(self) -> None:
        if self._pipelined is not None:
            self._pipelined.close()
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


class _Begun:
    """Where the answer to a question goes that nobody waits for in a task."""

    __slots__ = ("_failed", "_succeeded", "_tell")

    def __init__(
        self, tell: Callable[[Answer | None], None], succeeded: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._tell = tell
        self._succeeded = succeeded
        self._failed = failed

    def done(self) -> bool:
        return False

    def set_result(self, answer: Answer) -> None:
        self._succeeded()
        self._tell(answer)

    def set_exception(self, error: Exception) -> None:
        if isinstance(error, ResponseError):
            self._succeeded()
        else:
            self._failed(error)
        self._tell(None)


async def _or_refusal(answer: Awaitable[Answer]) -> Answer | None:
    try:
        return await answer
    except ResponseError:
        return None

"""One question for everybody who waits: requests of one loop turn share a round trip to the store."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from authsvc.errors import Unavailable

Found = Mapping[str, int]
Ask = Callable[[Collection[str]], Awaitable[Found]]
Waiter = tuple[Sequence[str], "asyncio.Future[Found]"]

MAX_WAITERS = 500


class Coalescer:
    """Gathers keys until the end of the loop turn, asks once, answers each waiter.

    - A waiter joins only a batch that has not been sent: the answer is never older than its question.
    - Each waiter has a future of its own, so an impatient one cancels nobody else.
    - A batch runs in its own task: it never dies with the request that began it.
    - At most `in_flight` batches are out. A stalled store grows one unsent batch, not a queue of tasks.
    """

    def __init__(self, ask: Ask, *, in_flight: int, timeout: float, observe: Callable[[int], None]) -> None:
        self._ask = ask
        self._free = in_flight
        self._timeout = timeout
        self._observe = observe
        self._waiting: list[Waiter] = []
        self._is_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, keys: Sequence[str]) -> "asyncio.Future[Found]":
        """Those of the keys that the store has, and perhaps others that were asked for beside them.

        The future raises Unavailable when the store cannot answer in time.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()
        self._waiting.append((keys, answer))
        self._schedule(loop)
        return answer

    async def close(self) -> None:
        """End what is out; whoever still waits is told Unavailable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        waiting, self._waiting = self._waiting, []
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(Unavailable())

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free and self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._seal)

    def _seal(self) -> None:
        self._is_scheduled = False
        if not self._waiting:
            return
        batch, self._waiting = self._waiting[:MAX_WAITERS], self._waiting[MAX_WAITERS:]
        self._free -= 1
        task = asyncio.get_running_loop().create_task(self._run(batch))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        self._schedule(asyncio.get_running_loop())

    async def _run(self, batch: list[Waiter]) -> None:
        keys = {key for wanted, answer in batch if not answer.done() for key in wanted}
        self._observe(len(batch))
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._ask(keys) if keys else {}
        except BaseException as error:
            cause = error if isinstance(error, Unavailable) else Unavailable()
            if cause is not error:
                cause.__cause__ = error
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(cause)
            if not isinstance(error, (Unavailable, TimeoutError, asyncio.CancelledError)):
                raise
        else:
            for _, answer in batch:
                if not answer.done():
                    answer.set_result(found)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._free += 1
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a batch failed", "exception": error, "task": task})
        if not task.get_loop().is_closed():
            self._schedule(task.get_loop())

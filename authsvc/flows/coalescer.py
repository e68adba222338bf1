"""One question for everybody who waits: requests of one loop turn share a round trip to the store."""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Protocol

from authsvc.errors import Unavailable

Found = Mapping[str, int]
Ask = Callable[[Collection[str]], Awaitable[Found]]


class Answerable(Protocol):
    """Where an answer goes: a future, or whatever does without a task that waits for one. None of its methods raises,
    and one of the two that set it is called at most once."""

    def done(self) -> bool:
        """Whether nobody waits for it any more."""
        ...

    def set_result(self, found: Found, /) -> None: ...

    def set_exception(self, error: Unavailable, /) -> None: ...


Waiter = tuple[float, Sequence[str], Answerable]
"""Since when, for what, and where the answer goes."""

MAX_WAITERS = 500


class Coalescer:
    """Gathers keys until the end of the loop turn, asks once, answers each waiter.

    - A waiter joins only a batch that has not been sent: the answer is never older than its question.
    - Each waiter has a future of its own, so an impatient one cancels nobody else.
    - A batch runs in its own task: it never dies with the request that began it.
    - At most `in_flight` batches are out. A stalled store grows one unsent batch, not a queue of tasks.
    - Nobody waits for longer than two timeouts: one to be sent, one for the answer.
    """

    def __init__(self, ask: Ask, *, in_flight: int, timeout: float, observe: Callable[[int], None]) -> None:
        self._ask = ask
        self._free = in_flight
        self._timeout = timeout
        self._observe = observe
        self._waiting: list[Waiter] = []
        self._is_scheduled = False
        self._tasks: dict[asyncio.Task[None], asyncio.TimerHandle] = {}

    def find(self, keys: Sequence[str]) -> "asyncio.Future[Found]":
        """Those of the keys that the store has, and perhaps others that were asked for beside them.

        The future raises Unavailable when the store cannot answer in time.
        """
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self.join(keys, answer)
        return answer

    def join(self, keys: Sequence[str], answer: Answerable) -> None:
        """As `find`, and the answer goes there."""
        loop = asyncio.get_running_loop()
        self._waiting.append((loop.time(), keys, answer))
        self._schedule(loop)

    async def close(self) -> None:
        """End what is out; whoever still waits is told Unavailable."""
        waiting, self._waiting = self._waiting, []  # first of all: a batch that ends makes room for the next
        _fail(waiting, Unavailable())
        for task, timer in self._tasks.items():
            timer.cancel()  # cancelled twice, the driver would be left alone in the middle of giving up a query
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free and self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._seal)

    def _seal(self) -> None:
        self._is_scheduled = False
        loop = asyncio.get_running_loop()
        late = bisect_right(self._waiting, loop.time() - self._timeout, key=itemgetter(0))
        end = late + MAX_WAITERS
        given_up, batch, self._waiting = self._waiting[:late], self._waiting[late:end], self._waiting[end:]
        _fail(given_up, Unavailable())
        if not batch:
            return
        self._free -= 1
        task = loop.create_task(self._run(batch))
        self._tasks[task] = loop.call_later(self._timeout, task.cancel)
        task.add_done_callback(partial(self._done, batch))
        self._schedule(loop)

    async def _run(self, batch: list[Waiter]) -> None:
        keys = {key for _, wanted, answer in batch if not answer.done() for key in wanted}
        self._observe(len(batch))
        try:
            found = await self._ask(keys) if keys else {}
        except BaseException as error:
            cause = error if isinstance(error, Unavailable) else Unavailable()
            if cause is not error:
                cause.__cause__ = TimeoutError() if isinstance(error, asyncio.CancelledError) else error
            _fail(batch, cause)
            if not isinstance(error, (Unavailable, TimeoutError, asyncio.CancelledError)):
                raise
        else:
            for _, _, answer in batch:
                if not answer.done():
                    answer.set_result(found)

    def _done(self, batch: list[Waiter], task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task).cancel()
        self._free += 1
        if task.cancelled():  # before its first step, so that it told nobody
            _fail(batch, Unavailable())
        elif (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a batch failed", "exception": error, "task": task})
        if not task.get_loop().is_closed():
            self._schedule(task.get_loop())


def _fail(waiters: Iterable[Waiter], error: Unavailable) -> None:
    for _, _, answer in waiters:
        if not answer.done():
            answer.set_exception(error)
            if isinstance(answer, asyncio.Future):
                answer.exception()  # looked at here, for the case that whoever waited hangs up in this very turn

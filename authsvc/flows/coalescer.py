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

Tell = Callable[[Found | None], None]


class Shortcut(Protocol):
    """A store that can mostly be asked without a task: that takes half of the time that a batch costs otherwise."""

    def begin(self, keys: Collection[str], tell: Tell) -> bool:
        """Ask. `tell` is called later, once; with None where that was in vain. False: nothing was asked."""
        ...

    async def find_elsewhere(self, keys: Collection[str]) -> Found:
        """After it was in vain."""
        ...


MAX_WAITERS = 500
TURNS = 4
"""For how many turns of the loop more a batch stays open while others join it. With 16 connections a batch has 7
waiters so, and 4 otherwise; what they wait is the time in which their requests are read, and that has to be spent."""


class _Batch:
    """Waiters whose question is out."""

    __slots__ = ("keys", "sealed_at", "waiters")

    def __init__(self, waiters: list[Waiter], keys: Collection[str], sealed_at: float) -> None:
        self.waiters = waiters
        self.keys = keys
        self.sealed_at = sealed_at


class Coalescer:
    """Gathers keys until a turn of the loop brings no more, asks once, answers each waiter.

    - A waiter joins only a batch that has not been sent: the answer is never older than its question.
    - Each waiter has a future of its own, so an impatient one cancels nobody else.
    - A batch is nobody's: it never dies with the request that began it.
    - At most `in_flight` batches are out. A stalled store grows one unsent batch, not a queue of tasks.
    - Nobody waits for longer than two timeouts: one to be sent, one for the answer.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        shortcut: Shortcut | None = None,
        in_flight: int,
        timeout: float,
        observe: Callable[[int], None],
    ) -> None:
        self._ask = ask
        self._shortcut = shortcut
        self._free = in_flight
        self._timeout = timeout
        self._observe = observe
        self._waiting: list[Waiter] = []
        self._is_scheduled = False
        self._begun: set[_Batch] = set()
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
        begun, self._begun = self._begun, set()
        for waiters in (waiting, *(batch.waiters for batch in begun)):
            _fail(waiters, Unavailable())
        for task, timer in self._tasks.items():
            timer.cancel()  # cancelled twice, the driver would be left alone in the middle of giving up a query
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free and self._waiting and not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._gather, len(self._waiting), TURNS)

    def _gather(self, before: int, turns: int) -> None:
        """Seal, unless others came in this turn: then, it may be, more come in the next."""
        if turns and len(self._waiting) > before:
            asyncio.get_running_loop().call_soon(self._gather, len(self._waiting), turns - 1)
        else:
            self._seal()

    def _seal(self) -> None:
        self._is_scheduled = False
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = bisect_right(self._waiting, now - self._timeout, key=itemgetter(0))
        end = late + MAX_WAITERS
        given_up, waiters, self._waiting = self._waiting[:late], self._waiting[late:end], self._waiting[end:]
        _fail(given_up, Unavailable())
        if keys := {key for _, wanted, answer in waiters if not answer.done() for key in wanted}:
            self._free -= 1
            self._observe(len(waiters))
            self._begin(_Batch(waiters, keys, now), loop)
        else:  # all have hung up, or want nothing
            _answer(waiters, {}, loop)
        self._schedule(loop)

    def _begin(self, batch: _Batch, loop: asyncio.AbstractEventLoop) -> None:
        if (shortcut := self._shortcut) is not None:
            self._begun.add(batch)
            try:
                if shortcut.begin(batch.keys, partial(self._told, batch, shortcut.find_elsewhere)):
                    return
            except Exception as error:  # a fault of ours: it costs nobody the answer
                loop.call_exception_handler({"message": "a batch was not begun", "exception": error})
            self._begun.discard(batch)
        self._start(batch, self._ask, loop)

    def _told(self, batch: _Batch, elsewhere: Ask, found: Found | None) -> None:
        if batch not in self._begun:
            return  # closed meanwhile
        self._begun.discard(batch)
        loop = asyncio.get_running_loop()
        if found is None:
            self._start(batch, elsewhere, loop)
            return
        self._free += 1
        _answer(batch.waiters, found, loop)
        self._schedule(loop)

    def _start(self, batch: _Batch, ask: Ask, loop: asyncio.AbstractEventLoop) -> None:
        task = loop.create_task(self._run(batch, ask))
        self._tasks[task] = loop.call_at(batch.sealed_at + self._timeout, task.cancel)
        task.add_done_callback(partial(self._done, batch))

    async def _run(self, batch: _Batch, ask: Ask) -> None:
        try:
            found = await ask(batch.keys)
        except BaseException as error:
            cause = error if isinstance(error, Unavailable) else Unavailable()
            if cause is not error:
                cause.__cause__ = TimeoutError() if isinstance(error, asyncio.CancelledError) else error
            _fail(batch.waiters, cause)
            if not isinstance(error, (Unavailable, TimeoutError, asyncio.CancelledError)):
                raise
        else:
            _answer(batch.waiters, found, asyncio.get_running_loop())

    def _done(self, batch: _Batch, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task).cancel()
        self._free += 1
        if task.cancelled():  # before its first step, so that it told nobody
            _fail(batch.waiters, Unavailable())
        elif (error := task.exception()) is not None:
            task.get_loop().call_exception_handler({"message": "a batch failed", "exception": error, "task": task})
        if not task.get_loop().is_closed():
            self._schedule(task.get_loop())


def _answer(waiters: Iterable[Waiter], found: Found, loop: asyncio.AbstractEventLoop) -> None:
    for _, _, answer in waiters:
        if not answer.done():
            try:
                answer.set_result(found)
            except Exception as error:  # a fault of ours, and the others of the batch have no part in it
                loop.call_exception_handler({"message": "an answer failed", "exception": error})


def _fail(waiters: Iterable[Waiter], error: Unavailable) -> None:
    for _, _, answer in waiters:
        if not answer.done():
            answer.set_exception(error)
            if isinstance(answer, asyncio.Future):
                answer.exception()  # looked at here, for the case that whoever waited hangs up in this very turn

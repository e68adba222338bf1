"""One connection on which questions follow each other without waiting for answers: what the library's client does
around each of them costs several times as much as the answer."""

import asyncio
from collections import deque
from typing import Any, Protocol

from redis.asyncio import ConnectionPool
from redis.exceptions import ResponseError

from authsvc.caches.patience import LOOKS
from authsvc.caches.replies import Replies

Answer = list[bytes]
Word = str | int


class Answerable(Protocol):
    """Where an answer goes: a future, or whatever does without one. One of the two that set it is called once, and does
    not raise."""

    def done(self) -> bool:
        """Whether nobody waits for it any more."""
        ...

    def set_result(self, answer: Answer, /) -> None: ...

    def set_exception(self, error: Exception, /) -> None: ...


class PipelinedConnection(asyncio.Protocol):
    """Opened by the library, which shows who we are; from then on its bytes are ours.

    A question that is not answered in `seconds` ends the connection, and all that wait on it with it: what comes late
    can be given to nobody else. As with `Patience`, the time that this process stood still hardly counts: time is what
    passes between looks, however late they come, and after a late one there is always another.
    """

    def __init__(self, opened: Any, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.seconds = seconds
        self._between = seconds / LOOKS
        self._looks = 0
        self._looked_at = 0.0
        self._next: asyncio.TimerHandle | None = None
        self._waiting: deque[tuple[int, Answerable]] = deque()
        self._replies = Replies()
        self.is_open = True
        self.address: tuple[str, int] | None = None
        """Of the server, where that is not a socket in the file system."""
        if hasattr(opened, "host"):
            self.address = opened.host, opened.port
        # The library has no public way to it; a test holds it to this. Kept, for a writer that is dropped closes.
        self._writer: asyncio.StreamWriter = opened._writer
        opened._writer = opened._reader = None
        self._transport: asyncio.Transport = self._writer.transport
        self._transport.set_protocol(self)

    @classmethod
    async def open(cls, pool: ConnectionPool, seconds: float) -> "PipelinedConnection":
        """One beside those that the pool counts. Raises RedisError or OSError: it cannot be opened."""
        connection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cls(connection, seconds)

    def ask(self, question: bytes) -> "asyncio.Future[Answer]":
        """The answer, which may be given up.

        It raises ResponseError where the server refuses; ConnectionError or TimeoutError, when there will be none.
        """
        answer: asyncio.Future[Answer] = self._loop.create_future()
        if self.is_open:
            self.send(question, answer)
        else:
            answer.set_exception(ConnectionError("the connection is closed"))
        return answer

    def send(self, question: bytes, answer: Answerable) -> None:
        """As `ask`, and the answer goes there, in a later turn of the loop. Only while it is open."""
        self._waiting.append((self._looks, answer))
        self._transport.write(question)
        if self._next is None:
            self._look_later()

    def close(self) -> None:
        """Whoever still waits is told ConnectionError."""
        self._end(ConnectionError("the connection is closed"))

    def data_received(self, data: bytes) -> None:
        try:
            replies = self._replies.feed(data)
        except ValueError as error:
            self._end(ConnectionError(str(error)))
            return
        for reply in replies:
            if not self._waiting:
                self._end(ConnectionError("an answer that nobody asked for"))
                return
            _, answer = self._waiting.popleft()
            if answer.done():
                continue
            if isinstance(reply, ResponseError):
                answer.set_exception(reply)
            else:
                answer.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(ConnectionError("the connection was lost"))

    def _look_later(self) -> None:
        self._looked_at = self._loop.time()
        self._next = self._loop.call_at(self._looked_at + self._between, self._look)

    def _look(self) -> None:
        is_late = self._loop.time() - self._looked_at > 2 * self._between
        self._looks += 1
        self._next = None
        if not self._waiting:
            return
        seen = self._looks - self._waiting[0][0]
        if seen > LOOKS or (seen == LOOKS and not is_late):
            self._end(TimeoutError("no answer in time"))
        else:
            self._look_later()

    def _end(self, error: Exception) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._transport.abort()
        if self._next is not None:
            self._next.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, answer in waiting:
            if not answer.done():
                answer.set_exception(error)
                if isinstance(answer, asyncio.Future):
                    answer.exception()  # looked at here, for the case that whoever waited is gone in this very turn


_BEFORE = [f"${length}\r\n" for length in range(128)]
"""What stands before a word. To write it anew each time takes as long as all the rest of `pack`."""


def pack(*words: Word) -> bytes:
    """Words of a command."""
    texts = [str(word) for word in words]
    try:
        packed = "".join([f"{_BEFORE[len(text)]}{text}\r\n" for text in texts])
        if packed.isascii():  # nearly always: then a character is a byte
            return packed.encode()
    except IndexError:
        pass
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in map(str.encode, texts)])


def head(words: int) -> bytes:
    """What stands before a command of so many words."""
    return b"*%d\r\n" % words

"""The load generator that needs nothing installed.

Each connection sends its next request when the answer to the last one is complete, as wrk does, or at even distances.
Looks at every answer.
"""

import asyncio
from functools import partial
from itertools import cycle
from math import ceil
from time import perf_counter
from typing import cast

import httptools
import msgspec
import uvloop

from tests.benchmarks.traffic import Chains, Load, Traffic, WrongAnswer

SPARE_SECONDS = 10.0
"""Past the end of the load, for a server that has stopped answering."""
LEAD_SECONDS = 0.05
"""Before the first request of a paced load, to connect."""


class Outcome(msgspec.Struct, frozen=True):
    """What one slice of load came to."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: dict[str, int]
    """How many, by what went wrong."""

    @property
    def right_per_second(self) -> float:
        """Answers that are right, a second."""
        return (self.requests - sum(self.failed.values())) / self.seconds

    def check(self, case: str) -> None:
        """Raises WrongAnswer unless there were answers, all of them right."""
        failed = {kind: count for kind, count in self.failed.items() if count}
        if failed or not self.requests:
            raise WrongAnswer(f"{case}: of {self.requests} requests failed {failed}")


class _Work:
    """What the connections share."""

    def __init__(self, load: Load, ends: float) -> None:
        self.load = load
        self.ends = ends
        self.latencies: list[float] = []
        self.failed = {"answer": 0, "connection": 0}
        self._turns = cycle(load.requests if isinstance(load, Traffic) else ())

    def next_request(self, number: int) -> bytes:
        """Of the connection with this number."""
        return self.load.heads[number] if isinstance(self.load, Chains) else next(self._turns)


class _Client(asyncio.Protocol):
    """One connection. With a `pause` it sends at even distances from `begins` on, as far as it is answered in time;
    what it cannot send in time has waited from when it was due. Sends at least once, however late it has come."""

    def __init__(self, work: _Work, number: int, *, begins: float = 0.0, pause: float = 0.0) -> None:
        self._work = work
        self._number = number
        self._due = begins
        self._pause = pause
        self._sent = 0.0
        self._is_over = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send_in_turn()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_over and perf_counter() < self._work.ends:
            self._work.failed["connection"] += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now, work = perf_counter(), self._work
        if self._parser.get_status_code() == work.load.status and work.load.needle in self._body:
            work.latencies.append(now - self._sent)
            if isinstance(work.load, Chains):
                work.load.heads[self._number] = work.load.follow(self._body)
        else:
            work.failed["answer"] += 1
        self._due += self._pause
        self._send_in_turn()

    def _send_in_turn(self) -> None:
        now = perf_counter()
        if self._sent and max(now, self._due) >= self._work.ends:
            self._is_over = True
            self._transport.close()
        elif self._due > now:
            asyncio.get_running_loop().call_later(self._due - now, self._send)
        else:
            self._send(self._due if self._pause else now)

    def _send(self, since: float | None = None) -> None:
        if self._transport.is_closing():
            return
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._sent = since or perf_counter()
        self._transport.write(self._work.next_request(self._number))


def replay(port: int, load: Load, connections: int, seconds: float, per_second: float | None = None) -> Outcome:
    """Keep so many connections busy for so long; or send so many requests a second over them."""
    return uvloop.run(_replay(port, load, connections, seconds, per_second))


async def _replay(port: int, load: Load, connections: int, seconds: float, per_second: float | None) -> Outcome:
    pause, lead = (connections / per_second, LEAD_SECONDS) if per_second else (0.0, 0.0)
    started = perf_counter() + lead
    work = _Work(load, started + seconds)

    loop = asyncio.get_running_loop()
    clients = []
    for number in range(connections):
        begins = started + pause * number / connections
        make = partial(_Client, work, number, begins=begins, pause=pause)
        clients.append((await loop.create_connection(make, "127.0.0.1", port))[1])
    async with asyncio.timeout(lead + seconds + SPARE_SECONDS):
        await asyncio.gather(*(client.closed for client in clients))
    seconds = perf_counter() - started
    latencies = sorted(work.latencies) or [0.0]
    return Outcome(
        requests=len(work.latencies) + work.failed["answer"],
        seconds=seconds,
        p50_ms=1000 * _percentile(latencies, 0.50),
        p99_ms=1000 * _percentile(latencies, 0.99),
        failed=work.failed,
    )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[ceil(share * len(ordered)) - 1]

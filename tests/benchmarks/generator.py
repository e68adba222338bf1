"""The load generator that needs nothing installed.

Each connection sends its next request when the answer to the last one is complete, as wrk does. Looks at every answer.
"""

import asyncio
from itertools import cycle
from math import ceil
from time import perf_counter
from typing import cast

import httptools
import msgspec
import uvloop

from tests.benchmarks.traffic import Traffic, WrongAnswer

SPARE_SECONDS = 10.0
"""Past the end of the load, for a server that has stopped answering."""


class Outcome(msgspec.Struct, frozen=True):
    """What one slice of load came to."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: dict[str, int]
    """How many, by what went wrong."""

    def check(self, case: str) -> None:
        """Raises WrongAnswer unless there were answers, all of them right."""
        failed = {kind: count for kind, count in self.failed.items() if count}
        if failed or not self.requests:
            raise WrongAnswer(f"{case}: of {self.requests} requests failed {failed}")


class _Load:
    """What the connections share."""

    def __init__(self, traffic: Traffic, seconds: float) -> None:
        self.needle = traffic.needle
        self.ends = perf_counter() + seconds
        self.latencies: list[float] = []
        self.failed = {"answer": 0, "connection": 0}
        self.requests = cycle(traffic.requests)


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if perf_counter() < self._load.ends:
            self._load.failed["connection"] += 1
        if not self.closed.done():
            self.closed.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        now = perf_counter()
        if self._parser.get_status_code() == 200 and self._load.needle in self._body:
            self._load.latencies.append(now - self._sent)
        else:
            self._load.failed["answer"] += 1
        if now < self._load.ends:
            self._send()
        else:
            self._transport.close()

    def _send(self) -> None:
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._sent = perf_counter()
        self._transport.write(next(self._load.requests))


def replay(port: int, traffic: Traffic, connections: int, seconds: float) -> Outcome:
    """Keep so many connections busy for so long."""
    return uvloop.run(_replay(port, traffic, connections, seconds))


async def _replay(port: int, traffic: Traffic, connections: int, seconds: float) -> Outcome:
    load = _Load(traffic, seconds)
    started = perf_counter()
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(lambda: _Client(load), "127.0.0.1", port))[1] for _ in range(connections)]
    async with asyncio.timeout(seconds + SPARE_SECONDS):
        await asyncio.gather(*(client.closed for client in clients))
    seconds = perf_counter() - started
    latencies = sorted(load.latencies) or [0.0]
    return Outcome(
        requests=len(load.latencies) + load.failed["answer"],
        seconds=seconds,
        p50_ms=1000 * _percentile(latencies, 0.50),
        p99_ms=1000 * _percentile(latencies, 0.99),
        failed=load.failed,
    )


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[ceil(share * len(ordered)) - 1]

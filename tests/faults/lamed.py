"""`authsvc serve` without one of its rules: whether the faults find out shows whether they see anything at all. And
with more patience: on a busy machine 50 ms are no outage of Redis, and without Redis little is seen of the protocol.

`python -m tests.faults.lamed PORT MANAGEMENT_PORT`, with the rule in `FAULTS_WITHOUT` and the factor in
`FAULTS_PATIENCE`. The workers are told by the environment, for they are processes of their own.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from starlette.types import ASGIApp

from authsvc.settings import load

WITHOUT, PATIENCE = "FAULTS_WITHOUT", "FAULTS_PATIENCE"
Ask = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]


def _an_unconfirmed_write_fences() -> None:
    from authsvc.flows.publication import Publication

    write = Publication._write

    async def hopeful(self: Publication, *args: Any) -> bool:
        await write(self, *args)
        return True

    Publication._write = hopeful  # type: ignore[method-assign, assignment]


def _a_fence_waits() -> None:
    from authsvc.flows.publication import Publication

    async def hasty(self: Publication, *args: Any) -> None:
        pass

    Publication._outwait = hasty  # type: ignore[method-assign, assignment]


def _a_lease_ends() -> None:
    """Redis is left alone as after several setbacks: filled anew, it would refuse the old lease by itself."""
    from authsvc.flows import publication
    from authsvc.flows.lease import Grant, Lease

    publication.back_off = lambda setbacks: timedelta(seconds=4)

    kept: dict[Lease, Grant] = {}

    def for_good(self: Lease) -> Grant | None:
        if self._grant is not None:
            kept[self] = self._grant
        return kept.get(self)

    Lease.current = for_good  # type: ignore[method-assign]


def _every_call_checks_the_owner() -> None:
    _other_library("if not owners[args[1]] or owners[args[1]] ~= args[2] then", "if false then")


def _a_reload_forgets_the_owner() -> None:
    """The owner stands in the data: it is saved with it, and loaded again."""
    _other_library("not owners[args[1]] or owners[args[1]] ~= args[2]", "redis.call('GET', 'owner') ~= args[2]")
    _other_library("owners[args[1]] = args[2]", "redis.call('SET', 'owner', args[2])")


def _other_library(old: str, new: str) -> None:
    from authsvc.caches import revocations

    assert old in revocations.LIBRARY
    revocations.LIBRARY = revocations.LIBRARY.replace(old, new)


def _the_marker_follows_the_marks() -> None:
    """It is raised, and nothing was loaded."""
    from authsvc.caches.revocations import RevocationCache

    async def nothing(self: RevocationCache, *args: Any) -> bool:
        return True

    RevocationCache.load = nothing  # type: ignore[method-assign, assignment]


def _not_revoked_is_never_remembered() -> None:
    from authsvc.flows.coalescer import Coalescer

    join, alive = Coalescer.join, dict[Any, float]()

    class Remembering:
        """A waiter whose luck is remembered for half a second."""

        def __init__(self, keys: Any, answer: Any) -> None:
            self.keys = keys
            self.answer = answer
            self.done, self.set_exception = answer.done, answer.set_exception

        def set_result(self, found: Mapping[str, int]) -> None:
            if not any(key[0] in "jfsk" and key in found for key in self.keys):
                alive[self.keys] = asyncio.get_running_loop().time() + 0.5
            self.answer.set_result(found)

    def lazy(self: Coalescer, keys: Any, answer: Any) -> None:
        loop = asyncio.get_running_loop()
        if alive.get(keys, 0) > loop.time():
            loop.call_soon(answer.set_result, {})
        else:
            join(self, keys, Remembering(keys, answer))

    Coalescer.join = lazy  # type: ignore[method-assign]


def _doubt_is_resolved_in_postgresql() -> None:
    from authsvc.flows.mark_reader import MarkReader

    init = MarkReader.__init__

    def guessing(self: MarkReader, ask_postgresql: Ask, cache: Any, lease: Any, metrics: Any) -> None:
        async def guess(marks: Collection[str]) -> Mapping[str, int]:
            return await ask_postgresql(marks) if lease.current() is None else dict.fromkeys(marks, 1)

        init(self, guess, cache, lease, metrics)

    MarkReader.__init__ = guessing  # type: ignore[method-assign]


def _a_commit_is_durable() -> None:
    from authsvc.tables.db import Database, Transaction

    @asynccontextmanager
    async def transaction(self: Database) -> AsyncIterator[Transaction]:
        async with self._connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            yield Transaction(connection)

    Database.transaction = transaction  # type: ignore[method-assign]


RULES: dict[str, Callable[[], None]] = {
    "an_unconfirmed_write_fences": _an_unconfirmed_write_fences,
    "a_fence_waits": _a_fence_waits,
    "a_lease_ends": _a_lease_ends,
    "every_call_checks_the_owner": _every_call_checks_the_owner,
    "a_reload_forgets_the_owner": _a_reload_forgets_the_owner,
    "the_marker_follows_the_marks": _the_marker_follows_the_marks,
    "not_revoked_is_never_remembered": _not_revoked_is_never_remembered,
    "doubt_is_resolved_in_postgresql": _doubt_is_resolved_in_postgresql,
    "a_commit_is_durable": _a_commit_is_durable,
}
"""What can be done without, and how."""


def _be_patient(factor: float) -> None:
    """And quick to try again: pauses that grow are made for outages that are not thrown every few seconds."""
    from authsvc.caches import breaker, redis, revocations

    redis.TIMEOUT_SECONDS *= factor
    revocations.READ_SECONDS *= factor
    breaker.LONGEST_PAUSE_SECONDS = breaker.FIRST_PAUSE_SECONDS


def create_app() -> ASGIApp:
    if rule := os.environ.get(WITHOUT):
        RULES[rule]()
    if (patience := float(os.environ.get(PATIENCE, "1"))) != 1:
        _be_patient(patience)
    from authsvc.app import create_app

    return create_app()


def main() -> int:
    port, management_port = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="authsvc-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory  # before the library is imported: it asks for it then
        from authsvc import logs
        from authsvc.supervisor import ServeOptions, serve

        settings = load(os.environ)
        logs.configure(settings.log_level, settings.log_format)
        options = ServeOptions(
            port=port, management_host="127.0.0.1", management_port=management_port, workers=2, metrics_dir=directory,
            drain_seconds=0, app="tests.faults.lamed:create_app",
        )  # fmt: skip
        return serve(options, settings)


if __name__ == "__main__":
    sys.exit(main())

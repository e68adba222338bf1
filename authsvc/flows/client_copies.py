"""Copies of client rows, as fresh as the lease: introspection authenticates its caller without a store call."""

import asyncio
from dataclasses import dataclass

from authsvc.clock import Clock
from authsvc.flows.lease import Lease
from authsvc.models import Client
from authsvc.protocol.revocation import client_mark
from authsvc.tables import clients
from authsvc.tables.db import Database

MAX_AGE_SECONDS = 1.0
"""Of a copy that no lease speaks for."""
MAX_COPIES = 10_000
MAX_ID_LENGTH = 256
READ_AGAIN_SECONDS = 0.05
"""Between two reads of one client for the sake of credentials that did not match: wrong secrets do not make it many."""


@dataclass(frozen=True, slots=True)
class ClientCopy:
    """A client, the number of its mark and the version of all clients, read in one statement."""

    client: Client
    generation: int
    version: str


class ClientCopies:
    """Every change of a client changes the version, in its own transaction. So a copy is still the client at the
    instant of a later look that sees the version of the copy, and each renewal of the lease is such a look."""

    def __init__(self, db: Database, lease: Lease, clock: Clock) -> None:
        self._db = db
        self._lease = lease
        self._clock = clock
        self._copies: dict[str, tuple[float, ClientCopy | None]] = {}
        self._loading: dict[str, tuple[float, asyncio.Task[ClientCopy | None]]] = {}
        self._next: dict[str, asyncio.Task[ClientCopy | None]] = {}
        self._read_again_at: dict[str, float] = {}

    async def find(self, client_id: str) -> ClientCopy | None:
        """The client as it was at most a second ago, or when the lease that we hold was last renewed.

        Raises:
            Unavailable: there is no such copy and PostgreSQL cannot be asked.
        """
        if not _can_be_one(client_id):
            return None
        held = self._copies.get(client_id)
        if held is not None and self._is_good(*held):
            return held[1]
        # One load for all who ask for it. Shielded: who hangs up does not take it from the others.
        loading = self._loading.get(client_id)
        oldest = self._clock.monotonic() - MAX_AGE_SECONDS
        if loading is None or loading[0] <= oldest or loading[1].done():
            task = asyncio.create_task(self.load(client_id))
            task.add_done_callback(lambda done: self._loaded(client_id, done))
            loading = self._loading[client_id] = (self._clock.monotonic(), task)
        return await asyncio.shield(loading[1])

    def is_current(self, copy: ClientCopy) -> bool:
        """Whether `find` would give this very copy."""
        held = self._copies.get(copy.client.client_id)
        return held is not None and held[1] is copy and self._is_good(*held)

    async def find_newer(self, client_id: str) -> ClientCopy | None:
        """The client as it is after this call began, for who holds a secret that is newer than the copy.

        Those who ask share the next read, and wait for it: there is one in `READ_AGAIN_SECONDS` for each client.

        Raises:
            Unavailable: PostgreSQL cannot be asked.
        """
        if not _can_be_one(client_id):
            return None
        task = self._next.get(client_id)
        if task is None:
            task = self._next[client_id] = asyncio.create_task(self._load_in_turn(client_id))
            task.add_done_callback(_look_at)
        return await asyncio.shield(task)

    async def _load_in_turn(self, client_id: str) -> ClientCopy | None:
        loop = asyncio.get_running_loop()
        last = self._read_again_at.pop(client_id, None)
        if last is not None:
            await asyncio.sleep(last + READ_AGAIN_SECONDS - loop.time())
        del self._next[client_id]  # who comes from now on waits for a later one
        if len(self._read_again_at) >= MAX_COPIES:
            del self._read_again_at[next(iter(self._read_again_at))]
        self._read_again_at[client_id] = loop.time()
        return await self.load(client_id)

    async def load(self, client_id: str) -> ClientCopy | None:
        """The client as it is now."""
        asked_at = self._clock.monotonic()
        found = await clients.find_client_to_copy(self._db, client_id, client_mark(client_id))
        copy = None if found is None else ClientCopy(*found)
        self._copies.pop(client_id, None)
        if copy is not None and copy.client.disabled_at is not None:
            return copy  # and not kept: who is enabled is not kept waiting
        if len(self._copies) >= MAX_COPIES:
            del self._copies[next(iter(self._copies))]
        self._copies[client_id] = (asked_at, copy)
        return copy

    def _is_good(self, asked_at: float, copy: ClientCopy | None) -> bool:
        return asked_at > self._clock.monotonic() - MAX_AGE_SECONDS or self._is_unchanged(copy)

    def _is_unchanged(self, copy: ClientCopy | None) -> bool:
        """Whether the lease says so. Of a client that was not there it says nothing: new ones change no version."""
        lease = self._lease.current()
        return copy is not None and lease is not None and copy.version == lease.clients_version

    def _loaded(self, client_id: str, task: "asyncio.Task[ClientCopy | None]") -> None:
        if (loading := self._loading.get(client_id)) is not None and loading[1] is task:
            del self._loading[client_id]
        _look_at(task)


def _can_be_one(client_id: str) -> bool:
    """What no client is called is neither asked for nor remembered."""
    return len(client_id) <= MAX_ID_LENGTH and client_id.isascii() and client_id.isprintable()


def _look_at(task: "asyncio.Task[ClientCopy | None]") -> None:
    """For the case that everybody who waited for it has hung up."""
    if not task.cancelled():
        task.exception()

"""Copies of client rows, at most a second old: introspection authenticates its caller without a store call."""

import asyncio
from dataclasses import dataclass

from authsvc.clock import Clock
from authsvc.models import Client
from authsvc.protocol.revocation import client_mark
from authsvc.tables import clients
from authsvc.tables.db import Database

MAX_AGE_SECONDS = 1.0
MAX_COPIES = 10_000
MAX_ID_LENGTH = 256


@dataclass(frozen=True, slots=True)
class ClientCopy:
    """A client and the number of its mark, read in one statement."""

    client: Client
    generation: int


class ClientCopies:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._copies: dict[str, tuple[float, ClientCopy | None]] = {}
        self._loading: dict[str, tuple[float, asyncio.Task[ClientCopy | None]]] = {}

    async def find(self, client_id: str) -> ClientCopy | None:
        """The client as it was at most a second ago.

        Raises:
            Unavailable: there is no fresh copy and PostgreSQL cannot be asked.
        """
        if len(client_id) > MAX_ID_LENGTH or not (client_id.isascii() and client_id.isprintable()):
            return None  # none is called that: it is neither asked for nor remembered
        oldest = self._clock.monotonic() - MAX_AGE_SECONDS
        held = self._copies.get(client_id)
        if held is not None and held[0] > oldest:
            return held[1]
        # One load for all who ask for it. Shielded: who hangs up does not take it from the others.
        loading = self._loading.get(client_id)
        if loading is None or loading[0] <= oldest or loading[1].done():
            task = asyncio.create_task(self.load(client_id))
            task.add_done_callback(lambda done: self._loaded(client_id, done))
            loading = self._loading[client_id] = (self._clock.monotonic(), task)
        return await asyncio.shield(loading[1])

    async def load(self, client_id: str) -> ClientCopy | None:
        """The client as it is now."""
        asked_at = self._clock.monotonic()
        found = await clients.find_client_with_generation(self._db, client_id, client_mark(client_id))
        copy = None if found is None else ClientCopy(*found)
        self._copies.pop(client_id, None)
        if copy is not None and copy.client.disabled_at is not None:
            return copy  # and not kept: who is enabled is not kept waiting
        if len(self._copies) >= MAX_COPIES:
            del self._copies[next(iter(self._copies))]
        self._copies[client_id] = (asked_at, copy)
        return copy

    def _loaded(self, client_id: str, task: "asyncio.Task[ClientCopy | None]") -> None:
        if (loading := self._loading.get(client_id)) is not None and loading[1] is task:
            del self._loading[client_id]
        if not task.cancelled():
            task.exception()  # looked at here, for the case that everybody who waited has hung up

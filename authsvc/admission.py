"""Which connections a server takes, and what each of them may take: so many in all, so many from one address.

No request has a timer: one sweep looks at all connections.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from authsvc.logs import get_logger
from authsvc.metrics import REFUSALS
from authsvc.protocol.addresses import Network, is_trusted, parse_address, prefix_of

log = get_logger(__name__)

SPARE_FILES = 200  # for stores, logs and metrics, and for connections that are on their way out
COMPLAIN_S = 60.0

FULL, ADDRESS = REFUSALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What connections may take. A time ends at a sweep: not late, and by less than `sweep_s` early."""

    connections: int = 4_000
    """In one worker. One more takes the place of the longest idle one; where none is idle, it is turned away."""
    per_address: int = 1_000
    """Of these, from one address, or from one /64 of IPv6. Proxies that are trusted have no such limit."""
    idle_s: int = 75
    """Between two requests. Longer than proxies keep theirs, so that none sends into a connection that just closes."""
    head_s: float = 10.0
    """For the head, from its first byte on; for the first one, from the beginning of the connection. And for TLS."""
    body_s: float = 20.0
    """For the body, from the end of the head on."""
    answer_s: float = 20.0
    """For the client to take what was written for it."""
    leave_s: float = 2.0
    """For who has got the last answer and still sends."""
    stop_s: float = 5.0
    """Once the worker stops: for what is left of a body or an answer."""
    head_bytes: int = 16_384
    request_bytes: int = 524_288
    """As it is sent: a body in chunks of one byte is six times as long, and their extensions know no limit."""
    waiting: int = 64
    """Requests on one connection behind the one that is being answered."""
    sweep_s: float = 0.5


class Connection(Protocol):
    """What the sweep needs to know of a connection."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    age: float

    @property
    def is_idle(self) -> bool: ...
    def look(self) -> None: ...


class Guard:
    """What the connections of one server share. `on_refused` is called with the reason, one of `metrics.REFUSALS`."""

    def __init__(
        self, limits: Limits, *, exempt: Sequence[Network] = (), on_refused: Callable[[str], None] = lambda reason: None
    ) -> None:
        self.limits = limits
        self._exempt = exempt
        self._on_refused = on_refused
        self._connections: dict[Connection, str] = {}  # with the prefix that it counts for, if any
        self._held: Counter[str] = Counter()
        self._idle: list[Connection] | None = None  # as found since the last sweep; some may be busy again
        self._sweeping: asyncio.TimerHandle | None = None
        self._refused: Counter[str] = Counter()
        self._next_complaint = 0.0

    def find_objection(self, new: Connection, peer: object) -> str | None:
        """Why there is no room for it: `FULL` or `ADDRESS`. None where there is: it is then counted until `forget`.

        `peer` is as a socket has it.
        """
        if new in self._connections:
            return None
        prefix = self._prefix_of(peer)
        if prefix and self._held[prefix] >= self.limits.per_address:
            return self._refuse(ADDRESS)
        if len(self._connections) >= self.limits.connections and not self._make_room():
            return self._refuse(FULL)
        self._connections[new] = prefix
        if prefix:
            self._held[prefix] += 1
        if self._sweeping is None:
            self._sweeping = new.loop.call_later(self.limits.sweep_s, self._sweep, new.loop)
        return None

    def forget(self, gone: Connection) -> None:
        if prefix := self._connections.pop(gone, ""):
            self._held[prefix] -= 1
            if not self._held[prefix]:
                del self._held[prefix]

    def hurry(self) -> None:
        """The server stops."""
        old = self.limits
        body_s, answer_s = min(old.body_s, old.stop_s), min(old.answer_s, old.stop_s)
        self.limits = replace(old, body_s=body_s, answer_s=answer_s)

    def _prefix_of(self, peer: object) -> str:
        """What a connection counts for, or nothing: a trusted proxy brings everybody, a unix socket is a neighbour."""
        address = parse_address(peer[0]) if isinstance(peer, tuple) else None
        return "" if address is None or is_trusted(address, self._exempt) else prefix_of(address)

    def _refuse(self, reason: str) -> str:
        self._refused[reason] += 1
        self._on_refused(reason)
        return reason

    def _make_room(self) -> bool:
        if self._idle is None:  # all are looked through once in a while, not for each of a flood
            self._idle = sorted((each for each in self._connections if each.is_idle), key=lambda each: each.age)
        while self._idle:
            each = self._idle.pop()
            if each.is_idle:
                each.transport.close()
                return True
        return False

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = loop.call_later(self.limits.sweep_s, self._sweep, loop) if self._connections else None
        self._idle = None
        if self._refused and loop.time() >= self._next_complaint:
            log.warning(
                "connections are turned away",
                limit=self.limits.connections,
                limit_per_address=self.limits.per_address,
                turned_away_full=self._refused[FULL],
                turned_away_address=self._refused[ADDRESS],
            )
            self._refused.clear()
            self._next_complaint = loop.time() + COMPLAIN_S
        for each in list(self._connections):
            each.look()


def fit(limits: Limits) -> Limits:
    """Let this process open as many files as the connections need, or lower their number to what it may open.

    Without files left, neither would a new client hear a word, nor the stores be reached.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return replace(limits, connections=min(limits.connections, max(wanted - SPARE_FILES, wanted // 2)))

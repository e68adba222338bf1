"""The keys of clients: those that are registered, and those that are fetched from the client's own address (CLA-14)."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from authsvc.adapters.outbound import Outbound
from authsvc.clock import Clock
from authsvc.errors import OutboundFailed, OutboundRefused, Unavailable
from authsvc.logs import get_logger
from authsvc.models import Client, JsonObject
from authsvc.protocol.client_keys import ClientKey, has_kid, is_signed_by, parse_keys
from authsvc.protocol.jwt import Foreign

MAX_AGE_SECONDS = 600.0
"""Of keys that were fetched. So long a key that its client has taken away goes on."""
FLOOR_SECONDS = 60.0
"""Between two fetches for the sake of a kid that is not there: strangers can make up as many as they like (JWK-09)."""
PAUSE_SECONDS = 5.0
"""After a fetch that failed."""
MAX_SETS = 2_000
ACCEPT = "application/jwk-set+json, application/json"

Keys = tuple[ClientKey, ...]
Value = TypeVar("Value")

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Fetched:
    keys: Keys
    at: float


class ClientKeys:
    def __init__(self, outbound: Outbound, clock: Clock) -> None:
        self._outbound = outbound
        self._clock = clock
        self._registered: dict[str, tuple[JsonObject, Keys]] = {}
        self._fetched: dict[str, _Fetched] = {}
        self._failed_at: dict[str, float] = {}
        self._fetching: dict[str, asyncio.Task[Keys]] = {}

    async def has_signed(self, client: Client, jwt: Foreign, algorithms: Collection[str]) -> bool:
        """Whether a key of this client's has signed it, by one of these algorithms.

        Raises:
            Unavailable: its keys are at an address that does not give them right now.
        """
        if jwt.algorithm not in algorithms:
            return False
        if client.jwks is not None:
            keys = self._read_registered(client.client_id, client.jwks)
        elif client.jwks_uri is not None:
            keys = await self._find(client.client_id, client.jwks_uri, jwt.kid)
        else:
            return False
        return is_signed_by(keys, jwt, algorithms)

    def _read_registered(self, client_id: str, document: JsonObject) -> Keys:
        """Prepared once for each copy of the client."""
        held = self._registered.get(client_id)
        if held is not None and held[0] is document:
            return held[1]
        try:
            keys = parse_keys(document)
        except ValueError:  # whoever wrote the row
            keys = ()
        _keep(self._registered, client_id, (document, keys))
        return keys

    async def _find(self, client_id: str, uri: str, kid: str | None) -> Keys:
        """Those that were fetched before, unless they are old, or the one that is asked for is not among them."""
        now = self._clock.monotonic()
        held = self._fetched.get(uri)
        is_fresh = held is not None and now < held.at + MAX_AGE_SECONDS
        if held is not None and now < held.at + (MAX_AGE_SECONDS if has_kid(held.keys, kid) else FLOOR_SECONDS):
            return held.keys
        if now < self._failed_at.get(uri, -PAUSE_SECONDS) + PAUSE_SECONDS:
            if held is not None and is_fresh:
                return held.keys
            raise Unavailable("the keys of the client cannot be fetched", retry_after=int(PAUSE_SECONDS))
        # One fetch for all who wait for it. Shielded: who hangs up does not take it from the others.
        fetching = self._fetching.get(uri)
        if fetching is None or fetching.done():
            fetching = self._fetching[uri] = asyncio.create_task(self._fetch(client_id, uri))
            fetching.add_done_callback(lambda done: self._look_at(uri, done))
        return await asyncio.shield(fetching)

    async def _fetch(self, client_id: str, uri: str) -> Keys:
        asked_at = self._clock.monotonic()
        try:
            answer = await self._outbound.get(uri, accept=ACCEPT)
            if answer.status != 200:
                raise OutboundFailed(f"status {answer.status}")
            keys = parse_keys(msgspec.json.decode(answer.body))
        except OutboundRefused as refusal:
            log.warning("the jwks_uri of a client is not gone to", client_id=client_id, reason=refusal.description)
            keys = ()
        except (OutboundFailed, ValueError, RecursionError) as failure:
            # The words of a parser may quote what it has read.
            reason = failure.description if isinstance(failure, OutboundFailed) else "no key set"
            log.warning("the keys of a client cannot be fetched", client_id=client_id, reason=reason)
            _keep(self._failed_at, uri, self._clock.monotonic())
            raise Unavailable("the keys of the client cannot be fetched") from failure
        self._failed_at.pop(uri, None)
        _keep(self._fetched, uri, _Fetched(keys, asked_at))
        return keys

    def _look_at(self, uri: str, task: "asyncio.Task[Keys]") -> None:
        """For the case that everybody who waited for it has hung up, too."""
        if self._fetching.get(uri) is task:
            del self._fetching[uri]
        if not task.cancelled():
            task.exception()


def _keep(held: dict[str, Value], key: str, value: Value) -> None:
    """At most `MAX_SETS`: the oldest goes."""
    held.pop(key, None)
    if len(held) >= MAX_SETS:
        del held[next(iter(held))]
    held[key] = value

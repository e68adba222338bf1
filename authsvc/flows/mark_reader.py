"""Where the marks are asked for: in Redis under a lease, in PostgreSQL in any doubt."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from authsvc.caches.revocations import RevocationCache
from authsvc.errors import CacheAway
from authsvc.flows.lease import Lease
from authsvc.metrics import Metrics

Found = Mapping[str, int]


class MarkReader:
    def __init__(
        self,
        ask_postgresql: Callable[[Collection[str]], Awaitable[Found]],
        cache: RevocationCache | None,
        lease: Lease,
        metrics: Metrics,
    ) -> None:
        self._ask_postgresql = ask_postgresql
        self._cache = cache
        self._lease = lease
        self._count = metrics.mark_questions

    def begin(self, marks: Collection[str], tell: Callable[[Found | None], None]) -> bool:
        """Ask Redis, where nothing has to be waited for first. `tell` is called later, once, with the marks that are
        set; with None in doubt: see `find_elsewhere`. False: nothing was asked, see `find`.

        The lease is looked at after the question was sealed: whoever asks began before.
        """
        if self._cache is None or (grant := self._lease.current()) is None:
            return False
        return self._cache.begin(grant.deployment, grant.nonce, marks, partial(self._told, tell))

    async def find(self, marks: Collection[str]) -> Found:
        """The marks among these that are set, as of some instant after this call began. The lease is looked at as in
        `begin`.

        Raises:
            Unavailable: PostgreSQL was asked and cannot be.
        """
        if self._cache is not None and (grant := self._lease.current()) is not None:
            try:
                found = await self._cache.get(grant.deployment, grant.nonce, marks)
            except CacheAway:
                found = None
            self._count["doubt" if found is None else "redis"].inc()
            if found is not None:
                return found
        return await self.find_elsewhere(marks)

    async def find_elsewhere(self, marks: Collection[str]) -> Found:
        """As `find`, without Redis."""
        self._count["postgresql"].inc()
        return await self._ask_postgresql(marks)

    def _told(self, tell: Callable[[Found | None], None], found: Found | None) -> None:
        self._count["doubt" if found is None else "redis"].inc()
        tell(found)

"""Where the marks are asked for: in Redis under a lease, in PostgreSQL in any doubt."""

from collections.abc import Awaitable, Callable, Collection, Mapping

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

    async def find(self, marks: Collection[str]) -> Found:
        """The marks among these that are set, as of some instant after this call began.

        The lease is looked at after the question was sealed: whoever asks began before.

        Raises:
            Unavailable: PostgreSQL was asked and cannot be.
        """
        if self._cache is not None and (grant := self._lease.current()) is not None:
            try:
                found = await self._cache.get(grant.deployment, grant.nonce, marks)
            except CacheAway:
                found = None
            if found is not None:
                self._count["redis"].inc()
                return found
            self._count["doubt"].inc()
        self._count["postgresql"].inc()
        return await self._ask_postgresql(marks)

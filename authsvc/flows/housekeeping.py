"""The purge: rows whose time is over go, a few at a time.

How long each kind is kept, and why no later question can miss it:

- A mark is over when it has expired: whatever it could kill has expired before it (`protocol/revocation.py`). It is
  kept for a day more, for the clocks of two nodes may differ.
- A grant or a session that has ended or expired refuses its refresh tokens, used ones too, exactly as one that is not
  there: reuse matters only in a family that lives. But a refresh token of a family that is over still names it to
  whoever wants the access tokens dead that came of it, and the longest of those lives for an hour. A week is far more.
- A code that is over is refused as one that is not there. One that comes back within a day ends what it was redeemed
  for.
- A request that was pushed waits for its user for ten minutes at the most. Then it is refused for that, whether it is
  there or not. It is kept for an hour and no more: strangers can make them, in the name of public clients.
- An assertion of a client that is over is refused for that, whether it is known to have been here or not. It is kept
  for an hour, for the clocks, and no more: there may be one for each token.
- A logout notice that is given up is there for the operator alone, who may have it sent after all.
- A killed signing key has no row. By one that verifies nothing any more it is known still whose an ID token was that a
  client shows as a hint: it is kept for as long as any session may live, and a day, for the clocks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from authsvc.clock import Clock
from authsvc.flows.publication import Publication
from authsvc.logs import get_logger
from authsvc.metrics import Metrics
from authsvc.tables import (
    authorization_codes,
    grants,
    logout_notices,
    pushed_requests,
    revocations,
    sessions,
    signing_keys,
    used_assertions,
)
from authsvc.tables.db import Database, Queries, read_clock

BATCH = 1_000
"""Rows in one statement: they stay locked until it ends, and nobody waits longer than that. The statements choose
theirs in a `MATERIALIZED` part: anything else PostgreSQL may ask again for each row, and get as many new ones."""
PAUSE_SECONDS = 0.05
"""Between two statements, for PostgreSQL to do what it is there for."""
MOST_BATCHES = 200
"""In one run, of one table. What is left over waits for the next run."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purge:
    """What goes from one table, and how long it stays when its time is over."""

    table: str
    keep: timedelta
    delete: Callable[[Queries, datetime, int], Awaitable[int | Mapping[str, int]]]
    """Deletes what was over before that, so many rows at the most. How many there were; of marks, which."""


PURGES = (
    Purge("token_blacklist", timedelta(days=1), revocations.purge_marks),
    Purge("authorization_codes", timedelta(days=1), authorization_codes.purge_codes),
    Purge("pushed_requests", timedelta(hours=1), pushed_requests.purge_requests),
    Purge("used_assertions", timedelta(hours=1), used_assertions.purge_assertions),
    Purge("grants", timedelta(days=7), grants.purge_grants),
    Purge("sessions", timedelta(days=7), sessions.purge_sessions),
    Purge("signing_keys", timedelta(days=31), signing_keys.purge_keys),
    Purge("logout_notices", timedelta(days=30), logout_notices.purge_notices),
)


class Housekeeping:
    def __init__(self, db: Database, publication: Publication, clock: Clock, metrics: Metrics) -> None:
        self._db = db
        self._publication = publication
        self._clock = clock
        self._metrics = metrics

    async def purge(self) -> None:
        """Delete what is over, by the clock that is behind: this one's or PostgreSQL's. May be stopped at any point,
        and may run twice at once.

        Raises:
            Unavailable: PostgreSQL cannot be asked. What has been deleted is deleted.
        """
        now = min(self._clock.now(), await read_clock(self._db))
        for each in PURGES:
            rows = 0
            for _ in range(MOST_BATCHES):
                gone = await each.delete(self._db, now - each.keep, BATCH)
                if not isinstance(gone, int):
                    await self._publication.forget(gone)
                batch = gone if isinstance(gone, int) else len(gone)
                self._metrics.purged_rows[each.table].inc(batch)
                rows += batch
                if batch < BATCH:
                    break
                await asyncio.sleep(PAUSE_SECONDS)
            if rows:
                log.info("purged", table=each.table, rows=rows)

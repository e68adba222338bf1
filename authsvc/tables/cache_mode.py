"""`auth.cache_mode`: whether Redis may be believed. One row; it changes by compare-and-set alone."""

from datetime import datetime

from authsvc.models import CacheMode, CacheState
from authsvc.tables.db import Queries, Row

_COLUMNS = "state, epoch, nonce, settled, changed_at, setbacks, deployment, lease_seconds"
_AS_SEEN = "WHERE epoch = $1 AND nonce = $2 AND state = $3"
"""Each epoch has a nonce of its own: after a restoration of PostgreSQL the same number may come a second time."""


async def get_mode(db: Queries) -> CacheMode:
    return _mode(await db.fetchrow(f"SELECT {_COLUMNS} FROM auth.cache_mode"))


async def get_mode_and_clients_version(db: Queries) -> tuple[CacheMode, str]:
    """The mode, and what changes with every change of a client (`clients.find_client_to_copy`)."""
    row = await db.fetchrow(f"SELECT {_COLUMNS}, version FROM auth.cache_mode, auth.clients_version")
    return _mode(row), row["version"]


async def fence(db: Queries, seen: CacheMode, *, now: datetime) -> CacheMode | None:
    """To PostgreSQL alone, with a new epoch. None when the mode is not the one that was seen any more.

    An epoch that follows one which gave no lease has nobody to wait for, if that one had not.
    """
    row = await db.fetchrow(
        "UPDATE auth.cache_mode SET state = 'G', epoch = epoch + 1, nonce = gen_random_uuid()::text, "
        "settled = settled AND state <> 'R', changed_at = $4, setbacks = setbacks + 1 "
        f"{_AS_SEEN} RETURNING {_COLUMNS}",
        seen.epoch,
        seen.nonce,
        seen.state,
        now,
    )
    return None if row is None else _mode(row)


async def rise_above(db: Queries, seen: CacheMode, epoch: int, *, now: datetime) -> CacheMode | None:
    """To PostgreSQL alone, with an epoch that is later than this one; somebody may hold a lease. None as `fence`."""
    row = await db.fetchrow(
        "UPDATE auth.cache_mode SET state = 'G', epoch = $4::bigint + 1, nonce = gen_random_uuid()::text, "
        f"settled = false, changed_at = $5 {_AS_SEEN} RETURNING {_COLUMNS}",
        seen.epoch,
        seen.nonce,
        seen.state,
        epoch,
        now,
    )
    return None if row is None else _mode(row)


async def begin_warm_up(db: Queries, seen: CacheMode, nonce: str, *, now: datetime) -> CacheMode | None:
    """To warming, with a new epoch and a new nonce. None as `fence`."""
    row = await db.fetchrow(
        "UPDATE auth.cache_mode SET state = 'W', epoch = epoch + 1, nonce = $4, settled = settled AND state <> 'R', "
        f"changed_at = $5 {_AS_SEEN} RETURNING {_COLUMNS}",
        seen.epoch,
        seen.nonce,
        seen.state,
        nonce,
        now,
    )
    return None if row is None else _mode(row)


async def end_warm_up(db: Queries, warming: CacheMode, *, now: datetime) -> CacheMode | None:
    """From this warm-up to trusted. None when it is not the one that is under way any more."""
    row = await db.fetchrow(
        f"UPDATE auth.cache_mode SET state = 'R', changed_at = $4 {_AS_SEEN} RETURNING {_COLUMNS}",
        warming.epoch,
        warming.nonce,
        CacheState.WARMING,
        now,
    )
    return None if row is None else _mode(row)


async def settle(db: Queries, seen: CacheMode) -> None:
    """No lease of an earlier epoch lives."""
    await db.execute(
        "UPDATE auth.cache_mode SET settled = true WHERE epoch = $1 AND nonce = $2 AND NOT settled",
        seen.epoch,
        seen.nonce,
    )


async def forget_setbacks(db: Queries, epoch: int) -> None:
    """The cache has held for a while."""
    await db.execute("UPDATE auth.cache_mode SET setbacks = 0 WHERE epoch = $1 AND setbacks > 0", epoch)


async def update_canary(db: Queries, mark: str) -> None:
    await db.execute("UPDATE auth.cache_mode SET canary = $1", mark)


async def find_canary(db: Queries) -> str | None:
    mark: str | None = await db.fetchval("SELECT canary FROM auth.cache_mode")
    return mark


def _mode(row: Row) -> CacheMode:
    return CacheMode(
        state=CacheState(row["state"]),
        epoch=row["epoch"],
        nonce=row["nonce"],
        settled=row["settled"],
        changed_at=row["changed_at"],
        setbacks=row["setbacks"],
        deployment=row["deployment"],
        lease_seconds=row["lease_seconds"],
    )

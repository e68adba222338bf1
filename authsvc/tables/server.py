"""PostgreSQL itself: what kind of server it is, and what it promises."""

from dataclasses import dataclass
from datetime import datetime

from authsvc.tables.db import Queries


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    version: int
    """As `server_version_num`: 180006 is 18.6."""
    is_standby: bool
    is_read_only: bool
    fsync: bool
    synchronous_commit: str
    now: datetime


async def describe_server(db: Queries) -> DatabaseServer:
    row = await db.fetchrow(
        """
        SELECT current_setting('server_version_num')::int AS version,
               pg_is_in_recovery() AS is_standby,
               current_setting('default_transaction_read_only')::bool AS is_read_only,
               current_setting('fsync')::bool AS fsync,
               current_setting('synchronous_commit') AS synchronous_commit,
               clock_timestamp() AS now
        """
    )
    return DatabaseServer(**dict(row))

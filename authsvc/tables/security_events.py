"""`audit.security_events` and `audit.seals`: added to, never changed."""

from collections.abc import Sequence
from datetime import datetime

from authsvc.models import AuditEvent, AuditFilter, AuditSeal
from authsvc.tables.db import Queries, Row

_COLUMNS = "at, event, level, via, request_id, address, sub, client_id, sid, details"
_SEALING = 0x61756469  # "audi": whoever adds to the chain, walks along it or shortens it holds this lock


async def insert_events(db: Queries, events: Sequence[AuditEvent]) -> None:
    """All of them, in their order, by one statement."""
    await db.execute(
        f"INSERT INTO audit.security_events ({_COLUMNS}) SELECT {_COLUMNS} FROM unnest($1::timestamptz[], $2::text[], "
        "$3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::jsonb[]) "
        f"AS new ({_COLUMNS})",
        [each.at for each in events],
        [each.event for each in events],
        [each.level for each in events],
        [each.via for each in events],
        [each.request_id for each in events],
        [each.address for each in events],
        [each.sub for each in events],
        [each.client_id for each in events],
        [each.sid for each in events],
        [each.details for each in events],
    )


async def list_events(db: Queries, wanted: AuditFilter, *, after: int, limit: int) -> list[AuditEvent]:
    """The oldest that are wanted, of those with greater ids."""
    return await _list(db, wanted, "id > $7 ORDER BY id LIMIT $8", after, limit)


async def list_last_events(db: Queries, wanted: AuditFilter, *, limit: int) -> list[AuditEvent]:
    """The newest that are wanted, in order."""
    return (await _list(db, wanted, "id > $7 ORDER BY id DESC LIMIT $8", 0, limit))[::-1]


async def _list(db: Queries, wanted: AuditFilter, page: str, after: int, limit: int) -> list[AuditEvent]:
    rows = await db.fetch(
        f"SELECT id, {_COLUMNS} FROM audit.security_events "
        "WHERE ($1::timestamptz IS NULL OR at >= $1) AND ($2::timestamptz IS NULL OR at < $2) "
        "AND ($3::text[] IS NULL OR event = ANY($3)) AND ($4::text IS NULL OR sub = $4) "
        f"AND ($5::text IS NULL OR client_id = $5) AND ($6::text IS NULL OR address = $6) AND {page}",
        wanted.since,
        wanted.until,
        None if wanted.events is None else list(wanted.events),
        wanted.sub,
        wanted.client_id,
        wanted.address,
        after,
        limit,
    )
    return [_event(row) for row in rows]


# --- The chain


async def try_lock_chain(db: Queries) -> bool:
    """Until the transaction ends. False when another transaction holds it."""
    return bool(await db.fetchval("SELECT pg_try_advisory_xact_lock($1)", _SEALING))


async def lock_chain(db: Queries) -> None:
    """As `try_lock_chain`, and waits for the other."""
    await db.execute("SELECT pg_advisory_xact_lock($1)", _SEALING)


async def list_unsealed(db: Queries, *, limit: int) -> list[AuditEvent]:
    """In the order of their ids. An event that commits late has a smaller id than one that was sealed before it."""
    rows = await db.fetch(
        f"SELECT id, {_COLUMNS} FROM audit.security_events WHERE seal IS NULL ORDER BY id LIMIT $1", limit
    )
    return [_event(row) for row in rows]


async def find_oldest_unsealed(db: Queries) -> datetime | None:
    at: datetime | None = await db.fetchval("SELECT min(at) FROM audit.security_events WHERE seal IS NULL")
    return at


async def find_last_seal(db: Queries) -> AuditSeal | None:
    row = await db.fetchrow(
        "SELECT number, previous, events, digest, link, sealed_at FROM audit.seals ORDER BY number DESC LIMIT 1"
    )
    return None if row is None else _seal(row)


async def insert_seal(db: Queries, seal: AuditSeal, events: Sequence[AuditEvent]) -> None:
    """Add the link, and write its number to the events that it covers."""
    await db.execute(
        "INSERT INTO audit.seals (number, previous, events, digest, link, sealed_at) VALUES ($1, $2, $3, $4, $5, $6)",
        seal.number,
        seal.previous,
        seal.events,
        seal.digest,
        seal.link,
        seal.sealed_at,
    )
    await db.execute(
        "UPDATE audit.security_events SET seal = $1 WHERE id = ANY($2)", seal.number, [each.event_id for each in events]
    )


async def list_seals(db: Queries, *, after: int, limit: int) -> list[AuditSeal]:
    rows = await db.fetch(
        "SELECT number, previous, events, digest, link, sealed_at FROM audit.seals "
        "WHERE number > $1 ORDER BY number LIMIT $2",
        after,
        limit,
    )
    return [_seal(row) for row in rows]


async def list_sealed_events(db: Queries, *, first: int, last: int) -> dict[int, list[AuditEvent]]:
    """The events of the seals from `first` to `last`, by seal."""
    rows = await db.fetch(
        f"SELECT id, {_COLUMNS}, seal FROM audit.security_events WHERE seal BETWEEN $1 AND $2 ORDER BY id", first, last
    )
    found: dict[int, list[AuditEvent]] = {}
    for row in rows:
        found.setdefault(row["seal"], []).append(_event(row))
    return found


async def delete_old_events(db: Queries, before: datetime, *, batches: int) -> int:
    """Let the oldest batches go, if they were sealed before `before`. How many events went; PostgreSQL keeps to a month
    at least, whatever it is told."""
    return int(await db.fetchval("SELECT audit.forget($1, $2)", before, batches))


def _event(row: Row) -> AuditEvent:
    return AuditEvent(
        at=row["at"],
        event=row["event"],
        level=row["level"],
        via=row["via"],
        request_id=row["request_id"],
        address=row["address"],
        sub=row["sub"],
        client_id=row["client_id"],
        sid=row["sid"],
        details=row["details"],
        event_id=row["id"],
    )


def _seal(row: Row) -> AuditSeal:
    return AuditSeal(row["number"], row["previous"], row["events"], row["digest"], row["link"], row["sealed_at"])

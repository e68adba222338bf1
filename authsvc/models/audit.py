"""What has happened, and its seals."""

from dataclasses import dataclass
from datetime import datetime

from authsvc.models.json_object import JsonObject


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A row of `audit.security_events`. No secret stands in it, and of people only identifiers and addresses."""

    at: datetime
    event: str
    level: str
    via: str
    request_id: str | None
    address: str | None
    sub: str | None
    client_id: str | None
    sid: str | None
    details: JsonObject
    event_id: int = 0
    """Given by the table."""


@dataclass(frozen=True, slots=True)
class AuditSeal:
    """A row of `audit.seals`: the keyed digest of one batch of events, chained to the one before."""

    number: int
    previous: bytes
    events: int
    digest: bytes
    link: bytes
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events are asked for; None asks for all."""

    since: datetime | None = None
    until: datetime | None = None
    events: tuple[str, ...] | None = None
    sub: str | None = None
    client_id: str | None = None
    address: str | None = None

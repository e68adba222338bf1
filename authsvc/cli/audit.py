"""`authsvc audit ...`"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from authsvc.cli.context import data_dir_option, operator_command, tell, told_errors, with_flows
from authsvc.models import AuditEvent, AuditFilter
from authsvc.protocol.audit import Event

if TYPE_CHECKING:
    from authsvc.flows import Flows


class _Instant(click.ParamType[datetime]):
    name = "ISO 8601"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail("write it like 2026-03-01 or 2026-03-01T12:00:00Z", param, ctx)
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that choose events; the command gets them as one `wanted`."""

    @click.option("--since", type=_Instant(), help="From this instant on; UTC unless it says otherwise.")
    @click.option("--until", type=_Instant(), help="Before this instant.")
    @click.option(
        "--event",
        multiple=True,
        type=click.Choice([event.value for event in Event]),
        metavar="NAME",
        help="Of this name.",
    )
    @click.option("--user", "sub", help="Of the user with this sub.")
    @click.option("--client", "client_id", help="Of this client.")
    @click.option("--address", help="From this address.")
    @wraps(command)
    def wrapped(
        since: datetime | None,
        until: datetime | None,
        event: tuple[str, ...],
        sub: str | None,
        client_id: str | None,
        address: str | None,
        **others: Any,
    ) -> None:
        command(wanted=AuditFilter(since, until, event or None, sub, client_id, address), **others)

    return wrapped


@click.group()
def audit() -> None:
    """What happened: show it, export it, prove that nothing was changed."""


@audit.command()
@_filtered
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@operator_command
def tail(wanted: AuditFilter, lines: int, as_json: bool, data_dir: Path) -> None:
    """Show the newest events."""
    events = with_flows(data_dir, lambda flows: flows.audit_trail.last(wanted, limit=lines))
    tell(as_json, [_row(each) for each in events], "\n".join(map(_line, events)) or "no event")


@audit.command()
@_filtered
@data_dir_option
def export(wanted: AuditFilter, data_dir: Path) -> None:
    """Write every event as a line of JSON, oldest first."""

    async def write(flows: "Flows") -> None:
        async for event in flows.audit_trail.walk(wanted):
            click.echo(json.dumps(_row(event)))

    with told_errors():
        with_flows(data_dir, write)


@audit.command()
@operator_command
def verify(as_json: bool, data_dir: Path) -> None:
    """Check every seal and every sealed event. Exit status 1 when something was changed."""
    report = with_flows(data_dir, lambda flows: flows.audit_trail.verify())
    answer = asdict(report) | {"last": None}
    told = f"{report.events} events under {report.seals} seals are as they were written"
    if report.forgotten:
        told += f"; the events of the oldest {report.forgotten} seals were let go"
    if report.last is not None:
        answer["last"] = {"number": report.last.number, "link": report.last.link.hex()}
        told += f"\nlast seal: {report.last.number} {report.last.link.hex()}"
    tell(as_json, answer, "\n".join(report.faults) if report.faults else told)
    if report.faults:
        raise SystemExit(1)


def _row(event: AuditEvent) -> dict[str, Any]:
    row = {name: value for name, value in asdict(event).items() if value is not None}
    return {"id": row.pop("event_id"), "at": row.pop("at").isoformat(), **row}


def _line(event: AuditEvent) -> str:
    who = {"user": event.sub, "client": event.client_id, "sid": event.sid, "from": event.address} | event.details
    words = " ".join(f"{name}={value}" for name, value in who.items() if value is not None)
    return f"{event.at.isoformat(timespec='seconds')}  {event.level:8}  {event.event:26}  {words}"

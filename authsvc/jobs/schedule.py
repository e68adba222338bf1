"""What is done without being asked, by one worker for all: the name of each job, how often it is due, and the flow."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from authsvc.flows import Flows


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    every: timedelta
    act: Callable[[], Awaitable[None]]


def jobs_of(flows: Flows) -> tuple[Job, ...]:
    """Each of them may run twice at once without harm: the election only saves work."""
    return (
        Job("rotate_signing_keys", timedelta(minutes=1), flows.keys.rotate_when_due),
        Job("release_canary", timedelta(seconds=15), flows.canary.release),
        Job("forget_audit_events", timedelta(hours=1), flows.audit_trail.forget),
        Job("purge", timedelta(minutes=5), flows.housekeeping.purge),
    )

"""Where an act comes from: a request, a command or a job. It is noted beside what is done, and decides nothing."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal, NamedTuple


def _nowhere() -> str | None:
    return None


class Origin(NamedTuple):
    """A tuple, for one is made for each request, and seldom looked at."""

    via: Literal["http", "cli", "job"] = "job"
    find_address: Callable[[], str | None] = _nowhere
    """The client's address, worked out only when somebody wants to know."""
    operator: str | None = None
    """The name of the account that runs the command."""


_JOB = Origin()
origin: ContextVar[Origin] = ContextVar("origin", default=_JOB)

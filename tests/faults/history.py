"""What callers did and were told, each with the instants at which it began and ended on one monotonic clock."""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

NUMBERS = ("u:", "c:", "*")
"""Marks that are raised: they kill what was minted before. The others kill whatever carries them."""


class Told(StrEnum):
    """What an answer came to."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DONE = "done"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    """No answer: the connection broke, or nothing came in time."""
    WRONG = "wrong"
    """Any other status."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was handed out, and by which marks it can be killed."""

    text: str
    marks: tuple[str, ...]
    numbers: dict[str, int]
    """Of the marks that are raised: the number that it was minted under."""
    asked: float
    given: float
    expires: float = inf

    @property
    def keys(self) -> tuple[str, ...]:
        """The marks of what signed it."""
        return tuple(mark for mark in self.marks if mark.startswith("k:"))


@dataclass(frozen=True, slots=True)
class Reading:
    """An introspection, or a call that a token was shown at."""

    begin: float
    end: float
    node: str
    token: Token
    told: Told
    what: str = "introspect"


@dataclass(frozen=True, slots=True)
class Revoking:
    begin: float
    end: float
    node: str
    mark: str
    told: Told
    what: str = "revoke"


@dataclass(frozen=True, slots=True)
class Other:
    """A call that tells nothing of a token: only its status is judged."""

    begin: float
    end: float
    node: str
    what: str
    told: Told
    detail: str = ""


@dataclass(slots=True)
class History:
    readings: list[Reading] = field(default_factory=list)
    revokings: list[Revoking] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    under_way: dict[int, tuple[float, str]] = field(default_factory=dict)
    """Revocations that have begun: when, and of which mark. What is still here at the end was never answered."""
    _next: int = 0

    def begin_revoking(self, mark: str, at: float) -> int:
        self._next += 1
        self.under_way[self._next] = (at, mark)
        return self._next

    def end_revoking(self, number: int, end: float, node: str, told: Told, what: str = "revoke") -> None:
        begin, mark = self.under_way.pop(number)
        self.revokings.append(Revoking(begin, end, node, mark, told, what))

    def abandoned(self) -> list[Revoking]:
        """Those without an answer, as if it had been lost."""
        return [Revoking(begin, inf, "?", mark, Told.LOST) for begin, mark in self.under_way.values()]

    def by_mark(self) -> dict[str, list[Revoking]]:
        found: dict[str, list[Revoking]] = defaultdict(list)
        for each in (*self.revokings, *self.abandoned()):
            found[each.mark].append(each)
        return found


def is_raised(mark: str) -> bool:
    return mark.startswith(NUMBERS)

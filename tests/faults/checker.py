"""Whether a history keeps the promises of the revocation contract. Linear in its length, but for sorting.

- C1: after a revocation was answered with 2xx, nothing that began later is told "active" of a token that it kills.
- C4: nobody is told "inactive" of a token that has not expired and that nobody had begun to revoke.
- Every answer is one that the caller can act upon: a status that is neither the expected one nor 503 is a fault.
- Every revocation that was answered with 2xx is in PostgreSQL at the end.

What overlaps is free: an introspection that begins before the revocation has returned may see either.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from tests.faults.history import History, Other, Reading, Revoking, Token, Told, is_raised


class _Free(Enum):
    FREE = auto()


FREE = _Free.FREE
UNSETTLED_SECONDS = 30.0
"""For so long after its end, a revocation that was not acknowledged may still come to be committed."""


@dataclass(frozen=True, slots=True)
class Violation:
    rule: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: list[Violation]
    """Every broken promise, in the order of time."""
    checked: int
    """Of how many readings one of the two answers would have been a violation. The others overlapped something."""


def check(history: History) -> Verdict:
    fates = Fates(history)
    judged = [judgement for reading in history.readings if (judgement := _judge(fates, reading)) is not FREE]
    found = [judgement for judgement in judged if judgement is not None]
    calls: list[Revoking | Other | Reading] = [*history.revokings, *history.others, *history.readings]
    found += [
        Violation("status", each.begin, f"{each.what} at {each.node}: {each.detail if isinstance(each, Other) else ''}")
        for each in calls
        if each.told is Told.WRONG
    ]
    return Verdict(sorted(found, key=lambda violation: violation.at), len(judged))


def check_stored(history: History, stored: Mapping[str, int], tokens: Collection[Token]) -> list[Violation]:
    """What was promised and is not in PostgreSQL. `stored` are the marks with their numbers."""
    fates = Fates(history)
    # Of a token whose key is gone nothing more is written: nobody can know it any more.
    keyless = {mark for token in tokens for mark in token.marks if any(k in stored for k in token.keys)}
    found = [
        Violation("durability", each.end, f"{each.mark} was revoked and is not stored")
        for each in history.revokings
        if each.told is Told.DONE and each.mark not in stored and each.mark not in keyless
    ]
    for token in tokens:
        for mark, number in token.numbers.items():
            if fates.dead_from(token, mark) < inf and stored.get(mark, 0) <= number:
                found.append(Violation("durability", fates.dead_from(token, mark), f"{mark} was raised and is not"))
    return found


def _judge(fates: "Fates", reading: Reading) -> Violation | _Free | None:
    """None: as it had to be. FREE: it could have been either."""
    token, where = reading.token, f"{reading.what} at {reading.node}"
    if reading.told not in (Told.ACTIVE, Told.INACTIVE):
        return FREE
    for mark in token.marks:
        late = 1000 * (reading.begin - fates.dead_from(token, mark))
        if late > 0:
            if reading.told is Told.INACTIVE:
                return None
            return Violation("C1", reading.begin, f"{where}: active {late:.1f} ms after {mark} was revoked")
    if reading.end >= token.expires or any(fates.may_be_dead(token, mark, reading.end) for mark in token.marks):
        return FREE
    if reading.told is Told.ACTIVE:
        return None
    return Violation("C4", reading.begin, f"{where}: inactive, and nobody revoked {'/'.join(token.marks)}")


class Fates:
    """When a mark kills a token for certain, and from when on it may."""

    def __init__(self, history: History) -> None:
        self._marks = {mark: _Fate(revokings) for mark, revokings in history.by_mark().items()}

    def dead_from(self, token: Token, mark: str) -> float:
        """The end of the first acknowledged revocation that kills this token. Of those that raise a number, only who
        began when the token had been handed out is sure to."""
        fate = self._marks.get(mark)
        return inf if fate is None else fate.dead_from(token.given if is_raised(mark) else -inf)

    def may_be_dead(self, token: Token, mark: str, at: float) -> bool:
        """Whether somebody had begun before `at` to revoke what may be this token. A number that was raised before it
        was asked for does not kill it; one of whose fate nobody knows may be raised for a while yet."""
        fate = self._marks.get(mark)
        return fate is not None and fate.may_kill(token.asked if is_raised(mark) else -inf, at)


class _Fate:
    """Of one mark."""

    def __init__(self, revokings: list[Revoking]) -> None:
        done = sorted((each for each in revokings if each.told is Told.DONE), key=lambda each: each.begin)
        self._begins = [each.begin for each in done]
        self._first_ends = [inf] * (len(done) + 1)
        for at in range(len(done) - 1, -1, -1):
            self._first_ends[at] = min(done[at].end, self._first_ends[at + 1])
        # Of those that ended after an instant, the one that began first.
        self._all = sorted((_settled(each), each.begin) for each in revokings)
        self._ends = [end for end, _ in self._all]
        self._earliest = [inf] * (len(self._all) + 1)
        for at in range(len(self._all) - 1, -1, -1):
            self._earliest[at] = min(self._all[at][1], self._earliest[at + 1])

    def dead_from(self, given: float) -> float:
        return self._first_ends[bisect_left(self._begins, given)]

    def may_kill(self, asked: float, at: float) -> bool:
        return self._earliest[bisect_left(self._ends, asked)] <= at


def _settled(revoking: Revoking) -> float:
    return revoking.end if revoking.told is Told.DONE else revoking.end + UNSETTLED_SECONDS

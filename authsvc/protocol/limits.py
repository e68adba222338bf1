"""How many attempts in which time (RFC 6585 §4): the generic cell rate algorithm, in whole microseconds (RTL-07).

A budget is one number, the moment at which it is whole again. Each attempt moves that moment on by the time in which
one attempt grows back, and is refused where it would come to lie further ahead than a whole budget takes. So there is
no edge of a window to wait for with twice the attempts, and how long to wait is known exactly.

`caches/attempts.py` keeps the same rule in the language of Redis.
"""

from dataclasses import dataclass
from hashlib import sha256

from authsvc.models import Budget, Limiter

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many attempts at once, and so many in this time in the long run."""

    attempts: int
    seconds: int


def budget_of(limiter: Limiter, limit: Limit, *who: str) -> Budget:
    """The budget of somebody. Its key says nothing of who it is, and is as long for everybody."""
    named = "\0".join(who).encode("utf-8", "surrogatepass")
    interval = -(-limit.seconds * SECOND // limit.attempts)
    return Budget(limiter, f"{limiter}:{sha256(named).hexdigest()[:32]}", interval, interval * limit.attempts)


def spend(whole_at: int, now: int, budget: Budget) -> tuple[int, int]:
    """When the budget is whole again if one attempt is made now, and how long to wait before it may be made.

    A moment further ahead than any attempt can have moved it (the clock was set back, the limit was another one) counts
    as a budget that has just been spent.
    """
    moved = min(max(whole_at, now), now + budget.whole) + budget.interval
    return moved, max(0, moved - budget.whole - now)


def whole_seconds(microseconds: int) -> int:
    """As Retry-After has it: never too early, and at least 1 (RTL-01)."""
    return max(1, -(-microseconds // SECOND))

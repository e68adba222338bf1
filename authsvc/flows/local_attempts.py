"""Attempts, counted in this process alone: where there is no Redis, while it is away, and where a question to it would
cost more than the limit is worth."""

from collections import OrderedDict
from collections.abc import Sequence

from authsvc.clock import Clock
from authsvc.models import Budget, Limiter, Refusal
from authsvc.protocol import limits as rules

CAPACITY = 10_000
"""Budgets kept for each limiter; beyond it the one that was used longest ago is forgotten. Strangers can fill it, but
for one limiter alone, and no further."""


class LocalAttempts:
    """The moment at which each budget is whole again, on the clock that never jumps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._moments: dict[Limiter, OrderedDict[str, int]] = {limiter: OrderedDict() for limiter in Limiter}

    def spend(self, budgets: Sequence[Budget]) -> Refusal | None:
        """Count one attempt in each budget, or in none: then it is told which one is spent for longest."""
        now = self._now()
        spent = [rules.spend(self._find(budget), now, budget) for budget in budgets]
        longest, refused_by = max(((wait, -at) for at, (_, wait) in enumerate(spent)), default=(0, 0))
        if longest:
            return budgets[-refused_by], longest
        for budget, (moment, _) in zip(budgets, spent, strict=True):
            self._keep(budget, moment)
        return None

    def spend_one(self, budget: Budget) -> Refusal | None:
        """As `spend`, of a single budget. On the hot path."""
        moment, wait = rules.spend(self._find(budget), self._now(), budget)
        if wait:
            return budget, wait
        self._keep(budget, moment)
        return None

    def give_back(self, budgets: Sequence[Budget], amounts: Sequence[int]) -> None:
        """Give each budget back what grows in so many microseconds."""
        now = self._now()
        for budget, amount in zip(budgets, amounts, strict=True):
            if (moment := self._find(budget) - amount) > now:
                self._keep(budget, moment)
            else:
                self._moments[budget.limiter].pop(budget.key, None)

    def _find(self, budget: Budget) -> int:
        moments = self._moments[budget.limiter]
        moment = moments.get(budget.key)
        if moment is None:
            return 0
        moments.move_to_end(budget.key)
        return moment

    def _keep(self, budget: Budget, moment: int) -> None:
        moments = self._moments[budget.limiter]
        moments[budget.key] = moment
        if len(moments) > CAPACITY:
            moments.popitem(last=False)

    def _now(self) -> int:
        return int(self._clock.monotonic() * rules.SECOND)

"""Budgets that grow back: never more than they promise, and never a moment later than they say (RTL-01, RTL-07)."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.models import Limiter
from authsvc.protocol.limits import SECOND, Limit, budget_of, spend, whole_seconds

TEN_IN_A_QUARTER = budget_of(Limiter.LOGIN, Limit(10, 900), "ada")
NOW = 1_700_000_000 * SECOND

limits = st.builds(Limit, attempts=st.integers(1, 1_000), seconds=st.integers(1, 86_400))
moments = st.integers(0, 2 * NOW)


@pytest.mark.parametrize(
    ("made", "later", "wait"),
    [
        (0, 0, 0),
        (9, 0, 0),
        (10, 0, 90),
        (10, 30, 60),
        (10, 90, 0),
        (10, 899, 0),
        (10, 900, 0),
    ],
)
def test_ten_attempts_are_at_once_and_then_one_every_ninety_seconds(made: int, later: int, wait: int) -> None:
    moment = 0
    for _ in range(made):
        moment, told = spend(moment, NOW, TEN_IN_A_QUARTER)
        assert told == 0
    assert spend(moment, NOW + later * SECOND, TEN_IN_A_QUARTER)[1] == wait * SECOND


@given(limit=limits, pauses=st.lists(st.integers(0, 100 * SECOND), max_size=60))
def test_no_time_holds_more_attempts_than_a_budget_and_what_grew_back(limit: Limit, pauses: list[int]) -> None:
    budget = budget_of(Limiter.LOGIN, limit, "ada")
    moment, heard = 0, []
    for now in accumulate(pauses, initial=NOW):
        moved, wait = spend(moment, now, budget)
        if not wait:
            moment = moved
            heard.append(now)
    for first, begin in enumerate(heard):
        for last, end in enumerate(heard[first:], first):
            assert last - first + 1 <= limit.attempts + (end - begin) // budget.interval


@given(limit=limits, moment=moments, now=moments)
def test_who_waits_as_long_as_told_is_heard_and_nobody_before(limit: Limit, moment: int, now: int) -> None:
    budget = budget_of(Limiter.LOGIN, limit, "ada")
    _, wait = spend(moment, now, budget)
    if wait:
        # What lies too far ahead is taken for the end of a whole budget, from where the waiting began.
        moment = min(moment, now + budget.whole)
        assert spend(moment, now + wait - 1, budget)[1] == 1
        assert spend(moment, now + wait, budget)[1] == 0


@given(limit=limits, moment=moments, now=moments)
def test_nobody_waits_for_longer_than_one_attempt_takes_to_grow_back(limit: Limit, moment: int, now: int) -> None:
    budget = budget_of(Limiter.LOGIN, limit, "ada")
    assert spend(moment, now, budget)[1] <= budget.interval, "even when the clock was set back"


@pytest.mark.parametrize(
    ("microseconds", "seconds"), [(0, 1), (1, 1), (SECOND - 1, 1), (SECOND, 1), (SECOND + 1, 2), (90 * SECOND, 90)]
)
def test_seconds_to_wait_are_whole_and_never_too_few(microseconds: int, seconds: int) -> None:
    assert whole_seconds(microseconds) == seconds


@given(who=st.lists(st.text(st.characters(), max_size=300), min_size=1, max_size=2))
def test_a_key_says_nothing_of_who_it_is(who: list[str]) -> None:
    key = budget_of(Limiter.LOGIN, Limit(1, 1), *who).key
    assert len(key) == len("login:") + 32
    assert key.removeprefix("login:").isalnum()


def test_others_have_other_budgets() -> None:
    limit = Limit(10, 900)
    who = [("ada",), ("bob",), ("ada", "192.0.2.1/32"), ("ada", "192.0.2.2/32"), ("bob", "192.0.2.1/32"), ("\ud800",)]
    budgets = [budget_of(limiter, limit, *each) for each in who for limiter in Limiter]
    assert len({budget.key for budget in budgets}) == len(budgets)

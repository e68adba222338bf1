"""C1 in the model: with all its rules the protocol never answers wrongly, and without any one of them it does.

`AUTHSVC_MODEL=deep` looks at two faults, a fence and two warm-ups together: 1,293,991 states, two minutes, 520 MB.
"""

import os

import pytest

from tests.model.protocol import ALL, Bounds, Protocol, Rule
from tests.model.search import TooMany, find_violation

WORLDS = (Bounds(faults=2, fences=1, warm_ups=1), Bounds(faults=0, fences=0, warm_ups=2))
"""In which all rules together are shown to hold."""
DEEP = Bounds(faults=2, fences=1, warm_ups=2)

CAUGHT = {
    Rule.MODE_IS_READ_AFTER_COMMIT: Bounds(faults=0, fences=1, warm_ups=1),
    Rule.EVERY_CALL_CHECKS_THE_OWNER: Bounds(faults=1, fences=0, warm_ups=0),
    Rule.THE_OWNER_IS_CHECKED_IN_THE_CALL: Bounds(faults=1, fences=0, warm_ups=0),
    Rule.A_RELOAD_FORGETS_THE_OWNER: Bounds(faults=1, fences=0, warm_ups=0),
    Rule.MARKER_AND_ENTRIES_LIVE_TOGETHER: Bounds(faults=1, fences=0, warm_ups=0),
    Rule.AN_UNCONFIRMED_WRITE_FENCES: Bounds(faults=0, fences=0, warm_ups=0),
    Rule.A_FENCE_WAITS: Bounds(faults=0, fences=0, warm_ups=0),
    Rule.A_NEW_EPOCH_WAITS: Bounds(faults=1, fences=0, warm_ups=1),
    Rule.THE_SCAN_FOLLOWS_THE_FLIP: Bounds(faults=0, fences=1, warm_ups=1),
    Rule.THE_MARKER_IS_RAISED_BY_ITS_OWNER_ONLY: Bounds(faults=1, fences=0, warm_ups=1),
    Rule.A_WARM_UP_ENDS_BY_COMPARE_AND_SET: Bounds(faults=0, fences=1, warm_ups=1),
    Rule.NOBODY_JOINS_A_BATCH_THAT_WAS_SENT: Bounds(faults=0, fences=0, warm_ups=0),
    Rule.THE_LEASE_RUNS_FROM_THE_QUESTION: Bounds(faults=0, fences=0, warm_ups=0),
    Rule.WARMING_IS_WRITTEN_TO_AS_WELL: Bounds(faults=0, fences=1, warm_ups=1),
    Rule.A_WARM_UP_SENDS_NOTHING_TWICE: Bounds(faults=1, fences=0, warm_ups=0),
    Rule.A_RETRY_MAKES_IT_KNOWN_AGAIN: Bounds(faults=0, fences=0, warm_ups=0),
}
"""The least world in which the want of each rule shows."""


@pytest.mark.parametrize("bounds", WORLDS)
def test_the_protocol_never_answers_wrongly(bounds: Bounds) -> None:
    story, states = find_violation(Protocol(ALL, bounds), most=1_000_000)
    assert story is None
    assert states > 10_000


@pytest.mark.skipif(os.environ.get("AUTHSVC_MODEL") != "deep", reason="takes minutes: set AUTHSVC_MODEL=deep")
@pytest.mark.timeout(3600)
def test_the_protocol_never_answers_wrongly_in_a_larger_world() -> None:
    story, states = find_violation(Protocol(ALL, DEEP), most=5_000_000)
    assert story is None
    assert states > 500_000


def test_every_rule_can_be_removed() -> None:
    assert CAUGHT.keys() == ALL


@pytest.mark.parametrize("rule", CAUGHT, ids=lambda rule: rule.name.lower())
def test_without_a_rule_it_does(rule: Rule) -> None:
    story, _ = find_violation(Protocol(ALL - {rule}, CAUGHT[rule]), most=1_000_000)
    assert story is not None, "the rule does nothing, or the model does not see what it does"
    assert story[-1] == "reader answers active"


@pytest.mark.parametrize("rule", CAUGHT, ids=lambda rule: rule.name.lower())
def test_in_the_same_world_all_rules_together_hold(rule: Rule) -> None:
    """It is part of one that was searched."""
    assert any(all(most <= more for most, more in zip(CAUGHT[rule], world, strict=True)) for world in WORLDS)


def test_a_search_that_was_broken_off_shows_nothing() -> None:
    with pytest.raises(TooMany):
        find_violation(Protocol(), most=100)

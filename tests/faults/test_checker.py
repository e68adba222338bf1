"""The checker finds every broken promise in a history, and none where what happened is allowed."""

from math import inf

import pytest

from tests.faults.checker import Verdict, check, check_stored
from tests.faults.history import History, Other, Reading, Revoking, Token, Told


def token(*marks: str, asked: float = 0, given: float = 1, expires: float = inf) -> Token:
    marks = marks or ("j:1", "c:a", "*")
    return Token("text", marks, {mark: 7 for mark in marks if mark[0] in "uc*"}, asked, given, expires)


def read(begin: float, end: float, told: Told, what: Token | None = None) -> Reading:
    return Reading(begin, end, "a", what or token(), told)


def revoked(begin: float, end: float, mark: str = "j:1", told: Told = Told.DONE) -> Revoking:
    return Revoking(begin, end, "a", mark, told)


def rules(history: History) -> list[str]:
    return [violation.rule for violation in check(history).violations]


@pytest.mark.parametrize("mark", ["j:1", "c:a", "*"])
def test_active_after_a_revocation_has_returned_is_found(mark: str) -> None:
    assert rules(History([read(5.1, 5.2, Told.ACTIVE)], [revoked(4, 5, mark)])) == ["C1"]


@pytest.mark.parametrize("begin", [3.0, 4.5, 5.0])
def test_an_introspection_that_overlaps_the_revocation_may_see_either(begin: float) -> None:
    for told in (Told.ACTIVE, Told.INACTIVE):
        assert rules(History([read(begin, 5.5, told)], [revoked(4, 5)])) == []


def test_inactive_before_anybody_began_to_revoke_is_found() -> None:
    assert rules(History([read(2, 3, Told.INACTIVE)], [revoked(4, 5)])) == ["C4"]
    assert rules(History([read(2, 3, Told.INACTIVE)])) == ["C4"]


def test_the_revocation_of_another_mark_allows_nothing_and_forbids_nothing() -> None:
    history = History([read(6, 7, Told.ACTIVE), read(6, 7, Told.INACTIVE)], [revoked(4, 5, "j:2")])
    assert rules(history) == ["C4"]


@pytest.mark.parametrize("told", [Told.UNAVAILABLE, Told.LOST])
def test_a_revocation_that_was_not_acknowledged_promises_nothing_and_may_have_happened(told: Told) -> None:
    for answer in (Told.ACTIVE, Told.INACTIVE):
        assert rules(History([read(600, 601, answer)], [revoked(4, 5, told=told)])) == []


def test_one_that_is_still_under_way_may_have_happened() -> None:
    history = History([read(6, 7, Told.INACTIVE)])
    history.begin_revoking("j:1", 5)
    assert rules(history) == []


def test_a_later_acknowledged_try_of_one_that_was_not_counts() -> None:
    history = History([read(9, 10, Told.ACTIVE)], [revoked(4, 5, told=Told.UNAVAILABLE), revoked(6, 8)])
    assert rules(history) == ["C1"]


def test_of_two_at_once_the_one_that_returned_first_counts() -> None:
    history = History([read(6, 7, Told.ACTIVE)], [revoked(3, 9), revoked(4, 5)])
    assert rules(history) == ["C1"]


@pytest.mark.parametrize("mark", ["u:x", "c:a", "*"])
def test_a_raised_number_spares_what_was_asked_for_later(mark: str) -> None:
    later = token(mark, asked=6, given=6.5)
    assert rules(History([read(7, 8, Told.ACTIVE, later)], [revoked(4, 5, mark)])) == []
    assert rules(History([read(7, 8, Told.INACTIVE, later)], [revoked(4, 5, mark)])) == ["C4"]


def test_a_raised_number_may_or_may_not_kill_what_is_minted_meanwhile() -> None:
    meanwhile = token("u:x", asked=4.2, given=4.8)
    for told in (Told.ACTIVE, Told.INACTIVE):
        assert rules(History([read(7, 8, told, meanwhile)], [revoked(4, 5, "u:x")])) == []


def test_a_number_of_whose_raising_nobody_knows_may_kill_what_is_minted_later() -> None:
    later = token("u:x", asked=6, given=6.5)
    assert rules(History([read(7, 8, Told.INACTIVE, later)], [revoked(4, 5, "u:x", Told.LOST)])) == []


def test_a_presence_kills_whatever_carries_it() -> None:
    later = token("s:1", asked=6, given=6.5)
    assert rules(History([read(7, 8, Told.ACTIVE, later)], [revoked(4, 5, "s:1")])) == ["C1"]


def test_an_expired_token_may_be_inactive() -> None:
    assert rules(History([read(2, 3, Told.INACTIVE, token(expires=3))])) == []
    assert rules(History([read(2, 3, Told.INACTIVE, token(expires=3.5))])) == ["C4"]


def test_no_answer_and_unavailable_are_no_violation() -> None:
    history = History([read(6, 7, Told.UNAVAILABLE), read(6, 7, Told.LOST)], [revoked(4, 5)])
    assert rules(history) == []


def test_counted_is_what_could_have_been_wrong() -> None:
    """What overlaps the revocation could not, nor what nobody answered."""
    told = [(2, 3, Told.ACTIVE), (4.2, 4.4, Told.ACTIVE), (6, 7, Told.INACTIVE), (6, 7, Told.LOST)]
    assert check(History([read(*each) for each in told], [revoked(4, 5)])) == Verdict([], 2)


def test_any_other_status_is_found() -> None:
    history = History([read(2, 3, Told.WRONG)], [revoked(4, 5, told=Told.WRONG)])
    history.others.append(Other(1, 2, "a", "mint", Told.WRONG, "500"))
    assert rules(history) == ["status"] * 3


def test_an_acknowledged_mark_that_is_not_stored_is_found() -> None:
    history = History(revokings=[revoked(4, 5), revoked(4, 5, "j:2", Told.LOST)])
    assert [violation.rule for violation in check_stored(history, {}, [])] == ["durability"]
    assert check_stored(history, {"j:1": 1}, []) == []


def test_an_acknowledged_number_that_is_stored_too_low_is_found() -> None:
    history = History(revokings=[revoked(4, 5, "c:a")])
    assert [violation.rule for violation in check_stored(history, {"c:a": 7}, [token()])] == ["durability"]
    assert check_stored(history, {"c:a": 8}, [token()]) == []
    assert check_stored(history, {"c:a": 7}, [token(asked=6, given=6.5)]) == []


def test_a_long_history_is_judged_in_the_time_it_takes_to_read_it() -> None:
    """Ten thousand revocations of one mark, twenty thousand introspections: quadratic would take minutes."""
    revokings = [revoked(at, at + 0.5, "c:a") for at in range(10_000)]
    readings = [
        read(at / 10, at / 10 + 0.1, Told.ACTIVE, token("c:a", asked=at / 10 - 0.2, given=at / 10 - 0.1))
        for at in range(0, 100_000, 5)
    ]
    assert check(History(readings, revokings)).violations == []


def test_a_token_of_a_key_that_was_killed_needs_no_mark_of_its_own() -> None:
    history = History(revokings=[revoked(4, 5)])
    assert check_stored(history, {"k:1": 1}, [token("j:1", "k:1")]) == []
    assert check_stored(history, {"k:2": 1}, [token("j:1", "k:1")]) != []

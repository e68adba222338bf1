"""When Redis is not asked: for a while that doubles, and then by one call alone."""

import pytest

from authsvc.caches.breaker import FAILURES, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Breaker
from tests.house_of import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def breaker(clock: FakeClock) -> Breaker:
    return Breaker(clock)


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        breaker.failed()


def test_everybody_may_ask_until_it_has_failed_a_few_times_in_a_row(breaker: Breaker) -> None:
    for _ in range(3):
        fail(breaker, FAILURES - 1)
        assert breaker.admits()
        assert not breaker.is_open
        breaker.succeeded()
    fail(breaker)
    assert breaker.is_open
    assert not breaker.admits()


def test_after_a_pause_one_call_asks_and_the_others_wait_for_its_word(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(FIRST_PAUSE_SECONDS - 0.001)
    assert not breaker.admits()
    clock.advance(0.001)
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert not breaker.is_open
    assert all(breaker.admits() for _ in range(3))


def test_each_vain_try_doubles_the_pause_to_a_limit_and_success_makes_it_short_again(
    breaker: Breaker, clock: FakeClock
) -> None:
    fail(breaker)
    pauses = []
    for _ in range(8):
        start = clock.elapsed
        while not breaker.admits():
            clock.advance(0.5)
        pauses.append(clock.elapsed - start)
        breaker.failed()
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]
    breaker.succeeded()
    fail(breaker)
    clock.advance(FIRST_PAUSE_SECONDS)
    assert breaker.admits()


def test_who_asked_before_and_fails_late_does_not_make_the_pause_longer(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker, FAILURES + 50)
    clock.advance(FIRST_PAUSE_SECONDS)
    assert breaker.admits()


def test_a_try_that_is_given_up_is_made_by_somebody_else_after_the_pause(breaker: Breaker, clock: FakeClock) -> None:
    fail(breaker)
    clock.advance(FIRST_PAUSE_SECONDS)
    assert breaker.admits()
    assert not breaker.admits()
    clock.advance(FIRST_PAUSE_SECONDS)
    assert breaker.admits()

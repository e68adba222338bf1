"""What a client is told, and for how long it is tried (BCL-01, BCL-02, BCL-05)."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.backchannel_logout import (
    LONGEST_PAUSE,
    MOST_FAULTS,
    MOST_REFUSALS,
    WAITED_FOR,
    Outcome,
    build_claims,
    judge,
    pause_after,
)

SECOND = timedelta(seconds=1)


def test_a_logout_token_says_which_session_of_whom_and_nothing_that_an_id_token_says() -> None:
    told = build_claims(issuer="https://id.example", client_id="cli_1", sub="usr_1", sid="s", jti="j", now=1000)
    assert told == {
        "iss": "https://id.example", "aud": "cli_1", "iat": 1000, "exp": 1120, "jti": "j", "sub": "usr_1", "sid": "s",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DELIVERED), (204, Outcome.DELIVERED), (400, Outcome.REFUSED), (401, Outcome.REFUSED),
        (404, Outcome.REFUSED), (408, Outcome.FAULT), (429, Outcome.FAULT), (500, Outcome.FAULT), (503, Outcome.FAULT),
        (302, Outcome.FAULT), (100, Outcome.FAULT),
    ],
)  # fmt: skip
def test_what_a_client_answers_is_understood(status: int, outcome: Outcome) -> None:
    assert judge(status) is outcome


def tries(outcome: Outcome) -> list[timedelta]:
    """The pauses between tries that all end like this."""
    pauses: list[timedelta] = []
    while (pause := pause_after(outcome, len(pauses) + 1, sum(pauses, timedelta()))) is not None:
        pauses.append(pause)
    return pauses


def test_who_refuses_is_tried_three_times_and_who_has_a_fault_for_two_minutes() -> None:
    assert tries(Outcome.REFUSED) == [SECOND, 2 * SECOND]
    assert len(tries(Outcome.REFUSED)) == MOST_REFUSALS - 1
    assert len(tries(Outcome.FAULT)) == MOST_FAULTS - 1
    assert sum(tries(Outcome.FAULT), timedelta()) == 127 * SECOND


def test_who_is_away_is_waited_for_a_day() -> None:
    pauses = tries(Outcome.AWAY)
    assert pauses[:9] == [SECOND * 2**n for n in range(9)]
    assert set(pauses[9:]) == {LONGEST_PAUSE}
    assert WAITED_FOR <= sum(pauses, timedelta()) < WAITED_FOR + LONGEST_PAUSE


@given(tries=st.integers(1, 10_000), age=st.timedeltas(timedelta(0), timedelta(days=3)))
def test_every_try_is_the_last_or_followed_by_another_soon(tries: int, age: timedelta) -> None:
    for outcome in (Outcome.REFUSED, Outcome.FAULT, Outcome.AWAY):
        pause = pause_after(outcome, tries, age)
        assert pause is None or (SECOND <= pause <= LONGEST_PAUSE and age < WAITED_FOR)

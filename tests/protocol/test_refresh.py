"""RFC 9700 §4.14.2 (spec: REF-03, REF-04, ATK-14, ATK-70 to 76)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from authsvc.protocol.refresh import (
    PREFIX,
    RETRY_WINDOW,
    Presented,
    RefreshToken,
    build_refresh_token,
    judge,
    parse_refresh_token,
)

KEY = bytes(range(32))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = RETRY_WINDOW
IDS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=40)


@given(IDS, st.integers(0, 2**32 - 1))
def test_what_was_built_is_read_back(grant_id: str, place: int) -> None:
    token = RefreshToken(grant_id, place)
    assert parse_refresh_token(KEY, build_refresh_token(KEY, token)) == token


@given(st.text())
def test_whatever_else_comes_is_nobodys(text: str) -> None:
    assert parse_refresh_token(KEY, text) is None
    assert parse_refresh_token(KEY, PREFIX + text) is None


@given(IDS, st.integers(0, 100), st.data())
def test_one_changed_letter_makes_it_nobodys(grant_id: str, place: int, data: st.DataObject) -> None:
    text = build_refresh_token(KEY, RefreshToken(grant_id, place))
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="ascii"))
    altered = text[:at] + letter + text[at + 1 :]
    assert (parse_refresh_token(KEY, altered) is None) == (altered != text)


def test_another_key_opens_nothing() -> None:
    assert parse_refresh_token(bytes(32), build_refresh_token(KEY, RefreshToken("g", 0))) is None


@pytest.mark.parametrize(
    ("presented", "live", "age", "verdict"),
    [
        (0, 1, timedelta(0), Presented.RETRIED),
        (0, 1, WINDOW, Presented.RETRIED),
        (0, 1, WINDOW + timedelta(microseconds=1), Presented.REUSED),
        (0, 2, timedelta(0), Presented.REUSED),
        (5, 9, timedelta(0), Presented.REUSED),
        (1, 1, timedelta(0), Presented.REFUSED),
        (2, 1, timedelta(0), Presented.REFUSED),
    ],
)
def test_what_a_token_that_comes_back_means(presented: int, live: int, age: timedelta, verdict: Presented) -> None:
    assert judge(presented=presented, live=live, rotated_at=NOW - age, now=NOW, came_at=NOW) is verdict


@pytest.mark.parametrize(
    ("presented", "came_before", "verdict"),
    [
        (5, timedelta(0), Presented.REUSED),  # it came when its child was used already
        (5, timedelta(microseconds=1), Presented.REFUSED),  # it was held up: then it was the parent of an unused child
        (4, timedelta(microseconds=1), Presented.REUSED),
        (6, timedelta(microseconds=1), Presented.RETRIED),
        (8, timedelta(microseconds=1), Presented.REFUSED),
    ],
)
def test_what_a_token_that_was_held_up_means(presented: int, came_before: timedelta, verdict: Presented) -> None:
    rotated_at = NOW - timedelta(seconds=5)
    came_at = rotated_at - came_before
    assert judge(presented=presented, live=7, rotated_at=rotated_at, now=NOW, came_at=came_at) is verdict


class Family(RuleBasedStateMachine):
    """One family, an honest client that loses answers, and a thief with a copy of any token that ever was."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.live = 0
        self.rotated_at: datetime | None = None
        self.is_over = False
        self.used: set[int] = set()

    def present(self, place: int) -> int | None:
        """The place of the token that is handed out."""
        if self.is_over:
            return None
        if place == self.live:
            self.live, self.rotated_at = place + 1, self.now
            self.used.add(place)
            return self.live
        verdict = judge(presented=place, live=self.live, rotated_at=self.rotated_at, now=self.now, came_at=self.now)
        if verdict is Presented.REUSED:
            self.is_over = True
        return self.live if verdict is Presented.RETRIED else None

    @rule(back=st.integers(0, 5))
    def somebody_presents_a_token(self, back: int) -> None:
        place = max(0, self.live - back)
        child_was_used = place + 1 in self.used
        handed_out = self.present(place)
        if handed_out is not None:
            assert handed_out == place + 1, "only ever its own child"
            assert not child_was_used, "and that only while nobody used it"

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @invariant()
    def at_most_one_token_lives(self) -> None:
        assert self.live not in self.used


TestFamily = Family.TestCase

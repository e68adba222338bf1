"""AUD-05, AUD-06: the vocabulary is closed, and whatever is changed after it was sealed is noticed."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.models import AuditEvent, AuditSeal
from authsvc.protocol.audit import Event, Inspection, Level, build_seal, digest_events, level_of

KEY = b"k" * 32
NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)

Chain = list[tuple[AuditSeal, list[AuditEvent]]]


def an_event(event_id: int, **changes: Any) -> AuditEvent:
    event = AuditEvent(
        at=NOW, event="user_created", level="warn", via="http", request_id="r", address="192.0.2.1", sub="usr_1",
        client_id="cli_1", sid="s", details={"b": 1, "a": [True, "x"]}, event_id=event_id,
    )  # fmt: skip
    return replace(event, **changes)


def a_chain(*sizes: int) -> Chain:
    chain: Chain = []
    next_id = 1
    for size in sizes:
        events = [an_event(next_id + at) for at in range(size)]
        next_id += size
        last = chain[-1][0] if chain else None
        chain.append((build_seal(KEY, last, events, NOW + timedelta(seconds=next_id)), events))
    return chain


def faults_of(chain: Chain, key: bytes = KEY) -> list[str]:
    inspection = Inspection(key)
    return [fault for seal, events in chain for fault in inspection.walk(seal, events)]


@pytest.mark.parametrize("event", list(Event))
def test_every_event_has_a_level_and_is_written_as_it_is_called(event: Event) -> None:
    assert level_of(event) in Level
    assert event.value == event.name.lower()


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (Event.AUTHN_LOGIN_SUCCESS, Level.INFO),
        (Event.AUTHN_LOGIN_FAIL, Level.WARN),
        (Event.AUTHN_TOKEN_REUSE, Level.CRITICAL),
        (Event.AUTHN_PASSWORD_CHANGE, Level.INFO),
        (Event.AUTHN_PASSWORD_CHANGE_FAIL, Level.CRITICAL),
        (Event.AUTHZ_FAIL, Level.CRITICAL),
        (Event.USER_DELETED, Level.WARN),
    ],
)
def test_the_levels_are_owasps(event: Event, level: Level) -> None:
    assert level_of(event) is level


@given(st.lists(st.integers(1, 5), max_size=6))
def test_an_untouched_chain_has_no_fault(sizes: list[int]) -> None:
    assert faults_of(a_chain(*sizes)) == []


CHANGES: dict[str, Any] = {
    "at": NOW + timedelta(microseconds=1), "event": "user_deleted", "level": "info", "via": "cli", "request_id": None,
    "address": "192.0.2.2", "sub": "usr_2", "client_id": None, "sid": "", "details": {"b": 1, "a": [True, "y"]},
    "event_id": 77,
}  # fmt: skip


def test_every_member_of_an_event_has_a_change_to_try() -> None:
    assert CHANGES.keys() == {each.name for each in fields(AuditEvent)}


@pytest.mark.parametrize("name", CHANGES)
def test_an_event_that_was_altered_is_noticed(name: str) -> None:
    chain = a_chain(2, 3)
    events = chain[1][1]
    events[1] = replace(events[1], **{name: CHANGES[name]})
    assert faults_of(chain) == ["seal 2: an event was altered"]


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=4))
def test_the_order_of_the_details_is_nothing_that_was_sealed(details: dict[str, Any]) -> None:
    turned = dict(reversed(details.items()))
    assert digest_events([an_event(1, details=details)]) == digest_events([an_event(1, details=turned)])


def test_members_cannot_trade_places() -> None:
    assert digest_events([an_event(1, sub="a", client_id=None)]) != digest_events(
        [an_event(1, sub=None, client_id="a")]
    )


def test_an_event_that_is_gone_or_was_slipped_in_is_noticed() -> None:
    chain = a_chain(2, 3)
    gone = chain[1][1].pop()
    assert faults_of(chain) == ["seal 2: 3 events were sealed, 2 are there"]
    chain[0][1].append(gone)
    assert faults_of(chain)[0] == "seal 1: 2 events were sealed, 3 are there"


def test_a_batch_that_is_gone_is_noticed_unless_all_before_it_are_gone_too() -> None:
    chain = a_chain(2, 3, 1)
    chain[1][1].clear()
    assert faults_of(chain) == ["seal 2: 3 events were sealed, 0 are there"]
    chain[0][1].clear()
    assert faults_of(chain) == [], "they were let go with age, whole batches, the oldest first"


def test_a_seal_that_is_gone_is_noticed() -> None:
    chain = a_chain(1, 1, 1)
    assert faults_of(chain[1:])[0] == "seal 2: seals before it are missing"
    assert faults_of([chain[0], chain[2]])[0] == "seal 3: seals before it are missing"


@pytest.mark.parametrize("name", ["previous", "digest", "link"])
def test_a_seal_that_was_altered_is_noticed(name: str) -> None:
    chain = a_chain(1, 1, 1)
    changes: dict[str, Any] = {name: bytes(32)}
    chain[1] = (replace(chain[1][0], **changes), chain[1][1])
    assert "seal 2: the seal was altered, or made under another key" in faults_of(chain)


def test_the_time_of_a_seal_is_sealed() -> None:
    ((seal, events),) = a_chain(1)
    assert faults_of([(replace(seal, sealed_at=NOW), events)])


def test_who_rewrites_the_whole_chain_needs_the_key() -> None:
    assert faults_of(a_chain(2, 3)) == []
    assert len(faults_of(a_chain(2, 3), key=b"x" * 32)) == 2

"""The master key: what it seals it opens, and while it is exchanged, the one before it opens too (JWK-10)."""

import pytest

from authsvc.errors import ConfigurationError
from authsvc.protocol.keys import format_master_key, master_key_id
from authsvc.protocol.master_key import MasterKey

OLD, NEW, STRANGE = bytes(range(32)), bytes(range(50, 82)), bytes(range(100, 132))
NONCE = bytes(12)


def sealed_by(key: bytes, name: str = "a") -> tuple[bytes, str]:
    master_key = MasterKey(key)
    return master_key.seal(name, b"secret", NONCE), master_key.id


def test_what_it_seals_it_opens() -> None:
    assert MasterKey(NEW).open("a", *sealed_by(NEW)) == b"secret"


def test_the_previous_one_opens_and_does_not_seal() -> None:
    both = MasterKey(NEW, OLD)
    assert both.open("a", *sealed_by(OLD)) == both.open("a", *sealed_by(NEW)) == b"secret"
    assert both.id == master_key_id(NEW)
    assert MasterKey(NEW).open("a", both.seal("a", b"secret", NONCE), both.id) == b"secret"


@pytest.mark.parametrize("previous", [None, OLD])
def test_what_neither_sealed_stays_shut_and_the_operator_is_told_which_one_is_needed(previous: bytes | None) -> None:
    sealed, strange_id = sealed_by(STRANGE)
    with pytest.raises(ConfigurationError) as caught:
        MasterKey(NEW, previous).open("a", sealed, strange_id)
    assert caught.value.faults == (
        f"the master key does not open a: it has the id {master_key_id(NEW)}, and {strange_id} is needed",
    )


@pytest.mark.parametrize(("name", "claimed"), [("b", OLD), ("a", NEW)])
def test_the_id_beside_it_is_believed_by_nobody(name: str, claimed: bytes) -> None:
    """Moved to another row, or put down to another key."""
    sealed, _ = sealed_by(OLD)
    with pytest.raises(ConfigurationError):
        MasterKey(NEW, OLD).open(name, sealed, master_key_id(claimed))


def test_both_are_read_from_their_settings() -> None:
    both = MasterKey.parse(format_master_key(NEW), format_master_key(OLD) + "\n")
    assert both.open("a", *sealed_by(OLD)) == b"secret"
    assert MasterKey.parse(format_master_key(NEW)).id == both.id
    for texts in (("short", format_master_key(OLD)), (format_master_key(NEW), "short")):
        with pytest.raises(ConfigurationError):
            MasterKey.parse(*texts)

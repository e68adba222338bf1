"""The key before the hash: how it is read, and how a stored hash names it (PWS-03)."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import ConfigurationError
from authsvc.protocol.peppers import Pepper, Peppers, format_stored, parse_pepper, parse_stored

TEXT = "kR1f1V9T5jv2g8Gq0yPj3m8bW7c4aZ6xN1oQeUuHsYI"
PHC = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$uW4hkbxS8ltU5i9eZ1HVdYpIqQjQVNtZdqRlDfSyVwY"


def test_a_pepper_is_hmac_sha_256_under_a_key_that_is_not_shown() -> None:
    pepper = parse_pepper(TEXT + "\n")
    assert len(pepper.key) == 32
    assert pepper.apply(b"a password") == hmac.digest(pepper.key, b"a password", "sha256")
    assert repr(pepper) == f"Pepper(id='{pepper.id}')"


def test_the_id_of_a_pepper_is_its_own_and_tells_nothing() -> None:
    one, same, other = parse_pepper(TEXT), parse_pepper(TEXT + "="), parse_pepper(TEXT[::-1].replace("I", "A", 1))
    assert one.id == same.id != other.id
    assert len(one.id) == 16
    assert one.id not in one.key.hex()


@pytest.mark.parametrize("text", ["", "short", TEXT[:-1], TEXT + "AAAA", "A" * 43, "ü" * 43, TEXT.replace("k", "+")])
def test_what_is_no_pepper_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="the password pepper is not") as caught:
        parse_pepper(text)
    assert "authsvc pepper generate" in str(caught.value)
    assert not text or text not in str(caught.value)


def test_known_are_the_current_one_and_the_other() -> None:
    one, other = Pepper("1" * 16, b"1"), Pepper("2" * 16, b"2")
    assert (Peppers().current, Peppers().find(one.id)) == (None, None)
    both = Peppers(one, other)
    assert (both.current, both.find(one.id), both.find(other.id)) == (one, one, other)
    assert (Peppers(None, other).current, Peppers(None, other).find(other.id)) == (None, other)


def test_a_stored_hash_names_its_pepper_in_front() -> None:
    pepper = parse_pepper(TEXT)
    assert format_stored(pepper, PHC) == f"p:{pepper.id}{PHC}"
    assert parse_stored(format_stored(pepper, PHC)) == (pepper.id, PHC)
    assert format_stored(None, PHC) == PHC
    assert parse_stored(PHC) == (None, PHC)


@given(st.text() | st.from_regex(r"p:[0-9a-fA-F]{14,18}\$?.*"))
def test_any_text_is_read_as_what_it_says_and_comes_back(text: str) -> None:
    pepper_id, phc = parse_stored(text)
    if pepper_id is None:
        assert phc == text
    else:
        assert format_stored(Pepper(pepper_id, b""), phc) == text
        assert phc.startswith("$")

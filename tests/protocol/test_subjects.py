"""What clients call users: one name in one sector, and no way from one name to another (IDT-10)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.models import SubjectType
from authsvc.protocol.subjects import PLAIN, Hidden, Names, open_sealed, seal, subject
from tests.protocol.asking import CLIENT

SECRET, OTHER = bytes(range(32)), bytes(32)
SECTOR, USER = "client.example", "usr_1"
NAMES = Names(SECTOR, SECRET)

IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
SECRETS = st.binary(min_size=32, max_size=32)


def test_a_name_is_what_it_has_always_been() -> None:
    """A change of how names are made would make strangers of all users."""
    assert subject(SECRET, SECTOR, USER) == "uAHTMzGNo4fJcsOaLkQM7q6v22fWZ0G7GaxCnGKG4oA"
    assert NAMES.of_session("sid_1") == "OepCmpj8FIirg4wCGiYWLwfga67oBpbGs3Dvma25_-Y"


@given(SECRETS, IDS, IDS, SECRETS, IDS, IDS)
def test_a_name_is_stable_and_differs_by_secret_sector_and_user(
    secret: bytes, sector: str, user: str, other_secret: bytes, other_sector: str, other_user: str
) -> None:
    told = subject(secret, sector, user)
    assert told == subject(secret, sector, user)
    for others in ((other_secret, sector, user), (secret, other_sector, user), (secret, sector, other_user),
                   (other_secret, other_sector, other_user), (secret, user, sector)):  # fmt: skip
        assert (subject(*others) == told) == (others == (secret, sector, user))


@given(SECRETS, IDS, IDS)
def test_a_name_fits_where_a_sub_goes_and_holds_nothing_of_the_id(secret: bytes, sector: str, user: str) -> None:
    told = subject(secret, sector, user)
    assert len(told) == 43  # of 255 ASCII letters at most (Core §2)
    assert told.isascii()
    assert len(user) < 4 or user not in told


def test_what_is_joined_is_not_parted_in_another_way() -> None:
    assert subject(SECRET, "ab", "c") != subject(SECRET, "a", "bc")


def test_a_session_has_a_name_for_each_sector_and_none_that_a_user_has() -> None:
    other = Names("other.example", SECRET)
    told = {NAMES.of_session("id"), NAMES.of_user("id"), other.of_session("id"), other.of_user("id"), "id"}
    assert len(told) == 5
    assert NAMES.of_session("id") == Names(SECTOR, SECRET).of_session("id")


def test_most_clients_know_users_as_we_do() -> None:
    for names in (PLAIN, Names.of(CLIENT, SECRET)):
        assert (names.of_user("id"), names.of_session("id")) == ("id", "id")
    pairwise = Names.of(replace(CLIENT, subject_type=SubjectType.PAIRWISE), SECRET)
    assert pairwise.of_user(USER) == subject(SECRET, SECTOR, USER)


def test_no_name_is_made_without_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        Names(SECTOR).of_user(USER)
    assert "secret" not in repr(NAMES)


# --- In access tokens


@given(SECRETS, IDS, st.builds(Hidden, IDS, st.integers(0, 2**53), st.none() | IDS))
def test_what_is_sealed_is_opened_with_the_same_secret_for_the_same_token(
    secret: bytes, jti: str, hidden: Hidden
) -> None:
    text = seal(secret, jti, hidden)
    assert open_sealed(secret, jti, text) == hidden
    assert open_sealed(secret, jti + "x", text) is None
    assert open_sealed(bytes(byte ^ 1 for byte in secret), jti, text) is None


def test_a_user_looks_different_in_each_token_and_as_long_as_any_other() -> None:
    one, two = (seal(SECRET, jti, Hidden(USER, 0, "sid_1")) for jti in ("j_1", "j_2"))
    assert one[:8] != two[:8]
    assert len(one) == len(seal(SECRET, "j_1", Hidden("usr_2", 2**53, "sid_2")))


@given(st.data())
def test_what_was_altered_is_not_opened(data: st.DataObject) -> None:
    text = seal(SECRET, "j_1", Hidden(USER, 7, "sid_1"))
    place = data.draw(st.integers(0, len(text) - 2))  # the last letter has bits that say nothing
    letter = data.draw(st.sampled_from("AZaz09-_").filter(lambda each: each != text[place]))
    assert open_sealed(SECRET, "j_1", text[:place] + letter + text[place + 1 :]) is None


@pytest.mark.parametrize("text", ["", "A", "AAAA", "A" * 100, "ü", "\ud800", "a b", "\0", "=" * 30])
def test_what_is_no_seal_is_none(text: str) -> None:
    assert open_sealed(SECRET, "j_1", text) is None

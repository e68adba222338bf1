"""Signing keys: made, sealed, published, signing, retired, removed."""

from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import ConfigurationError
from authsvc.models import SigningKey
from authsvc.protocol.jwt import ALGORITHMS, Signer, Verified, Verifier, verify
from authsvc.protocol.keys import (
    KeyState,
    build_jwks,
    format_master_key,
    generate,
    master_key_id,
    newest_signer,
    open_private,
    parse_master_key,
    published,
    seal_private,
    signer_of,
    state_of,
)

MASTER_KEY = bytes(range(100, 132))
NONCE = bytes(range(12))
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def key(kid: str, *, signs_from: int | None, verifies_until: int | None = None, algorithm: str = "ES256") -> SigningKey:
    """A row, with its times in minutes from now."""
    return SigningKey(
        kid=kid,
        algorithm=algorithm,
        public_jwk={"kty": "EC", "use": "sig", "alg": algorithm, "kid": kid, "crv": "P-256", "x": "x", "y": "y"},
        sealed_private=b"",
        master_key_id="",
        created_at=NOW,
        signs_from=_minutes(signs_from),
        verifies_until=_minutes(verifies_until),
    )


def _minutes(offset: int | None) -> datetime | None:
    return None if offset is None else NOW + timedelta(minutes=offset)


# --- Making a key


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_key_signs_what_its_published_half_verifies(algorithm: str) -> None:
    new = generate(algorithm)
    token = Signer.from_private_bytes(new.kid, new.private_bytes).sign("JWT", {"a": 1})

    assert verify(token, {new.kid: Verifier.from_jwk(new.public_jwk)}, typ="JWT") == Verified(new.kid, {"a": 1})
    assert (new.public_jwk["kid"], new.public_jwk["alg"], new.public_jwk["use"]) == (new.kid, algorithm, "sig")


def test_a_new_key_does_not_print_its_private_half() -> None:
    new = generate("Ed25519")

    assert repr(new) == f"GeneratedKey(kid={new.kid!r}, algorithm='Ed25519')"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "EdDSA", "es256", ""])
def test_there_are_no_keys_for_other_algorithms(algorithm: str) -> None:
    """ALG-01."""
    with pytest.raises(ValueError, match="algorithm"):
        generate(algorithm)


# --- At rest (JWK-10, ATK-110)


@given(st.binary(max_size=200), st.text(max_size=43), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_again(private: bytes, kid: str, nonce: bytes) -> None:
    assert open_private(MASTER_KEY, kid, seal_private(MASTER_KEY, kid, private, nonce)) == private


def _altered(sealed: bytes, position: int) -> bytes:
    return sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]


SEALED = seal_private(MASTER_KEY, "kid", b"private", NONCE)


def test_what_is_sealed_cannot_be_read() -> None:
    assert b"private" not in SEALED


@pytest.mark.parametrize(
    ("master_key", "kid", "sealed"),
    [
        pytest.param(MASTER_KEY[::-1], "kid", SEALED, id="another master key"),
        pytest.param(b"short", "kid", SEALED, id="no master key at all"),
        pytest.param(MASTER_KEY, "other", SEALED, id="the row of another key"),
        *(pytest.param(MASTER_KEY, "kid", _altered(SEALED, at), id=f"byte {at} altered") for at in (0, 1, 12, 13, -1)),
        *(pytest.param(MASTER_KEY, "kid", SEALED[:length], id=f"cut to {length}") for length in (0, 1, 12, 13, 28)),
        pytest.param(MASTER_KEY, "kid", SEALED + b"\0", id="longer"),
    ],
)
def test_what_does_not_open_is_for_the_operator_to_mend(master_key: bytes, kid: str, sealed: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"signing key {kid}"):
        open_private(master_key, kid, sealed)


def test_the_cause_of_a_wrong_master_key_goes_to_the_log() -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_private(MASTER_KEY[::-1], "kid", SEALED)

    assert raised.value.faults == ("the master key does not open signing key kid",)
    assert isinstance(raised.value.__cause__, InvalidTag)


def test_a_nonce_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        seal_private(MASTER_KEY, "kid", b"private", b"short")


# --- The master key


@given(st.binary(min_size=32, max_size=32).filter(lambda drawn: len(set(drawn)) >= 16))
def test_a_master_key_comes_back_from_its_text(master_key: bytes) -> None:
    text = format_master_key(master_key)

    assert len(text) == 43
    for written in (text, text + "=", f" {text}\n"):
        assert parse_master_key(written) == master_key


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not 32 bytes"),
        ("change-me", "not 32 bytes"),
        (MASTER_KEY.hex(), "not 32 bytes"),
        (b64encode(bytes(range(224, 256))).decode(), "not 32 bytes"),
        (urlsafe_b64encode(MASTER_KEY[:31]).decode(), "not 32 bytes"),
        (urlsafe_b64encode(MASTER_KEY + b"x").decode(), "not 32 bytes"),
        (format_master_key(MASTER_KEY)[:-1] + "N", "not 32 bytes"),
        (format_master_key(MASTER_KEY)[:20] + "!" + format_master_key(MASTER_KEY)[20:], "not 32 bytes"),
        (format_master_key(MASTER_KEY).replace("a", "а"), "not 32 bytes"),
        ("A" * 43, "not random"),
        (format_master_key(b"secret" * 5 + b"xx"), "not random"),
        (format_master_key(b"0123456789abcde" * 2 + b"00"), "not random"),
    ],
)
def test_a_bad_master_key_is_refused_without_being_shown(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault) as raised:
        parse_master_key(text)

    assert not text or text not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_id_of_a_master_key_is_its_own_and_tells_nothing_of_it() -> None:
    master_keys = [MASTER_KEY, MASTER_KEY[::-1], bytes(32)]
    ids = [master_key_id(each) for each in master_keys]

    assert len(set(ids)) == 3
    assert ids == [master_key_id(each) for each in master_keys]
    assert {len(each) for each in ids} == {16}


# --- In use (JWK-06)

STATES = [
    # (signs_from, verifies_until) of the key asked about, of the other key, state
    ("only published", (None, None), None, "next"),
    ("begins later", (1, None), None, "next"),
    ("begins now", (0, None), None, "active"),
    ("the only one", (-9, None), None, "active"),
    ("killed before it began", (None, 0), None, "removed"),
    ("killed before its time", (5, -1), None, "removed"),
    ("the other is only published", (-9, None), (None, None), "active"),
    ("the other begins later", (-9, 99), (1, None), "active"),
    ("the other begins now", (-9, 99), (0, None), "retired"),
    ("the other has begun", (-9, 99), (-1, None), "retired"),
    ("no end was written", (-9, None), (-1, None), "retired"),
    ("the end is now", (-9, 0), (-1, None), "removed"),
    ("the end is past", (-9, -1), (-1, None), "removed"),
    ("one minute before the end", (-9, 1), (-1, None), "retired"),
    ("the newer one was killed", (-9, 99), (-1, 0), "active"),
    ("the newer of two", (-1, None), (-9, 99), "active"),
    ("the next of two", (None, None), (-9, None), "next"),
    ("killed while it signs", (-1, 0), (-9, 99), "removed"),
]


@pytest.mark.parametrize(("asked", "other", "state"), [pytest.param(*row, id=name) for name, *row in STATES])
def test_the_state_of_a_key_is_read_off_its_times(
    asked: tuple[int | None, int | None], other: tuple[int | None, int | None] | None, state: str
) -> None:
    one = key("one", signs_from=asked[0], verifies_until=asked[1])
    keys = [one] if other is None else [one, key("two", signs_from=other[0], verifies_until=other[1])]

    assert state_of(one, keys, NOW) == state
    assert state_of(one, keys[::-1], NOW) == state
    assert (one in published(keys, NOW)) == (state != "removed")


def test_a_key_of_another_algorithm_retires_nobody() -> None:
    old, new = key("old", signs_from=-9), key("new", signs_from=-1, algorithm="RS256")

    assert [state_of(each, [old, new], NOW) for each in (old, new)] == [KeyState.ACTIVE, KeyState.ACTIVE]


NEXT = key("next", signs_from=None)
SOON = key("soon", signs_from=1)
ACTIVE = key("active", signs_from=-1)
RETIRED = key("retired", signs_from=-9, verifies_until=9)
OVER = key("over", signs_from=-9, verifies_until=0)
RSA = key("rsa", signs_from=-99, algorithm="RS256")
RSA_NEXT = key("rsa-next", signs_from=None, algorithm="RS256")


@pytest.mark.parametrize(
    ("keys", "algorithm", "signer"),
    [
        ([], "ES256", None),
        ([NEXT], "ES256", None),
        ([SOON], "ES256", None),
        ([OVER], "ES256", None),
        ([NEXT, SOON, ACTIVE, RETIRED, OVER], "ES256", ACTIVE),
        ([RETIRED, NEXT], "ES256", RETIRED),
        ([ACTIVE, RSA], "RS256", RSA),
        ([ACTIVE, RSA], "ES256", ACTIVE),
        ([ACTIVE, RSA], "Ed25519", None),
        ([ACTIVE, RSA_NEXT], "RS256", None),
    ],
)
def test_the_newest_key_that_has_begun_signs(keys: list[SigningKey], algorithm: str, signer: SigningKey | None) -> None:
    assert signer_of(keys, algorithm, NOW) == signer
    assert signer_of(keys[::-1], algorithm, NOW) == signer


@pytest.mark.parametrize(
    ("keys", "signer"), [([], None), ([NEXT, SOON, OVER], None), ([ACTIVE, RSA, RETIRED], ACTIVE), ([RSA, NEXT], RSA)]
)
def test_the_newest_of_all_that_sign_is_found_whatever_it_signs_with(
    keys: list[SigningKey], signer: SigningKey | None
) -> None:
    assert newest_signer(keys, NOW) == newest_signer(keys[::-1], NOW) == signer


def test_workers_agree_on_the_signer_when_two_keys_began_together() -> None:
    """JWK-08."""
    twins = [key("a", signs_from=-1), key("b", signs_from=-1)]

    assert signer_of(twins, "ES256", NOW) == signer_of(twins[::-1], "ES256", NOW)
    assert sorted(state_of(each, twins, NOW) for each in twins) == ["active", "retired"]


def test_a_rotation_leaves_no_instant_without_a_signer_nor_a_token_without_its_key() -> None:
    """JWK-06, ATK-111: publish, wait, sign; the old key goes when its last token has expired."""
    lifetime = 10
    old = key("old", signs_from=-60, verifies_until=5 + lifetime)
    new = key("new", signs_from=5)
    seen = []
    for minute in range(-2, 20):
        now = NOW + timedelta(minutes=minute)
        signer = signer_of([old, new], "ES256", now)
        assert signer is not None
        assert signer in published([old, new], now)
        if minute >= lifetime:
            before = signer_of([old, new], "ES256", now - timedelta(minutes=lifetime, microseconds=-1))
            assert before in published([old, new], now)
        seen.append((state_of(old, [old, new], now), state_of(new, [old, new], now)))

    assert list(dict.fromkeys(seen)) == [("active", "next"), ("retired", "active"), ("removed", "active")]


@given(st.lists(st.tuples(st.none() | st.integers(-3, 3), st.none() | st.integers(-3, 3)), max_size=5))
def test_who_signs_is_active_and_published(times: list[tuple[int | None, int | None]]) -> None:
    keys = [key(str(n), signs_from=begin, verifies_until=end) for n, (begin, end) in enumerate(times)]
    active = [each for each in keys if state_of(each, keys, NOW) is KeyState.ACTIVE]
    signer = signer_of(keys, "ES256", NOW)

    assert active == ([] if signer is None else [signer])
    assert signer is None or signer in published(keys, NOW)


# --- The JWKS


def test_the_jwks_holds_public_members_only_whatever_a_row_holds() -> None:
    """JWK-01, JWK-02, JWK-03, ATK-87."""
    secrets = dict.fromkeys(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "private", "sealed_private"), "secret")
    careless = key("kid", signs_from=None)
    careless.public_jwk.update(secrets)
    jwks = build_jwks([careless])

    assert list(jwks) == ["keys"]
    assert jwks["keys"][0].keys() == {"kty", "use", "alg", "kid", "crv", "x", "y"}
    assert "secret" not in repr(jwks)


def test_the_jwks_shows_every_kind_of_key_as_a_verifier_reads_it() -> None:
    rows = []
    for algorithm in ALGORITHMS:
        new = generate(algorithm)
        row = key(new.kid, signs_from=None, algorithm=algorithm)
        row.public_jwk.clear()
        row.public_jwk.update(new.public_jwk)
        rows.append(row)
    shown = build_jwks(rows)["keys"]

    assert [Verifier.from_jwk(each).algorithm for each in shown] == list(ALGORITHMS)
    for one, other in combinations(shown, 2):
        assert one["kid"] != other["kid"]

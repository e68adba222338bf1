"""The public keys of clients, and which signatures are theirs (CLA-13, JWT-01 to JWT-05, JWT-14)."""

import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from authsvc.protocol.client_keys import ALGORITHMS, MAX_KEYS, check_keys, has_kid, is_signed_by, parse_keys
from authsvc.protocol.jwt import Foreign, read_foreign
from tests import signing
from tests.signing import Hand, encode, segment

HANDS = {algorithm: Hand(algorithm, kid=f"key of {algorithm}") for algorithm in ALGORITHMS}
CLAIMS = {"sub": "cli_1"}


def read(token: str) -> Foreign:
    jwt = read_foreign(token)
    assert isinstance(jwt, Foreign)
    return jwt


def is_good(token: str, *keys: dict[str, Any], algorithms: tuple[str, ...] = ALGORITHMS) -> bool:
    return is_signed_by(parse_keys({"keys": list(keys)}), read(token), algorithms)


def test_the_tests_know_every_algorithm() -> None:
    assert signing.ALGORITHMS == ALGORITHMS


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_a_key_has_signed_is_known(algorithm: str) -> None:
    hand = HANDS[algorithm]
    assert is_good(hand.sign(CLAIMS), hand.jwk())
    assert is_good(hand.sign(CLAIMS), hand.jwk(alg=None, use=None))
    assert is_good(hand.sign(CLAIMS, kid=None), hand.jwk())
    assert is_good(hand.sign(CLAIMS, kid=None), hand.jwk(kid=None))
    assert is_good(hand.sign(CLAIMS), *(each.jwk() for each in HANDS.values()))


def test_ed25519_goes_by_both_its_names() -> None:  # JWT-16
    for token, key in (("Ed25519", "EdDSA"), ("EdDSA", "Ed25519")):
        assert is_good(HANDS[token].sign(CLAIMS), HANDS[token].jwk(alg=key))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_another_key_has_signed_is_not(algorithm: str) -> None:
    hand, other = HANDS[algorithm], Hand(algorithm, kid=f"another of {algorithm}")
    assert not is_good(other.sign(CLAIMS, kid=hand.kid), hand.jwk())
    assert not is_good(hand.sign(CLAIMS, kid="another"), hand.jwk())
    assert not is_good(hand.sign(CLAIMS), hand.jwk(kid=None))
    first, second, _ = hand.sign(CLAIMS).split(".")
    assert not is_good(f"{first}.{segment({'sub': 'cli_2'})}.{hand.sign(CLAIMS).split('.')[2]}", hand.jwk())
    assert not is_good(f"{first}.{second}.", hand.jwk())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_header_does_not_choose_the_algorithm(algorithm: str) -> None:  # JWT-01, JWT-02
    hand = HANDS[algorithm]
    same = {"Ed25519", "EdDSA"}
    for other in ("none", "None", "nOnE", "", "HS256", "HS512", "ES384", "RS512", *ALGORITHMS):
        if other != algorithm and not {other, algorithm} <= same:
            assert not is_good(hand.sign(CLAIMS, alg=other), hand.jwk(alg=None))


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_an_rsa_key_is_for_the_algorithm_that_it_names(algorithm: str) -> None:
    hand = HANDS[algorithm]
    other = {"PS256": "RS256", "RS256": "PS256"}[algorithm]
    assert is_good(hand.sign(CLAIMS), hand.jwk(alg=None))
    assert not is_good(hand.sign(CLAIMS), hand.jwk(alg=other))


def test_only_the_algorithms_of_the_client_count() -> None:
    assert not is_good(HANDS["RS256"].sign(CLAIMS), HANDS["RS256"].jwk(), algorithms=("ES256",))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_public_key_is_no_secret_to_make_codes_with(algorithm: str) -> None:  # JWT-03, ATK-80
    hand = HANDS[algorithm]
    pem = hand.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing_input = f"{segment({'alg': 'HS256', 'kid': hand.kid})}.{segment(CLAIMS)}"
    token = f"{signing_input}.{encode(hmac.digest(pem, signing_input.encode(), hashlib.sha256))}"
    assert not is_good(token, hand.jwk(), hand.jwk(alg=None))
    assert not is_good(token, hand.jwk(), algorithms=("HS256",))


@pytest.mark.parametrize("member", ["jwk", "x5c", "jku", "x5u"])
def test_a_key_that_comes_along_is_not_looked_at(member: str) -> None:  # JWT-04
    stranger = Hand(kid=HANDS["ES256"].kid)
    value = {"jwk": stranger.jwk(), "x5c": ["MIIB"]}.get(member, "https://evil.example/jwks")
    assert not is_good(stranger.sign(CLAIMS, **{member: value}), HANDS["ES256"].jwk())
    assert is_good(HANDS["ES256"].sign(CLAIMS, **{member: value}), HANDS["ES256"].jwk())


def test_a_signature_in_der_is_none() -> None:  # JWT-14
    hand = HANDS["ES256"]
    assert isinstance(hand.key, ec.EllipticCurvePrivateKey)
    signing_input = ".".join(hand.sign(CLAIMS).split(".")[:2])
    der = hand.key.sign(signing_input.encode(), ec.ECDSA(SHA256()))
    assert not is_good(f"{signing_input}.{encode(der)}", hand.jwk())


OTHER_KEYS: dict[str, Any] = {
    "a short RSA key": lambda: {"kty": "RSA", "n": encode((1 << 1023 | 1).to_bytes(128, "big")), "e": "AQAB"},
    "a huge RSA key": lambda: {"kty": "RSA", "n": encode((1 << 16383 | 1).to_bytes(2048, "big")), "e": "AQAB"},
    "another curve": lambda: ECKey.generate_key("P-384").as_dict(private=False),
    "a point that is not on its curve": lambda: HANDS["ES256"].jwk(x=encode(bytes(32))),
    "a secret": lambda: {"kty": "oct", "k": encode(bytes(32))},
    "for encryption": lambda: HANDS["ES256"].jwk(use="enc"),
    "for something else": lambda: HANDS["ES256"].jwk(use=7),
    "to sign with": lambda: HANDS["ES256"].jwk(key_ops=["sign"]),
    "of another algorithm": lambda: HANDS["ES256"].jwk(alg="ES384"),
    "of an algorithm of another type": lambda: HANDS["ES256"].jwk(alg="RS256"),
    "an algorithm that is a list": lambda: HANDS["ES256"].jwk(alg=["ES256"]),
    "a kid that is a number": lambda: HANDS["ES256"].jwk(kid=1),
    "an empty kid": lambda: HANDS["ES256"].jwk(kid=""),
    "a long kid": lambda: HANDS["ES256"].jwk(kid="k" * 129),
    "no type": lambda: HANDS["ES256"].jwk(kty=None),
    "a type that is an object": lambda: HANDS["ES256"].jwk(kty={}),
    "no key": dict,
    "a text": lambda: "key",
    "nothing": lambda: None,
}


@pytest.mark.parametrize("case", OTHER_KEYS)
def test_a_key_of_another_kind_is_passed_over_where_it_is_fetched_and_refused_where_it_is_registered(case: str) -> None:
    other, hand = OTHER_KEYS[case](), HANDS["ES256"]
    assert len(parse_keys({"keys": [other, hand.jwk(kid="good")]})) == 1
    with pytest.raises(ValueError, match="key"):
        check_keys({"keys": [other]})


@pytest.mark.parametrize("member", ["d", "p", "k"])
def test_a_private_key_is_refused(member: str) -> None:
    with pytest.raises(ValueError, match="private"):
        check_keys(HANDS["ES256"].key_set(**{member: encode(bytes(32))}))


def test_of_several_keys_each_has_its_name() -> None:
    one, two = Hand(kid="one"), Hand(kid="two")
    assert check_keys({"keys": [one.jwk(), two.jwk()], "more": 1}) == {"keys": [one.jwk(), two.jwk()]}
    for names in (("one", "one"), ("one", None), (None, None)):
        with pytest.raises(ValueError, match="kid"):
            check_keys({"keys": [hand.jwk(kid=kid) for hand, kid in zip((one, two), names, strict=True)]})


@pytest.mark.parametrize("document", [None, [], {}, "keys", {"keys": {}}, {"keys": [{}] * (MAX_KEYS + 1)}])
def test_what_is_no_key_set_is_none(document: object) -> None:
    for read_it in (parse_keys, check_keys):
        with pytest.raises(ValueError, match="key"):
            read_it(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "crv", "x", "y", "n", "e"]),
    JSON | st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519", "ES256", "sig", "AQAB", encode(bytes(32))]),
)


@given(st.lists(MEMBERS | JSON, max_size=3), st.text(max_size=4) | st.none())
def test_whatever_is_fetched_is_read_without_a_stumble(members: list[Any], kid: str | None) -> None:
    keys = parse_keys({"keys": members})
    assert len(keys) <= len(members)
    assert not is_signed_by(keys, read(HANDS["ES256"].sign(CLAIMS, kid=kid)), ALGORITHMS)
    assert not keys or has_kid(keys, None)

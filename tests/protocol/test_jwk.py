"""Keys as JSON: what is shown, what is read, what they are called."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import SecurityWarning

from authsvc.models import JsonObject
from authsvc.protocol.jwk import build_public_jwk, import_public_key, public_members

PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

EC = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "alg": "ES256",
}
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "Ed25519"}
RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3o"
    "knjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvR"
    "L5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
}


@pytest.mark.parametrize(
    ("jwk", "thumbprint"),
    [
        pytest.param(EC, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I", id="JWK-04 EC"),
        pytest.param(OKP, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", id="JWK-04 OKP, RFC 8037 A.3"),
        pytest.param(RSA, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", id="JWK-04 RSA, RFC 7638 3.1"),
    ],
)
def test_a_key_is_shown_whole_and_named_by_its_thumbprint(jwk: JsonObject, thumbprint: str) -> None:
    """JWK-03: `use`, `alg` and `kid` are on every key."""
    assert build_public_jwk(import_public_key(jwk)) == {**jwk, "use": "sig", "kid": thumbprint}


def test_coordinates_keep_their_leading_zero() -> None:
    """JWK-05: this key's x starts with 0x00, and is 32 bytes all the same."""
    jwk = build_public_jwk(derive_private_key(379, SECP256R1()).public_key())

    x = urlsafe_b64decode(jwk["x"] + "=")
    assert (len(x), x[0]) == (32, 0)
    assert build_public_jwk(import_public_key(jwk)) == jwk


def test_rsa_numbers_have_no_leading_zero() -> None:
    """JWK-05. A DER integer would have one here, because the highest bit is set."""
    jwk = build_public_jwk(RSAPublicNumbers(e=65537, n=2**2048 - 1).public_key())

    assert urlsafe_b64decode(jwk["n"] + "==")[0] == 0xFF
    assert jwk["e"] == "AQAB"


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        ({}, "no type"),
        ({**EC, "kty": "oct", "k": "AAAA"}, "JWT-03: a symmetric key"),
        ({**EC, "kty": ["EC"]}, "a type that is no text"),
        ({**EC, "kty": "ec"}, "type in another case"),
        ({**EC, "alg": "RS256"}, "JWT-01: the algorithm of another type"),
        ({**EC, "alg": "HS256"}, "ATK-02: an algorithm that is not ours"),
        ({**EC, "alg": None}, "no algorithm"),
        ({"kty": "EC", "crv": "P-256", "alg": "ES256"}, "no point"),
        ({**EC, "y": EC["x"]}, "a point that is not on the curve"),
        ({**EC, "x": "AA", "y": "AA"}, "the zero point"),
        ({**EC, "x": 5}, "a coordinate that is no text"),
        ({**EC, "x": "!!"}, "a coordinate that is no base64"),
        ({**EC, "crv": "P-999"}, "an unknown curve"),
        ({**EC, "crv": "P-384"}, "the point is on another curve"),
        ({**OKP, "x": "AAAA"}, "a short Ed25519 key"),
        ({**OKP, "crv": "X25519"}, "a key that does not sign"),
        ({**OKP, "crv": "Ed448"}, "JWT-16: Ed448"),
        ({**OKP, "alg": "EdDSA"}, "our own keys have the fully specified name"),
        ({**RSA, "e": "AA"}, "an exponent of zero"),
        ({**RSA, "alg": "PS256"}, "an algorithm that we do not use"),
    ],
)
def test_a_key_that_is_not_for_us_is_refused(jwk: JsonObject, why: str) -> None:
    with pytest.raises(ValueError, match="key"):
        import_public_key(jwk)


def test_a_short_rsa_key_is_refused() -> None:
    """JWT-14: 2047 bits."""
    with pytest.warns(SecurityWarning), pytest.raises(ValueError, match="2048 bits"):
        import_public_key({**RSA, "n": "f" + RSA["n"][1:]})


def test_other_curves_are_not_shown() -> None:
    with pytest.raises(ValueError, match="P-256"):
        build_public_jwk(generate_ec_key(SECP384R1()).public_key())


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # of a short key, which is refused then
@given(st.dictionaries(st.sampled_from(sorted({*EC, *RSA, "use", "kid"})), st.text() | st.integers() | st.none()))
def test_reading_a_key_raises_nothing_but_value_error(members: dict[str, Any]) -> None:
    for base in (EC, {**RSA, "n": "0000000"}, RSA, OKP):
        try:
            import_public_key({**base, **members})
        except ValueError:
            continue


@given(st.dictionaries(st.sampled_from(sorted(PRIVATE_MEMBERS)) | st.text(), st.text(), min_size=1))
def test_only_known_public_members_are_ever_shown(extra: dict[str, str]) -> None:
    """JWK-02, ATK-87: an allow-list, so a private member of any name stays inside."""
    for base in (EC, RSA, OKP):
        assert public_members({**extra, **base}).keys() <= base.keys() | {"use", "kid"}


def test_a_private_key_in_json_is_read_as_a_public_one() -> None:
    private = Ed25519PrivateKey.generate()
    d = urlsafe_b64encode(private.private_bytes_raw()).rstrip(b"=").decode()
    jwk = build_public_jwk(private.public_key())

    assert build_public_jwk(import_public_key({**jwk, "d": d})) == jwk

"""The three signatures, against the vectors of their RFCs."""

from base64 import urlsafe_b64decode

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from authsvc.models import JsonObject
from authsvc.protocol.jwa import prepare_check, prepare_signing
from authsvc.protocol.jwk import import_public_key

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

JOE = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

RFC_VECTORS = [
    pytest.param(
        {
            "kty": "RSA",
            "alg": "RS256",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yR"
            "T-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7"
            "WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91"
            "kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        "eyJhbGciOiJSUzI1NiJ9." + JOE,
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
        "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12j"
        "zDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQ"
        "Ge77Rw",
        id="RS256, RFC 7515 A.2",
    ),
    pytest.param(
        {
            "kty": "EC",
            "alg": "ES256",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9." + JOE,
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        id="ES256, RFC 7515 A.3",
    ),
    pytest.param(
        {"kty": "OKP", "alg": "Ed25519", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        id="Ed25519, RFC 8037 A.4",
    ),
]


@pytest.mark.parametrize(("jwk", "signing_input", "signature"), RFC_VECTORS)
def test_the_signature_of_the_rfc_is_right_and_an_altered_one_is_wrong(
    jwk: JsonObject, signing_input: str, signature: str
) -> None:
    check = prepare_check(import_public_key(jwk))
    raw = _decode(signature)

    check(raw, signing_input.encode())

    altered = [raw[:-1] + bytes([raw[-1] ^ 1]), raw[:-1], raw + b"\0", b"\0" * len(raw), b"\xff" * len(raw), b""]
    for wrong in altered:
        with pytest.raises(InvalidSignature):
            check(wrong, signing_input.encode())
    with pytest.raises(InvalidSignature):
        check(raw, signing_input.encode() + b"x")


def test_es256_needs_no_chance_to_sign() -> None:
    """JWT-15: RFC 6979 A.2.5, P-256 with SHA-256, message "sample"."""
    key = derive_private_key(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721, SECP256R1())

    assert prepare_signing(key)(b"sample").hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )


def test_ed25519_signs_as_the_rfc_does() -> None:
    key = Ed25519PrivateKey.from_private_bytes(_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
    _, signing_input, signature = RFC_VECTORS[2].values

    assert prepare_signing(key)(str(signing_input).encode()) == _decode(str(signature))


def test_an_es256_signature_is_64_bytes_and_not_der() -> None:
    """JWT-14."""
    key = generate_ec_key(SECP256R1())
    check = prepare_check(key.public_key())

    assert len(prepare_signing(key)(b"text")) == 64
    with pytest.raises(InvalidSignature):
        check(key.sign(b"text", ECDSA(SHA256())), b"text")


def test_an_es256_signature_of_another_length_is_wrong_though_its_numbers_are_right() -> None:
    """Else a signature would have a second spelling: a zero more before s, or one less."""
    key = generate_ec_key(SECP256R1())
    check = prepare_check(key.public_key())
    sign = prepare_signing(key)
    text = next(text for text in (b"%d" % n for n in range(100_000)) if sign(text)[32] == 0)
    signature = sign(text)

    check(signature, text)
    for wrong in (signature[:32] + signature[33:], signature[:32] + b"\0" + signature[32:]):
        with pytest.raises(InvalidSignature):
            check(wrong, text)


def test_es256_has_two_signatures_for_one_text_so_nothing_is_keyed_on_token_text() -> None:
    key = generate_ec_key(SECP256R1())
    signature = prepare_signing(key)(b"text")
    s = int.from_bytes(signature[32:], "big")
    other = signature[:32] + (P256_ORDER - s).to_bytes(32, "big")

    assert other != signature
    prepare_check(key.public_key())(other, b"text")


@pytest.mark.parametrize(
    ("r", "s"), [(0, 0), (0, 1), (1, 0), (P256_ORDER, P256_ORDER), (2**256 - 1, 2**256 - 1), (1, P256_ORDER + 1)]
)
def test_es256_refuses_numbers_outside_of_its_group(r: int, s: int) -> None:
    """CVE-2022-21449: r = s = 0 was right for every text."""
    key = generate_ec_key(SECP256R1()).public_key()
    encode_dss_signature(r, s)  # the attack gets as far as the primitive

    with pytest.raises(InvalidSignature):
        prepare_check(key)(r.to_bytes(32, "big") + s.to_bytes(32, "big"), b"text")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))

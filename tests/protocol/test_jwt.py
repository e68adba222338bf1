"""Tokens from outside: only what was signed with our key, in our form and of the right kind, is verified."""

import hashlib
import hmac
import json
import string
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.models import JsonObject
from authsvc.protocol import keys
from authsvc.protocol.jwt import ALGORITHMS, MAX_TOKEN_BYTES, Rejected, Signer, Verified, Verifier, verify

TYP = "at+jwt"
CLAIMS: JsonObject = {
    "iss": "https://auth.example",
    "sub": "u_1",
    "exp": 1_700_000_600,
    "gen": {"u": 1, "c": 2, "g": 3},
}

KEYS = {algorithm: keys.generate(algorithm) for algorithm in ALGORITHMS}
SIGNERS = {name: Signer.from_private_bytes(key.kid, key.private_bytes) for name, key in KEYS.items()}
VERIFIERS = {key.kid: Verifier.from_jwk(key.public_jwk) for key in KEYS.values()}

KEY = KEYS["ES256"]
KID = KEY.kid
HEADER = {"alg": "ES256", "kid": KID, "typ": TYP}
TOKEN = SIGNERS["ES256"].sign(TYP, CLAIMS)


def forge(header: Any = HEADER, payload: Any = CLAIMS) -> str:
    """Header and payload as they are given, JSON or bytes, under a right signature of our own key."""
    signing_input = _segment(header) + "." + _segment(payload)
    return signing_input + "." + _encode(SIGNERS["ES256"]._sign(signing_input.encode()))


def _segment(content: Any) -> str:
    return _encode(content if isinstance(content, bytes) else json.dumps(content).encode())


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


# --- What is accepted


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_is_verified(algorithm: str) -> None:
    """JWT-01, JWT-14, ALG-02."""
    token = SIGNERS[algorithm].sign(TYP, CLAIMS)

    assert verify(token, VERIFIERS, typ=TYP) == Verified(KEYS[algorithm].kid, CLAIMS)
    assert pyjwt.get_unverified_header(token) == {"alg": algorithm, "kid": KEYS[algorithm].kid, "typ": TYP}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_library_verifies_our_signature(algorithm: str) -> None:
    signing_input, _, signature = SIGNERS[algorithm].sign(TYP, CLAIMS).rpartition(".")
    name = "EdDSA" if algorithm == "Ed25519" else algorithm  # RFC 9864 renamed it; PyJWT has the old name only
    public = pyjwt.PyJWK({**KEYS[algorithm].public_jwk, "alg": name}).key

    assert pyjwt.get_algorithm_by_name(name).verify(
        signing_input.encode(), public, pyjwt.utils.base64url_decode(signature)
    )


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_we_verify_the_signature_of_another_library(algorithm: str) -> None:
    key = KEYS[algorithm]
    private: Any = load_der_private_key(key.private_bytes, None)

    token = pyjwt.encode(CLAIMS, private, algorithm, {"kid": key.kid, "typ": TYP})

    assert verify(token, VERIFIERS, typ=TYP) == Verified(key.kid, CLAIMS)


@pytest.mark.parametrize("written", ["at+jwt", "at+JWT", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_the_kind_is_compared_as_a_media_type(written: str) -> None:
    """JWT-13."""
    assert isinstance(verify(forge({**HEADER, "typ": written}), VERIFIERS, typ=TYP), Verified)


@pytest.mark.parametrize("payload", [b'{ "a" : 1 }', b'\n{"a":1}\t', b'{"\\u0061":1}', b'{"a":1.0}'])
def test_the_spelling_of_json_is_free(payload: bytes) -> None:
    assert verify(forge(payload=payload), VERIFIERS, typ=TYP) == Verified(KID, {"a": 1})


# --- What is rejected

NOT_A_HEADER = "the header is not a header of ours"
NOT_A_PAYLOAD = "the payload is not one JSON object"
NOT_THREE = "not three segments of ASCII"
OTHER_KIND = "another kind of token"
OTHER_ALGORITHM = "alg is not the algorithm of the key"
UNKNOWN_KEY = "unknown kid"
WRONG_SIGNATURE = "wrong signature"

HEAD, PAYLOAD, SIGNATURE = TOKEN.split(".")

SHAPES = [
    ("JWT-09 empty", "", NOT_THREE),
    ("JWT-09 dots only", "..", NOT_A_HEADER),
    ("JWT-09 one segment", HEAD, NOT_THREE),
    ("JWT-09 two segments", f"{HEAD}.{PAYLOAD}", NOT_THREE),
    ("JWT-09 four segments", TOKEN + ".x", NOT_THREE),
    ("ATK-12 five segments are a JWE", "a.b.c.d.e", NOT_THREE),
    ("JWT-09 JSON serialization", json.dumps({"protected": HEAD, "payload": PAYLOAD, "signature": "x"}), NOT_THREE),
    ("JWT-09 padding on the header", f"{HEAD}=.{PAYLOAD}.{SIGNATURE}", NOT_A_HEADER),
    ("JWT-09 padding on the signature", TOKEN + "==", WRONG_SIGNATURE),
    ("JWT-09 no header", f".{PAYLOAD}.{SIGNATURE}", NOT_A_HEADER),
    ("JWT-09 no signature", f"{HEAD}.{PAYLOAD}.", WRONG_SIGNATURE),
    ("JWT-09 no payload", f"{HEAD}..{SIGNATURE}", WRONG_SIGNATURE),
    ("ATK-08 detached payload, signed so", forge(payload=b""), NOT_A_PAYLOAD),
    ("ATK-10 leading blank", " " + TOKEN, NOT_A_HEADER),
    ("ATK-10 line end", TOKEN + "\r\n", WRONG_SIGNATURE),
    ("ATK-10 blank inside", f"{HEAD}. {PAYLOAD}.{SIGNATURE}", WRONG_SIGNATURE),
    ("ATK-10 NUL", TOKEN + "\0", WRONG_SIGNATURE),
    ("ATK-10 not ASCII", TOKEN[:-1] + "é", NOT_THREE),
    ("ATK-10 fullwidth letter", TOKEN[:-1] + "Ａ", NOT_THREE),
    ("ATK-10 lone surrogate", TOKEN + "\ud800", NOT_THREE),
    ("plain base64 alphabet", f"{HEAD}.{PAYLOAD}.{'+/' * 43}", WRONG_SIGNATURE),
    ("ATK-11 longer than a token", TOKEN + "A" * MAX_TOKEN_BYTES, "longer than a token"),
    ("ATK-11 a million dots", "." * 1_000_000, "longer than a token"),
    ("ATK-11 header of 6 KB", forge({**HEADER, "kid": "x" * 5000}), UNKNOWN_KEY),
]  # fmt: skip

HEADERS = [
    *(
        (f"ATK-01 alg {name!r}", {**HEADER, "alg": name}, OTHER_ALGORITHM)
        for name in ("none", "None", "nOnE", "NONE", "")
    ),
    *(
        (f"JWT-01 alg {name!r}", {**HEADER, "alg": name}, OTHER_ALGORITHM)
        for name in ("RS256", "PS256", "HS256", "ES384", "Ed25519", "es256", " ES256", None, 5, ["ES256"], {"ES256": 1})
    ),
    *(
        (f"JWT-05 kid {number}", {**HEADER, "kid": kid}, UNKNOWN_KEY)  # the key is another one in each run
        for number, kid in enumerate(
            ("", "../../x", "' OR 1=1", "x" * 129, "x" * 5000, KID + "\0", KID.lower(), None, 5, [KID], {KID: 1})
        )
    ),
    *(
        (f"JWT-08 crit {crit!r}", {**HEADER, "crit": crit}, NOT_A_HEADER)
        for crit in (["bork"], [], "exp", 5, None, [["b64"]], {"b64": 1}, ["b64"])
    ),
    *(
        (f"JWT-04 {name}", {**HEADER, name: value}, NOT_A_HEADER)
        for name, value in {
            "jwk": KEY.public_jwk,
            "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/x",
            "x5c": ["MIIB"],
            "b64": False,
            "zip": "DEF",
            "cty": "JWT",
        }.items()
    ),
    *(
        (f"JWT-12 typ {typ!r}", {**HEADER, "typ": typ}, OTHER_KIND)
        for typ in ("JWT", "jwt", "logout+jwt", "dpop+jwt", "", "at+jwt ", "x/at+jwt", "application/", None, 5, [TYP])
    ),
    *((f"no {name}", {k: v for k, v in HEADER.items() if k != name}, NOT_A_HEADER) for name in HEADER),
    ("JWT-06 alg twice", f'{{"alg":"none","alg":"ES256","kid":"{KID}","typ":"{TYP}"}}'.encode(), NOT_A_HEADER),
    ("JWT-06 kid twice", f'{{"alg":"ES256","\\u006bid":"x","kid":"{KID}","typ":"{TYP}"}}'.encode(), NOT_A_HEADER),
    ("an array", [HEADER], NOT_A_HEADER),
    ("a text", "header", NOT_A_HEADER),
    ("null", None, NOT_A_HEADER),
    ("not JSON", b"header", NOT_A_HEADER),
    ("two values", b"{}{}", NOT_A_HEADER),
    ("JWT-17 BOM", b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), NOT_A_HEADER),
    ("JWT-17 UTF-16", json.dumps(HEADER).encode("utf-16"), NOT_A_HEADER),
    ("lone surrogate", json.dumps({**HEADER, "kid": "\ud800"}).encode(), NOT_A_HEADER),
    ("nesting", b"[" * 5800, NOT_A_HEADER),
]  # fmt: skip

PAYLOADS = [
    ("JWT-06 sub twice", b'{"sub":"a","sub":"b"}'),
    ("JWT-06 sub twice, escaped", b'{"s\\u0075b":"a","sub":"b"}'),
    ("JWT-06 twice within gen", b'{"gen":{"u":1,"u":0}}'),
    ("JWT-06 twice within an array", b'{"a":[{"b":1,"b":1}]}'),
    ("JWT-07 NaN", b'{"exp":NaN}'),
    ("JWT-07 Infinity", b'{"exp":Infinity}'),
    ("JWT-07 -Infinity", b'{"exp":-Infinity}'),
    ("JWT-07 1e400", b'{"exp":1e400}'),
    ("JWT-07 -1e400", b'{"exp":-1e400}'),
    ("ATK-16 5 000 digits", b'{"exp":' + b"9" * 5000 + b"}"),
    ("ATK-16 nesting of arrays", b"[" * 5900),
    ("ATK-16 an array", b'["a"]'),
    ("ATK-16 lone surrogate", b'{"sub":"\\ud800"}'),
    ("ATK-16 reversed surrogates", b'{"sub":"\\udc00\\ud800"}'),
    ("ATK-16 surrogate in UTF-8", b'{"sub":"\xed\xa0\x80"}'),
    ("JWT-17 BOM", b"\xef\xbb\xbf{}"),
    ("JWT-17 UTF-16", '{"a":1}'.encode("utf-16")),
    ("JWT-17 UTF-16 without BOM", '{"a":1}'.encode("utf-16-le")),
    ("JWT-17 UTF-32", '{"a":1}'.encode("utf-32")),
    ("JWT-17 Latin-1", b'{"a":"\xfc"}'),
    ("raw NUL", b'{"a":"\0"}'),
    ("a number", b"1"),
    ("a text", b'"a"'),
    ("null", b"null"),
    ("cut off", b'{"a":1'),
    ("two objects", b"{}{}"),
    ("a comment", b"{/**/}"),
    ("leading zero", b'{"a":01}'),
    ("trailing comma", b'{"a":1,}'),
]


@pytest.mark.parametrize(("token", "reason"), [pytest.param(t, r, id=name) for name, t, r in SHAPES])
def test_another_shape_is_rejected(token: str, reason: str) -> None:
    assert verify(token, VERIFIERS, typ=TYP) == Rejected(reason)


@pytest.mark.parametrize(("header", "reason"), [pytest.param(h, r, id=name) for name, h, r in HEADERS])
def test_another_header_is_rejected_even_under_our_signature(header: Any, reason: str) -> None:
    assert verify(forge(header), VERIFIERS, typ=TYP) == Rejected(reason)


@pytest.mark.parametrize("payload", [pytest.param(payload, id=name) for name, payload in PAYLOADS])
def test_another_payload_is_rejected_even_under_our_signature(payload: bytes) -> None:
    assert verify(forge(payload=payload), VERIFIERS, typ=TYP) == Rejected(NOT_A_PAYLOAD)


def _public_key_texts() -> dict[str, bytes]:
    public: Any = pyjwt.PyJWK(KEY.public_jwk).key
    spki = PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(Encoding.PEM, spki)
    return {
        "PEM": pem,
        "PEM without its last line end": pem.rstrip(),
        "PEM after a blank": b" " + pem,
        "PEM after a BOM": b"\xef\xbb\xbf" + pem,
        "DER": public.public_bytes(Encoding.DER, spki),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "JWK": json.dumps(KEY.public_jwk).encode(),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "ATK-03 nothing": b"",
    }


@pytest.mark.parametrize("secret", [pytest.param(secret, id=name) for name, secret in _public_key_texts().items()])
@pytest.mark.parametrize("claimed", ["HS256", "ES256"])
def test_our_public_key_is_no_secret_to_sign_with(secret: bytes, claimed: str) -> None:
    """JWT-03, ATK-02."""
    signing_input = _segment({**HEADER, "alg": claimed}) + "." + PAYLOAD
    token = signing_input + "." + _encode(hmac.digest(secret, signing_input.encode(), hashlib.sha256))

    assert isinstance(verify(token, VERIFIERS, typ=TYP), Rejected)


def test_a_right_signature_of_another_key_under_our_kid_is_wrong() -> None:
    """ATK-04, ATK-20."""
    stranger = keys.generate("ES256")
    token = Signer.from_private_bytes(KID, stranger.private_bytes).sign(TYP, CLAIMS)

    assert verify(token, VERIFIERS, typ=TYP) == Rejected(WRONG_SIGNATURE)


@pytest.mark.parametrize("segment", range(3))
def test_each_token_has_one_text(segment: int) -> None:
    """The unused bits of a last letter are zero: setting them would give the same bytes in another spelling."""
    segments = forge(payload=b'{"a":12}').split(".")  # 2 letters are left over here, and in a signature of 64 bytes
    rejected = 0
    for letter in string.ascii_letters + string.digits + "-_":
        other = [*segments[:segment], segments[segment][:-1] + letter, *segments[segment + 1 :]]
        rejected += isinstance(verify(".".join(other), VERIFIERS, typ=TYP), Rejected)

    assert rejected == 63


def test_the_kinds_of_token_are_not_mistaken_for_one_another() -> None:
    """JWT-12, ATK-18: only the diagonal passes."""
    kinds = ["at+jwt", "JWT", "logout+jwt", "secevent+jwt", "token-introspection+jwt", "statuslist+jwt"]
    passed = {
        (made, asked)
        for made in kinds
        for asked in kinds
        if isinstance(verify(SIGNERS["Ed25519"].sign(made, CLAIMS), VERIFIERS, typ=asked), Verified)
    }

    assert passed == {(kind, kind) for kind in kinds}


def test_a_letter_that_folds_to_ascii_does_not_make_a_kind() -> None:
    kelvin = "to\N{KELVIN SIGN}en-introspection+jwt"

    assert verify(forge({**HEADER, "typ": kelvin}), VERIFIERS, typ="token-introspection+jwt") == Rejected(OTHER_KIND)


# --- Length


def test_a_token_of_the_greatest_length_is_made_and_read_and_a_longer_one_is_neither() -> None:
    """JWT-09. Ed25519 and ES256 signatures are 86 letters."""
    room = MAX_TOKEN_BYTES - len(SIGNERS["ES256"].sign(TYP, {"a": ""}))
    longest = {"a": "x" * (room * 3 // 4 - 2)}
    token = SIGNERS["ES256"].sign(TYP, longest)

    assert MAX_TOKEN_BYTES - 8 < len(token) <= MAX_TOKEN_BYTES
    assert isinstance(verify(token, VERIFIERS, typ=TYP), Verified)
    with pytest.raises(ValueError, match="longer"):
        SIGNERS["ES256"].sign(TYP, {"a": "x" * (room * 3 // 4 + 8)})


# --- Order: what is cheap to refuse costs no signature


class NoVerifier(Verifier):
    """Fails the test when a signature is looked at."""

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        raise AssertionError("a signature was looked at")


@pytest.mark.parametrize(
    "token",
    [
        *(pytest.param(t, id=name) for name, t, reason in SHAPES if reason not in {WRONG_SIGNATURE, NOT_A_PAYLOAD}),
        *(pytest.param(forge(header), id=name) for name, header, _ in HEADERS),
        pytest.param(f"{HEAD}.{PAYLOAD}.{SIGNATURE}=", id="signature with padding"),
    ],
)  # fmt: skip
def test_garbage_costs_no_signature(token: str) -> None:
    """ATK-36."""
    watched = {KID: NoVerifier(KID, "ES256", lambda signature, signing_input: None)}

    assert isinstance(verify(token, watched, typ=TYP), Rejected)


def test_the_payload_is_not_read_before_the_signature_is_right() -> None:
    token = f"{HEAD}.{_encode(b'[' * 5000)}.{SIGNATURE}"

    assert verify(token, VERIFIERS, typ=TYP) == Rejected(WRONG_SIGNATURE)


# --- Never an exception


@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_does_not_raise(opening: str, closing: str, space: str) -> None:
    """ATK-16. How deep is too deep is for the interpreter to say; a RecursionError is a 500."""
    for depth in (10, 100, 500, 900, 2800):
        payload = f'{{"a":{space}{opening * depth}1{closing * depth}}}'.encode()
        assert isinstance(
            verify(forge(payload=payload), VERIFIERS, typ=TYP), Verified if depth <= 100 else (Verified, Rejected)
        )


@given(st.text() | st.text(alphabet="eyJ.-_=A \0", max_size=60) | st.builds(".".join, st.lists(st.text(), max_size=5)))
@settings(max_examples=150)
def test_no_text_raises(token: str) -> None:
    assert isinstance(verify(token, VERIFIERS, typ=TYP), Rejected)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec=None) | st.just(""))
@settings(max_examples=150)
def test_no_altered_token_passes(position: int, character: str) -> None:
    altered = TOKEN[:position] + character + TOKEN[position + 1 :]

    assert altered == TOKEN or isinstance(verify(altered, VERIFIERS, typ=TYP), Rejected)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit"]), JSON_VALUES | st.sampled_from(["ES256", KID, TYP])),
    JSON_VALUES | st.binary(),
)
@settings(max_examples=100)
def test_nothing_under_our_own_signature_raises(header: Mapping[str, Any], payload: Any) -> None:
    for forged in (forge(header, payload), forge(payload=payload)):
        found = verify(forged, VERIFIERS, typ=TYP)
        assert isinstance(found, Rejected) or isinstance(found.claims, dict)


@given(st.dictionaries(st.text(max_size=8), st.text() | st.integers(-(2**53), 2**53) | st.booleans()))
def test_every_object_of_claims_comes_back(claims: JsonObject) -> None:
    assert verify(SIGNERS["Ed25519"].sign(TYP, claims), VERIFIERS, typ=TYP) == Verified(KEYS["Ed25519"].kid, claims)


# --- Preparing keys


@pytest.mark.parametrize("kid", [None, "", 5, "x" * 129, ["k"]])
def test_a_key_without_a_usable_kid_does_not_verify(kid: object) -> None:
    with pytest.raises(ValueError, match="kid"):
        Verifier.from_jwk({**KEY.public_jwk, "kid": kid})


def test_private_keys_of_other_kinds_do_not_sign() -> None:
    """JWT-14: 1024 bits and P-384."""
    for key in (generate_ec_key(SECP384R1()), generate_rsa_key(65537, 1024)):
        with pytest.raises(ValueError, match=r"bits|P-256"):
            Signer.from_private_bytes("kid", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match=r"."):
        Signer.from_private_bytes("kid", b"garbage")


def test_a_signer_does_not_print_its_key() -> None:
    signer = SIGNERS["Ed25519"]
    secret = KEYS["Ed25519"].private_bytes[-32:]

    assert secret.hex() not in repr(signer)
    assert repr(secret)[2:-1] not in repr(signer)

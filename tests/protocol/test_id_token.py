"""ID tokens (OpenID Connect Core §2; spec: IDT-*)."""

from dataclasses import replace

import pytest

from authsvc.protocol.id_token import ACR_PASSWORD, ACR_VALUES, CLAIMS, IdToken, acr_of, build_claims, hash_of
from authsvc.protocol.jwa import ALGORITHMS

ACCESS_TOKEN = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
TOKEN = IdToken(
    issuer="https://auth.example",
    sub="usr_1",
    client_id="cli_1",
    issued_at=1000,
    expires_at=1600,
    authenticated_at=900,
    methods=("pwd",),
    sid="a session",
    nonce="n-0S6_WzA2Mj",
)


def test_it_tells_who_logged_in_when_and_how() -> None:  # IDT-01 to IDT-05
    assert build_claims(TOKEN, access_token=ACCESS_TOKEN, algorithm="RS256", profile={}) == {
        "iss": "https://auth.example",
        "sub": "usr_1",
        "aud": "cli_1",
        "exp": 1600,
        "iat": 1000,
        "auth_time": 900,
        "nonce": "n-0S6_WzA2Mj",
        "acr": ACR_PASSWORD,
        "amr": ["pwd"],
        "sid": "a session",
        "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
    }


def test_what_there_is_not_is_not_told() -> None:  # IDT-02: no nonce where none was sent
    bare = replace(TOKEN, authenticated_at=None, methods=(), sid=None, nonce=None)
    claims = build_claims(bare, access_token=ACCESS_TOKEN, algorithm="RS256", profile={})
    assert claims.keys() == {"iss", "sub", "aud", "exp", "iat", "at_hash"}


@pytest.mark.parametrize("nonce", ["", " ", '"\\\n', "ñ😀", "x" * 5000])
def test_the_nonce_is_told_letter_by_letter(nonce: str) -> None:  # IDT-02
    told = build_claims(replace(TOKEN, nonce=nonce), access_token=ACCESS_TOKEN, algorithm="RS256", profile={})
    assert told["nonce"] == nonce


def test_no_claim_of_the_user_takes_the_place_of_another() -> None:
    plain = build_claims(TOKEN, access_token=ACCESS_TOKEN, algorithm="RS256", profile={})
    profile = dict.fromkeys((*CLAIMS, "at_hash"), "evil") | {"name": "Ada"}
    assert build_claims(TOKEN, access_token=ACCESS_TOKEN, algorithm="RS256", profile=profile) == plain | {"name": "Ada"}


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("RS256", "77QmUPtjPfzWtF2AnpK9RQ"),
        ("ES256", "77QmUPtjPfzWtF2AnpK9RQ"),
        ("Ed25519", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM"),
    ],
)
def test_the_hash_of_the_access_token_goes_by_the_algorithm(algorithm: str, digest: str) -> None:  # IDT-05
    assert hash_of(ACCESS_TOKEN, algorithm) == digest
    told = build_claims(TOKEN, access_token=ACCESS_TOKEN, algorithm=algorithm, profile={})
    assert told["at_hash"] == digest


def test_every_algorithm_that_signs_has_a_hash() -> None:
    assert all(hash_of("x", algorithm) for algorithm in ALGORITHMS)


def test_a_login_with_a_password_alone_has_the_one_assurance_there_is() -> None:
    assert acr_of(("pwd",)) in ACR_VALUES
    assert acr_of(()) is acr_of(("pwd", "otp")) is acr_of(("hwk",)) is None

"""What the suite checks of every answer, in every module."""

import math
import re
from base64 import urlsafe_b64encode
from collections import Counter
from hashlib import sha256
from typing import Any

import httpx2
import jwt

from tests.oidf.provider import Provider

MIN_ENTROPY = 96
ID_TOKEN = {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash"}
"""What may stand in an ID token though nobody asked for it. Of the user it says nothing but who it is."""
TYPES: dict[str, type | tuple[type, ...]] = {
    "email_verified": bool, "phone_number_verified": bool, "updated_at": (int, float), "address": dict
}  # fmt: skip
"""Of the claims of UserInfo that are no texts."""

_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")


def check_is_random(secret: str) -> None:
    """By Shannon, from the letters that it has: a guess at the lowest, as the suite makes it."""
    counts = Counter(secret)
    per_letter = -sum(count / len(secret) * math.log2(count / len(secret)) for count in counts.values())
    assert len(secret) >= 16
    assert per_letter * len(secret) >= MIN_ENTROPY


def check_arrived(arrived: dict[str, str], sent: dict[str, str], issuer: str) -> None:
    """An authorization response, be it an error."""
    assert arrived.get("state") == sent.get("state")
    assert arrived["iss"] == issuer
    if "error" in arrived:
        assert arrived.keys() <= {"error", "error_description", "error_uri", "state", "iss"}
        assert _DESCRIPTION.fullmatch(arrived.get("error_description", ""))
    else:
        assert arrived.keys() <= {"code", "state", "iss"}
        check_is_random(arrived["code"])


def check_not_stored(answer: httpx2.Response) -> None:
    assert "no-store" in answer.headers["cache-control"]
    assert answer.headers["content-type"].split(";")[0] == "application/json"


def check_tokens(answer: httpx2.Response) -> dict[str, Any]:
    """A token response that gives something."""
    assert answer.status_code == 200, answer.text
    check_not_stored(answer)
    told: dict[str, Any] = answer.json()
    assert told["token_type"].lower() == "bearer"
    assert isinstance(told["expires_in"], int)
    assert told.keys() <= {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
    for name in ("access_token", "refresh_token"):
        if name in told:
            check_is_random(told[name])
    return told


def check_refused(answer: httpx2.Response, error: str) -> None:
    assert answer.status_code == 400, answer.text
    check_not_stored(answer)
    assert answer.json()["error"] == error


def read_id_token(provider: Provider, tokens: dict[str, Any], client_id: str, nonce: str | None) -> dict[str, Any]:
    """The claims of an ID token that is as it has to be."""
    token = tokens["id_token"]
    header = jwt.get_unverified_header(token)
    (key,) = [each for each in provider.keys if each["kid"] == header["kid"]]
    assert (header["alg"], key["alg"], key["use"]) == ("RS256", "RS256", "sig")
    told: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience=client_id, issuer=provider.issuer,
        options={"require": ["iss", "sub", "aud", "exp", "iat"]},
    )  # fmt: skip
    assert told["sub"] == provider.sub
    assert told.get("nonce") == nonce
    assert told["at_hash"] == _half_hash(tokens["access_token"])
    assert told.keys() <= ID_TOKEN
    return told


def _half_hash(text: str) -> str:
    return urlsafe_b64encode(sha256(text.encode("ascii")).digest()[:16]).rstrip(b"=").decode("ascii")


def check_userinfo(provider: Provider, answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    check_not_stored(answer)
    told: dict[str, Any] = answer.json()
    assert told["sub"] == provider.sub
    for name, value in told.items():
        assert isinstance(value, TYPES.get(name, str)), name
        if TYPES.get(name) is not bool and name != "address":
            assert not isinstance(value, bool)
            assert value != ""
    return told

"""The search of ATK-102 finds what it looks for, however it is written."""

import logging
from base64 import urlsafe_b64encode

import httpx2
import pytest

from tests.overheard import Ear, Overheard

LETTERS = urlsafe_b64encode(bytes(range(48))).decode()
JWT = f"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.{LETTERS}"
REFRESH = f"asr_{LETTERS}AAAAAHVzcl8x"


@pytest.fixture
def heard() -> Overheard:
    heard = Overheard()
    heard.secret(JWT)
    return heard


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"token={JWT}&hint=x",
        f"prefix_{LETTERS}",
        f'{{"signature": "{LETTERS}"}}',
        LETTERS[-24:],
        f"DETAIL:  Parameters: $1 = '\\x{JWT.encode().hex()}'",
        JWT.encode().hex(),
    ],
)  # fmt: skip
def test_a_secret_is_found(heard: Overheard, text: str) -> None:
    heard.said("a place", text)
    assert heard.found()["a place"] > 0
    assert not heard.found(), "what was searched is forgotten"


@pytest.mark.parametrize("text", ["", JWT.rpartition(".")[0], LETTERS[-24:-1], LETTERS[::-1], "ab" * 99])
def test_what_is_no_secret_is_not(heard: Overheard, text: str) -> None:
    heard.said("a place", text)
    assert not heard.found()


def test_a_refresh_token_is_found_by_its_mac(heard: Overheard) -> None:
    heard.secret(REFRESH)
    heard.said("a place", "the place and the family: AAAAAHVzcl8x")
    assert not heard.found()
    heard.said("a place", REFRESH)
    assert heard.found()


def test_what_a_door_gives_out_is_secret_and_what_it_refuses_with_is_a_place(heard: Overheard) -> None:
    heard.answered(httpx2.Response(200, json={"refresh_token": REFRESH, "token_type": "Bearer"}))
    heard.answered(httpx2.Response(400, json={"error_description": REFRESH}))
    heard.answered(httpx2.Response(200, text=f'a_metric{{token="{JWT}"}} 1'))
    assert set(heard.found()) == {"error bodies", "metrics"}


def test_a_line_of_the_log_is_a_place(heard: Overheard) -> None:
    record = logging.LogRecord("authsvc", logging.INFO, "", 0, f"a value: {JWT[-40:]}", None, None)
    Ear(heard).emit(record)
    assert heard.found() == {"logs": 1}

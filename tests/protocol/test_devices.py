"""By what a person knows a browser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.devices import name_device

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox, Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36", "Chrome, Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36 Edg/156.0.0.0", "Edge, Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {BLINK} Safari/537.36 OPR/120.0", "Opera, Windows"),
        (f"Mozilla/5.0 (Linux; Android 16; SM-S931B) {BLINK} Mobile Safari/537.36", "Chrome, Android"),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/26.0 Safari/605.1.15", "Safari, Mac"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 26_0) {WEBKIT} Version/26.0 Mobile Safari", "Safari, iPhone"),
        (f"Mozilla/5.0 (iPhone; CPU iPhone OS 26_0) {WEBKIT} CriOS/156.0 Mobile Safari", "Chrome, iPhone"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36", "Chrome, ChromeOS"),
        ("curl/8.14.1", None),
        ("python-httpx2/2.16", None),
        ("Firefox", None),
        ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_a_browser_is_named_with_its_system(user_agent: str | None, device: str | None) -> None:
    assert name_device(user_agent) == device


@given(st.text())
def test_what_is_told_is_never_what_a_stranger_wrote(text: str) -> None:
    named = name_device(f"Firefox Linux {text}")
    assert named is not None
    assert len(named) < 40
    assert all(word.isascii() and word.isalpha() for word in named.replace(",", "").split())

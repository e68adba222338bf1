"""What a value of each claim has to look like (OpenID Connect Core §5.1; UIF-04)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.claim_values import MAX_ADDRESS, MAX_TEXT, MAX_URL, find_fault

TEXTS = ("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "gender")
URLS = ("profile", "picture", "website")
ADDRESS = {
    "formatted": "1 A St\nB",
    "street_address": "1 A St\r\nHouse",
    "locality": "B",
    "postal_code": "1",
    "country": "FR",
}

GOOD: list[tuple[str, object]] = [
    *((name, "Ada Lovelace") for name in TEXTS),
    ("name", "Ünïcode 😀 名前"), ("name", "x" * MAX_TEXT), ("nickname", "a\u00a0b"),
    *((name, "https://ada.example/~me?x=1#a") for name in URLS),
    ("picture", "http://localhost:8080/a.png"), ("website", "https://[::1]/"), ("website", "https://a.example"),
    ("birthdate", "1815-12-10"), ("birthdate", "1815"), ("birthdate", "0000-02-29"), ("birthdate", "2000-02-29"),
    ("zoneinfo", "Europe/Paris"), ("zoneinfo", "America/Argentina/Salta"), ("zoneinfo", "Etc/GMT+1"),
    ("locale", "en"), ("locale", "en-US"), ("locale", "en_US"), ("locale", "zh-Hant-TW"),
    ("phone_number", "+33 1 23 45 67 89"), ("phone_number", "+1 (604) 555-1234;ext=5678"),
    ("phone_number_verified", True), ("phone_number_verified", False),
    ("address", ADDRESS), ("address", {"region": "Île-de-France"}),
]  # fmt: skip

NOT_TEXTS = (
    None,
    "",
    " ",
    "\u3000",
    "x" * (MAX_TEXT + 1),
    "a\nb",
    "a\0b",
    "a\x1bb",
    "\ud800",
    1,
    True,
    ["Ada"],
    {"a": 1},
)
NO_ADDRESSES: tuple[object, ...] = (
    "1 A St", [], {}, {"city": "B"}, {"locality": ""}, {"locality": 1}, {"locality": None}, {"locality": "a\nb"},
    {"formatted": "\n"}, {"formatted": "x" * (MAX_ADDRESS + 1)}, {"country": {"a": 1}},
)  # fmt: skip
NOT_BOOLEAN: tuple[object, ...] = (None, 0, 1, "true", "yes")
BAD: list[tuple[str, object]] = [
    *((name, value) for name in ("name", "gender") for value in NOT_TEXTS),
    *(("website", value) for value in (
        "", "ada.example", "//ada.example", "javascript:alert(1)", "data:text/html,x", "ftp://a.example", "https://",
        "https:///a", "https://a.example/ b", "https://a.example/\n", "https://a.example/ü", 'https://a.example/"',
        "https://a.example/<b>", "HTTPS//a", "https://a.example/" + "x" * MAX_URL, 1, None)),
    *(("birthdate", value) for value in (
        "", "1815-13-10", "1815-12-32", "2001-02-29", "15", "0000", "1815-12", "10.12.1815", "1815-12-10T", 1815,
        "\uff11\uff18\uff11\uff15")),
    *(("zoneinfo", value) for value in ("", "Europe/", "/Europe", "a b", "../../etc/passwd", "x" * 65, 1)),
    *(("locale", value) for value in ("", "e", "en-", "en us", "english!", "x" * 65, None)),
    *(("phone_number", value) for value in ("", "0123456", "+", "+x", "+1 2;ext=", "+12345\n", "tel:+123456", 33)),
    *(("phone_number_verified", odd) for odd in NOT_BOOLEAN),
    *(("address", odd) for odd in NO_ADDRESSES),
    *((name, "x") for name in ("email", "email_verified", "sub", "updated_at", "iss", "admin", "")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [pytest.param(*pair, id=str(n)) for n, pair in enumerate(GOOD)])
def test_a_value_of_the_right_kind_is_kept(name: str, value: object) -> None:
    assert find_fault(name, value) is None


@pytest.mark.parametrize(("name", "value"), [pytest.param(*pair, id=str(n)) for n, pair in enumerate(BAD)])
def test_a_value_of_another_kind_is_not_and_the_fault_is_told_in_words(name: str, value: object) -> None:
    fault = find_fault(name, value)
    assert fault
    assert fault.isascii()


NAMES = st.sampled_from([name for name, _ in GOOD] + ["email", "unknown"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(NAMES, JSON)
def test_no_value_is_too_odd_to_be_judged(name: str, value: object) -> None:
    assert find_fault(name, value) is None or isinstance(find_fault(name, value), str)

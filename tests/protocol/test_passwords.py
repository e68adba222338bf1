"""What a new password may be, and why one is refused (PWR-*, PWS-06)."""

from importlib.resources import files
from random import Random
from string import ascii_letters, digits
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidValue
from authsvc.protocol.passwords import (
    GUIDANCE,
    PasswordRules,
    find_weakness,
    parse_common,
    prepare,
    prepare_new,
    words_of_issuer,
)

COMMON = parse_common(files("authsvc.protocol").joinpath("common_passwords.txt").read_text(encoding="utf-8"))
RULES = PasswordRules(15, COMMON, words_of_issuer("https://auth.shopworld.example:8443/id"))
EMAIL = "ada.lovelace+math@mail.analytical.example"

REPEATS = "repeats a short piece"
RUN = "is a run of letters, digits or keys"
ADDRESS = "is made of the e-mail address"
SERVICE = "is made of the name of this service"
LISTED = "is made of one that many people have"


def check(password: str, rules: PasswordRules = RULES) -> bytes:
    return prepare_new(password, rules, email=EMAIL)


# --- The list


def test_the_list_holds_far_more_than_the_three_thousand_that_asvs_asks_for() -> None:  # ASVS 6.2.4
    assert len(COMMON) > 19_000
    assert len([each for each in COMMON if len(each) >= 8]) > 8_000
    for known in ("password", "qwertyuiop", "iloveyou", "trustno1", "пароль", "!qaz2wsx", "#1bitch"):
        assert known in COMMON
    assert "" not in COMMON
    assert all(each == each.casefold() == normalize("NFC", each).casefold() for each in COMMON)


def test_everything_on_the_list_is_refused_in_any_case() -> None:
    shortest = PasswordRules(4, COMMON)
    for each in COMMON:
        for spelling in (each, each.upper(), each.title()):
            assert find_weakness(spelling, shortest, EMAIL), each


def test_the_comments_of_the_list_are_no_part_of_it() -> None:
    assert parse_common("# 2 passwords\n#\n\n#1star\nb\n") == {"#1star", "b"}
    assert parse_common("") == frozenset()


# --- Refused


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("password1234567", LISTED),  # PWR-07
        ("Password1234567!", LISTED),
        ("1234567password", LISTED),
        ("2026!!password!!2026", LISTED),
        ("password.password", LISTED),
        ("passwordpassword1", LISTED),
        ("p4ssw0rd1234567", LISTED),
        ("P@$$w0rd1234567", LISTED),
        ("p a s s w o r d 1 2 3", LISTED),
        ("iloveyou-iloveyou-iloveyou", REPEATS),
        ("monkeymonkeymonkeymon!", LISTED),
        ("ПАРОЛЬ123456789", LISTED),
        ("somanypickles27", LISTED),
        ("dragon          ", LISTED),
        ("passwordpassword", REPEATS),
        ("aaaaaaaaaaaaaaa", REPEATS),
        (" " * 15, REPEATS),
        ("\0" * 15, REPEATS),
        ("\U0001f600" * 64, REPEATS),
        ("abcabcabcabcabc", REPEATS),
        ("x7!kx7!kx7!kx7!kx", REPEATS),
        ("a1b2c3d4e5f6g7a1b2c3d4e5f6g7", REPEATS),
        ("123456789012345", RUN),
        ("987654321098765", RUN),
        ("111222333444555", RUN),
        ("abcdefghijklmno", RUN),
        ("zyxwvutsrqponml", RUN),
        ("qwertyuiopasdfg", RUN),
        ("QWERTYUIOPasdfg", RUN),
        ("qwertzuiopasdfg", RUN),
        ("1qaz2wsx3edc4rfv", RUN),
        ("qazwsxedcrfvtgb", RUN),
        ("1q2w3e4r5t6y7u8i", RUN),
        ("!@#$%^&*()123456", RUN),
        ("abcd1234efgh5678", RUN),
        ("ada.lovelace+math@mail.analytical.example", ADDRESS),
        ("Ada.Lovelace+Math", ADDRESS),
        ("adalovelacemath", ADDRESS),
        ("lovelace1815!!!", ADDRESS),
        ("1815-l0vel4ce-1852", ADDRESS),
        ("Lovelace-lovelace", ADDRESS),
        ("analytical12345", ADDRESS),
        ("mail.analytical.example", ADDRESS),
        ("ada123456789012", ADDRESS),
        ("ShopWorld2026!!", SERVICE),
        ("shopworld shopworld", SERVICE),
        ("auth.shopworld.example", SERVICE),
    ],
)
def test_what_anybody_would_guess_first_is_refused_with_the_reason_and_what_to_do(password: str, reason: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check(password)
    assert caught.value.description == f"the password {reason}; {GUIDANCE}"
    assert caught.value.pointer == "/password"


# --- Taken


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "my password is a secret",  # PWR-07: it merely contains one
        "password monkey dragon",
        "iloveyou and the rest",
        "ada met charles at five",
        "welcome to shopworld dear",
        "q8Zr-1mQp0vXy72Lk",
        "839201746293847",
        "thequickbrownfox",
        "lowercaselettersonly",  # PWR-05
        "UPPERCASELETTERSONLY",
        "twelve monkeys and a half, twelve monkeys and a half",
        "пять зелёных яблок",
        "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604" * 2 + "\U0001f60a\U0001f680\U0001f681\U0001f682\U0001f683",
        " leading and trailing ",
        "it's \0 a nul, and why not",
    ],
)
def test_what_is_long_and_nobodys_is_taken(password: str) -> None:
    assert check(password) == password.encode()


@pytest.mark.parametrize("alphabet", ["0123456789", "0123456789abcdef", ascii_letters, ascii_letters + digits + "-_"])
def test_what_a_machine_draws_is_taken(alphabet: str) -> None:
    chance = Random(1)
    for _ in range(2_000):
        check("".join(chance.choices(alphabet, k=16)))


@given(st.text(max_size=300), st.text(max_size=40))
def test_any_text_is_taken_or_refused_and_nothing_else(password: str, email: str) -> None:
    try:
        prepared = prepare_new(password, RULES, email=email)
    except InvalidValue:
        return
    assert prepared == normalize("NFC", password).encode() == prepare(password)


@pytest.mark.parametrize("length", [8, 15, 64])
def test_it_is_counted_in_code_points_after_normalisation(length: int) -> None:  # PWR-01, PWR-03
    rules = PasswordRules(length)
    letters = "ae\u0301ioubcd\U0001f600fgh" * 8
    long_enough = normalize("NFC", letters)[: length - 2] + "é\U0001f600"
    assert prepare_new(normalize("NFD", long_enough), rules, email=EMAIL) == long_enough.encode()
    with pytest.raises(InvalidValue, match=f"at least {length} characters"):
        prepare_new(normalize("NFD", long_enough[1:]), rules, email=EMAIL)


@pytest.mark.parametrize("password", ["x" * 257, "é" * 600, "x" * 100_000, "\ud800" * 20, "ab" * 129])
def test_what_is_never_hashed_is_refused_before_anything_is_looked_at(password: str) -> None:  # PWS-06
    for refuse in (prepare, check):
        with pytest.raises(InvalidValue) as caught:
            refuse(password)
        assert GUIDANCE not in caught.value.description


# --- Names


@pytest.mark.parametrize(
    ("issuer", "words"),
    [
        ("https://auth.shopworld.example", {"auth.shopworld.example", "auth", "shopworld"}),
        ("https://id.example.com:8443/tenant", {"id.example.com", "example"}),
        ("http://localhost:8000", {"localhost"}),
        ("http://127.0.0.1:8000", {"127.0.0.1", "127"}),
    ],
)
def test_the_words_of_the_service_are_its_host_and_labels(issuer: str, words: set[str]) -> None:
    assert words_of_issuer(issuer) == words

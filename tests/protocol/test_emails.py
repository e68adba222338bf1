"""E-mail addresses: one spelling for each, and none for what is not an address."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from authsvc.errors import InvalidValue
from authsvc.protocol.emails import MAX_LENGTH, canonical_email


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ADA@EXAMPLE.COM", "ada@example.com"),
        ("a.b-c_d@sub.example.co.uk", "a.b-c_d@sub.example.co.uk"),
        ("ada+news@example.com", "ada+news@example.com"),  # EML-03: no folding
        ("!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-@example.com"),
        ("ＡＤＡ@example.com", "ada@example.com"),  # LOG-09: full width
        ("ada＠example.com", "ada@example.com"),  # ATK-47: U+FF20
        ("ﬁnn@example.com", "finn@example.com"),  # ATK-47: a ligature
        ("ada@ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
        ("ada@example。com", "ada@example.com"),
        ("ada@\N{KELVIN SIGN}iwi.example", "ada@kiwi.example"),
        ("\N{KELVIN SIGN}ate@example.com", "kate@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_address_has_one_spelling(text: str, canonical: str) -> None:
    assert canonical_email(text) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing"),
        ("ada", "no @"),
        ("@example.com", "no local part"),
        ("ada@", "no domain"),
        ("@", "neither"),
        ("a@b@example.com", "ATK-47: two @"),
        ("a＠b@example.com", "ATK-47: two @ after folding"),
        ("ada@example", "one label"),
        ("ada@localhost", "one label"),
        ("ada@example.com.", "ATK-47: trailing dot"),
        ("ada@.example.com", "empty label"),
        ("ada@example..com", "empty label"),
        ("ada@example…com", "an ellipsis folds to three dots"),
        (".ada@example.com", "leading dot"),
        ("ada.@example.com", "trailing dot"),
        ("a..b@example.com", "two dots"),
        ('"ada"@example.com', "quoted local part"),
        ('"a@b"@example.com', "quoted @"),
        ("ada(x)@example.com", "a comment"),
        ("ada@(x)example.com", "a comment"),
        ("Ada <ada@example.com>", "a display name"),
        ("ada@[127.0.0.1]", "an address literal"),
        ("ada@[IPv6:::1]", "an address literal"),
        ("ada@127.0.0.1", "an IP address"),
        ("ada@1.0x7f", "an IP address in another notation"),
        ("ada@exa_mple.com", "no host name"),
        ("ada@-example.com", "leading hyphen"),
        ("ada@example-.com", "trailing hyphen"),
        ("ada@xn--a.example", "no A-label"),
        ("ada@" + "a" * 64 + ".com", "a label of 64"),
        ("a" * 65 + "@example.com", "a local part of 65"),
        ("ada@" + "a." * 125 + "com", "EML-03: too long"),
        ("a" * 100_000 + "@example.com", "ATK-100"),
        ("ﷺ" * 300 + "@example.com", "ATK-100: each unfolds to 18 letters"),
        (" ada@example.com", "leading blank"),
        ("ada@example.com ", "ATK-47: trailing blank"),
        ("ada@example.com\u00a0", "no-break space"),
        ("ada@example.com\u3000", "ideographic space"),
        ("a da@example.com", "blank"),
        ("ada@exam ple.com", "blank"),
        ("ada@example.com\n", "EML-03: line end"),
        ("ada@example.com\r\nBcc: eve@example.com", "EML-03: a header"),
        ("ada\0@example.com", "EML-03: NUL"),
        ("ada@exam\0ple.com", "EML-03: NUL"),
        ("a\u200bda@example.com", "ATK-47: zero width space"),
        ("ada@exam\u200bple.com", "ATK-47: zero width space"),
        ("ada@exam\u00adple.com", "soft hyphen"),
        ("ada@exam\u200dple.com", "zero width joiner"),
        ("\u202eada@example.com", "ATK-47: right to left"),
        ("ada@\u2066example.com", "isolate"),
        ("\ufeffada@example.com", "BOM"),
        ("ı@example.com", "ATK-47: dotless i"),
        ("İ@example.com", "ATK-47: dotted I"),
        ("аda@example.com", "ATK-47: a Cyrillic letter in the local part"),
        ("ada@example.com\ud800", "lone surrogate"),
        ("ada@exam\ue000ple.com", "private use"),
        ("ada@exam\U000e0041ple.com", "tag letter"),
        ("ada@exam\u0378ple.com", "unassigned"),
    ],
)
def test_another_text_is_no_address(text: str, why: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        canonical_email(text)

    assert raised.value.pointer == "/email"
    assert raised.value.description == "not an e-mail address that this service takes"


def test_a_look_alike_domain_is_another_domain() -> None:
    """ATK-47: the Cyrillic а cannot be told from a by eye, and is by its A-label."""
    assert canonical_email("ada@exаmple.com") == "ada@xn--exmple-4nf.com"


def test_the_longest_address_is_taken() -> None:
    """EML-03."""

    def address(label: int) -> str:
        return f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * label}.com"

    assert len(canonical_email(address(57))) == MAX_LENGTH
    with pytest.raises(InvalidValue):
        canonical_email(address(58))


LOCAL = st.text("abcDEF019.+-_'ＡＢｃﬁıİ", min_size=1, max_size=12)
DOMAIN = st.text("abcDEF019.-üßÄ。．Ｃς例\u0308", min_size=3, max_size=20)


@given(st.text() | st.builds("{}@{}".format, LOCAL, DOMAIN) | st.builds("{}@{}.com".format, LOCAL, DOMAIN))
@settings(max_examples=200)
def test_a_spelling_is_its_own_spelling(text: str) -> None:
    try:
        canonical = canonical_email(text)
    except InvalidValue:
        return

    assert canonical_email(canonical) == canonical
    assert canonical.isascii()
    assert canonical.isprintable()
    assert canonical == canonical.lower()
    assert canonical.count("@") == 1
    assert len(canonical) <= MAX_LENGTH


@given(st.text("abcXYZ019.+-", min_size=1, max_size=12))
def test_case_makes_no_difference(local: str) -> None:
    def spelling(text: str) -> str | None:
        try:
            return canonical_email(text)
        except InvalidValue:
            return None

    assert spelling(f"{local.upper()}@Example.COM") == spelling(f"{local.lower()}@eXample.com")

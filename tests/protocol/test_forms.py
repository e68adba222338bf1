"""Form bodies: what is read, and what is refused before anyone asks what it means."""

import re
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidRequest
from authsvc.protocol.forms import MAX_FIELDS, parse_form, parse_query

CONTENT_TYPE = "application/x-www-form-urlencoded"
SAFE_DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        (b"token=abc", "token", "abc"),
        (b"a=1&token=abc&b=2", "token", "abc"),
        (b"", "token", None),
        (b"&&", "token", None),
        (b"other=abc", "token", None),  # GEN-02
        (b"token=", "token", None),  # GEN-03
        (b"token", "token", None),  # GEN-03
        (b"scope=a+b", "scope", "a b"),  # GEN-05
        (b"scope=a%20b", "scope", "a b"),
        (b"scope=a%2Bb", "scope", "a+b"),
        (b"name=%C3%BC", "name", "ü"),  # GEN-05
        ("name=ü".encode(), "name", "ü"),
        (b"token=a=b", "token", "a=b"),
        (b"token=a;b=c", "token", "a;b=c"),
        (b"token=%2500", "token", "%00"),  # an encoded percent sign, and not a NUL
        (b"token=%zz", "token", "%zz"),
        (b"%74oken=abc", "token", "abc"),
        (b"=abc", "", "abc"),
    ],
)
def test_a_parameter_is_decoded_and_an_empty_one_is_absent(body: bytes, name: str, value: str | None) -> None:
    assert parse_form(body, CONTENT_TYPE).one(name) == value


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=utf-8",
        "application/x-www-form-urlencoded; charset=UTF-8",
        'application/x-www-form-urlencoded; charset="utf-8"',
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded ;",
    ],
)
def test_a_form_in_utf_8_is_read(content_type: str) -> None:
    """GEN-06."""
    assert parse_form(b"a=1", content_type).one("a") == "1"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-7",
        "application/x-www-form-urlencoded; charset=utf-8; boundary=x",
        "application/x-www-form-urlencoded-x",
        "x/application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded, application/json",
    ],
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    """GEN-06, ATK-97."""
    with pytest.raises(InvalidRequest, match="content type"):
        parse_form(b"a=1", content_type)


@pytest.mark.parametrize(
    ("body", "description"),
    [
        *(
            (f"{name}=1&{name}=1".encode(), "a parameter came more than once")
            for name in ("grant_type", "code", "code_verifier", "client_id", "token", "unknown", "")
        ),
        (b"token=a&b=1&token=b", "a parameter came more than once"),
        (b"token=&token=a", "a parameter came more than once"),  # an empty one is sent all the same
        (b"token=a&%74oken=b", "a parameter came more than once"),
        (b"token=a%00b", "a parameter holds a NUL character"),
        (b"token=a\0b", "a parameter holds a NUL character"),
        (b"a%00b=1", "a parameter holds a NUL character"),
        (b"a=%FF", "the parameters are not UTF-8"),
        (b"a=\xff", "the parameters are not UTF-8"),
        (b"a=%C3", "the parameters are not UTF-8"),
        (b"a=%ED%A0%80", "the parameters are not UTF-8"),  # a lone surrogate
        (b"a=%C0%80", "the parameters are not UTF-8"),  # a NUL in too many bytes
        ("a=1".encode("utf-16"), "a parameter holds a NUL character"),
        (urlencode({f"a{n}": n for n in range(MAX_FIELDS + 1)}).encode(), "there are more than 64 parameters"),
        (b"&" * 100_000, "there are more than 64 parameters"),
    ],
)
def test_a_body_that_can_be_read_in_two_ways_or_in_none_is_refused(body: bytes, description: str) -> None:
    """GEN-04, GEN-05, GEN-06."""
    with pytest.raises(InvalidRequest) as raised:
        parse_form(body, CONTENT_TYPE)

    assert raised.value.description == description


def test_as_many_parameters_as_allowed_are_read() -> None:
    form = parse_form(urlencode({f"a{n}": n for n in range(MAX_FIELDS)}).encode(), CONTENT_TYPE)

    assert form.one("a63") == "63"


@pytest.mark.parametrize("name", ["resource", "audience"])
def test_resource_and_audience_may_come_more_than_once(name: str) -> None:
    """GEN-04, RFC 8707 §2, RFC 8693 §2.1."""
    form = parse_form(f"{name}=a&{name}=&{name}=b&{name}=a".encode(), CONTENT_TYPE)

    assert form.many(name) == ["a", "b", "a"]
    with pytest.raises(InvalidRequest, match=f"the parameter {name} came more than once"):
        form.one(name)
    with pytest.raises(InvalidRequest, match=f"the parameter {name} came more than once"):
        form.required(name)


def test_of_an_absent_parameter_there_are_no_values() -> None:
    form = parse_form(b"resource=&token=x", CONTENT_TYPE)

    assert form.many("resource") == []
    assert form.many("audience") == []
    assert form.many("token") == ["x"]


@pytest.mark.parametrize("body", [b"", b"token=", b"token=&a=1"])
def test_a_required_parameter_is_named_when_it_is_missing(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the parameter token is missing"):
        parse_form(body, CONTENT_TYPE).required("token")


def test_a_required_parameter_is_returned() -> None:
    assert parse_form(b"token=abc", CONTENT_TYPE).required("token") == "abc"


@pytest.mark.parametrize(
    "text",
    ["scope=a&scope=a", "scope=a&scope=b", "scope=&scope=a", "scope&scope", "a=1&scope=a&sc%6fpe=b", "=1&=2"],
)
def test_what_is_repeated_is_kept_where_it_is_asked_for_and_refused_later(text: str) -> None:  # GEN-04
    for form in (parse_query(text.encode()), parse_form(text.encode(), CONTENT_TYPE, keeps_repeated=True)):
        name = next(name for name in ("scope", "") if form.is_repeated(name))
        assert not form.is_repeated("a")
        with pytest.raises(InvalidRequest, match="more than once"):
            form.check_unrepeated()
        if len(form.many(name)) > 1:
            with pytest.raises(InvalidRequest, match="more than once"):
                form.one(name)


def test_a_query_is_read_as_a_body_is() -> None:  # AUZ-01
    query = parse_query(b"scope=a+b&name=%C3%BC&empty=&resource=a&resource=b")
    assert [query.one(name) for name in ("scope", "name", "empty", "none")] == ["a b", "ü", None, None]
    assert query.many("resource") == ["a", "b"]
    query.check_unrepeated()
    for broken in (b"a=%FF", b"a=%00", b"&".join(b"a%d=1" % n for n in range(MAX_FIELDS + 1))):
        with pytest.raises(InvalidRequest):
            parse_query(broken)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_what_a_client_encodes_comes_back(parameters: dict[str, str]) -> None:
    form = parse_form(urlencode(parameters).encode(), CONTENT_TYPE)

    assert {name: form.one(name) for name in parameters} == {name: value or None for name, value in parameters.items()}


@given(
    st.binary() | st.text(alphabet="ab=&%0C3;+").map(str.encode),
    st.sampled_from([CONTENT_TYPE]) | st.none() | st.text(),
)
def test_any_body_is_read_or_refused_in_words_that_echo_nothing(body: bytes, content_type: str | None) -> None:
    """GEN-09."""
    try:
        parse_form(body, content_type)
    except InvalidRequest as error:
        assert SAFE_DESCRIPTION.fullmatch(error.description)


@given(st.text("&=ab;%20+ü", max_size=12))
def test_what_needs_no_decoding_is_read_as_what_does(text: str) -> None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
        form = parse_form(text.encode(), CONTENT_TYPE)
    except (InvalidRequest, UnicodeError):
        return  # repeated, or no UTF-8
    assert all(form.one(name) == (value or None) for name, value in pairs)
    assert form.has_any(frozenset({"a"})) == ("a" in dict(pairs))

"""Claims about a user: who may change them, what a scope shares, what is told (OpenID Connect Core §5; spec: UIF-*)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from authsvc.errors import InvalidValue
from authsvc.models import ClaimAsk, ClaimsRequest, JsonObject, User
from authsvc.protocol.claims import (
    MAX_BYTES,
    SCOPES,
    USER_CLAIMS,
    asked_for,
    build_document,
    change_claims,
    claims_of_scope,
    read_document,
    scopes_behind,
    tell,
)

MADE = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CLAIMS: JsonObject = {
    "name": "Ada Lovelace",
    "birthdate": "1815-12-10",
    "phone_number": "+33 1 23 45 67",
    "phone_number_verified": True,
    "address": {"locality": "London", "country": "GB"},
}
USER = User("usr_1", "Ada@example.com", "ada@example.com", True, None, CLAIMS, MADE, None)

CHANGES: list[tuple[str, JsonObject, JsonObject]] = [
    ("nothing", {}, {}),
    ("one more", {"nickname": "A"}, {"nickname": "A"}),
    ("another value", {"name": "Ada"}, {"name": "Ada"}),
    ("one less", {"birthdate": None}, {"birthdate": None}),
    ("one that was not there", {"gender": None}, {}),
    ("a part of the address", {"address": {"locality": "Paris"}}, {"address": {"locality": "Paris", "country": "GB"}}),
    ("a part of the address less", {"address": {"locality": None}}, {"address": {"country": "GB"}}),
    ("all of the address, part by part", {"address": {"locality": None, "country": None}}, {"address": None}),
    ("the address", {"address": None}, {"address": None}),
    (
        "a new number is not verified",
        {"phone_number": "+33 6"},
        {"phone_number": "+33 6", "phone_number_verified": None},
    ),
    ("the same number still is", {"phone_number": "+33 1 23 45 67"}, {}),
    ("no number", {"phone_number": None}, {"phone_number": None, "phone_number_verified": None}),
]


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize(("changes", "after"), [pytest.param(*row, id=name) for name, *row in CHANGES])
def test_a_change_is_a_merge_patch(changes: JsonObject, after: JsonObject, by_user: bool) -> None:
    if changes.get("phone_number") == "+33 6":
        changes, after = ({**each, "phone_number": "+33 6 7"} for each in (changes, after))
    expected = {name: value for name, value in (CLAIMS | after).items() if value is not None}
    before = msgspec.json.encode(CLAIMS)
    assert change_claims(CLAIMS, changes, by_user=by_user) == expected
    assert msgspec.json.encode(CLAIMS) == before, "what was given is left alone"


REFUSED: list[tuple[JsonObject, str, str]] = [
    ({"sub": "usr_2"}, "/sub", "sub is not changed here"),
    ({"email": "x@example.com"}, "/email", "email is not changed here"),
    ({"email_verified": True}, "/email_verified", "email_verified is not changed here"),
    ({"updated_at": 1}, "/updated_at", "updated_at is not changed here"),
    ({"admin": True}, "/admin", "admin is no claim that is kept here"),
    ({"name#de": "Ada"}, "", "a member is no claim that is kept here"),
    ({"a/b~": None}, "", "a member is no claim that is kept here"),
    ({"name": 1}, "/name", "name is a text of 1 to 256 characters, on one line"),
    ({"name": {"a": "b"}}, "/name", "name is a text of 1 to 256 characters, on one line"),
    ({"nickname": "A", "website": "ada"}, "/website", "website is an https or http URL of 1024 characters at most"),
    ({"address": {"city": "B"}}, "/address", "address is an object with some of country, formatted, locality,"),
    ({"address": "London"}, "/address", "address is an object"),
]


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize(("changes", "pointer", "words"), [pytest.param(*row, id=" ".join(row[0])) for row in REFUSED])
def test_what_is_refused_is_pointed_at(changes: JsonObject, pointer: str, words: str, by_user: bool) -> None:
    with pytest.raises(InvalidValue) as caught:
        change_claims(CLAIMS, changes, by_user=by_user)
    assert caught.value.pointer == pointer
    assert caught.value.description.startswith(words)


def test_only_the_operator_says_that_a_number_is_verified() -> None:
    for value in (True, False, None):
        with pytest.raises(InvalidValue) as caught:
            change_claims(CLAIMS, {"phone_number_verified": value}, by_user=True)
        assert caught.value.pointer == "/phone_number_verified"
    both = {"phone_number": "+33 6 12 34", "phone_number_verified": True}
    assert change_claims({}, both, by_user=False) == both
    with pytest.raises(InvalidValue, match="phone_number"):
        change_claims({}, {"phone_number_verified": True}, by_user=False)


def test_all_of_it_together_has_an_end() -> None:
    """A token that holds it stays readable."""
    full = dict.fromkeys(("name", "family_name", "given_name", "middle_name", "nickname"), "😀" * 250)
    with pytest.raises(InvalidValue, match=f"{MAX_BYTES} bytes"):
        change_claims({}, full, by_user=True)
    assert change_claims({}, {"name": full["name"]}, by_user=True)


# --- Told


def test_a_scope_shares_the_claims_of_the_standard() -> None:  # §5.4
    assert claims_of_scope(["openid", "offline_access", "read"]) == frozenset()
    assert claims_of_scope(["email"]) == {"email", "email_verified"}
    assert claims_of_scope(["phone", "address"]) == {"phone_number", "phone_number_verified", "address"}
    assert len(SCOPES["profile"]) == 14
    assert claims_of_scope(SCOPES) == set(USER_CLAIMS)


def test_what_is_known_is_told_in_its_type_and_what_is_not_known_is_left_out() -> None:  # UIF-02, UIF-04
    assert tell(USER, USER_CLAIMS) == {
        **CLAIMS, "email": "Ada@example.com", "email_verified": True, "updated_at": 1772366400
    }  # fmt: skip
    assert tell(USER, {"name", "nickname", "sub", "password_hash"}) == {"name": "Ada Lovelace"}
    assert tell(USER, ()) == {}
    later = replace(USER, updated_at=MADE.replace(year=2027), email_verified=False)
    assert tell(later, {"updated_at", "email_verified"}) == {"updated_at": 1803902400, "email_verified": False}


def test_what_was_kept_before_it_was_held_to_a_type_is_told_if_it_has_it() -> None:
    odd: dict[str, Any] = {
        "name": "Ada",
        "nickname": 1,
        "birthdate": "long ago",
        "email": "evil@example.com",
        "sub": "x",
    }
    assert tell(replace(USER, claims=odd | {"admin": True}), [*USER_CLAIMS, "sub", "admin"]) == {
        "name": "Ada", "email": "Ada@example.com", "email_verified": True, "updated_at": 1772366400
    }  # fmt: skip


# --- Asked for one by one


ASKED = ClaimsRequest(
    userinfo={"name": ClaimAsk(essential=True), "email": ClaimAsk(values=("a@b.example", "c@d.example"))},
    id_token={"acr": ClaimAsk(essential=True, values=("x",)), "phone_number": ClaimAsk(), "password_hash": ClaimAsk()},
)


def test_a_client_gets_by_name_what_its_scopes_would_let_it_get() -> None:  # OID-08
    assert asked_for(ASKED.userinfo, ["openid", "profile"]) == {"name"}
    assert asked_for(ASKED.userinfo, SCOPES) == {"name", "email"}
    assert asked_for(ASKED.id_token, SCOPES) == {"phone_number"}
    assert asked_for(ASKED.id_token, ["openid", "profile"]) == frozenset()


def test_what_is_kept_with_a_grant_comes_back_without_what_matters_only_once() -> None:
    document = build_document(ASKED)
    assert msgspec.json.decode(msgspec.json.encode(document)) == document
    assert read_document(document) == ClaimsRequest(ASKED.userinfo, {"phone_number": ClaimAsk()})


def test_where_nothing_was_asked_for_nothing_is_kept() -> None:
    assert build_document(ClaimsRequest({}, {"acr": ClaimAsk()})) is None
    assert read_document(None) == ClaimsRequest({}, {})


@pytest.mark.parametrize(
    ("names", "allowed", "scopes"),
    [
        (["name"], ["profile", "email"], ("profile",)),
        (["email", "name", "nickname"], ["profile", "email"], ("profile", "email")),
        (["email"], ["profile"], ()),
        (["sub", "unknown"], ["profile", "openid"], ()),
    ],
)
def test_claims_are_told_in_the_words_of_their_scopes(
    names: list[str], allowed: list[str], scopes: tuple[str, ...]
) -> None:
    assert scopes_behind(names, allowed) == scopes

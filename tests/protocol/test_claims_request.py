"""The parameter `claims` (OID-08)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidRequest
from authsvc.models import ClaimAsk, ClaimsRequest
from authsvc.protocol.claims_request import MAX_CLAIMS, MAX_LENGTH, parse_claims_request

EXAMPLE = """{
   "userinfo": {
     "given_name": {"essential": true}, "nickname": null, "email": {"essential": true},
     "email_verified": {"essential": true}, "picture": null, "http://example.info/claims/groups": null
   },
   "id_token": {
     "auth_time": {"essential": true}, "acr": {"values": ["urn:mace:incommon:iap:silver"]}
   }
}"""


def test_the_example_of_the_standard_is_read() -> None:  # OpenID Connect Core §5.5
    essential, voluntary = ClaimAsk(essential=True), ClaimAsk()
    assert parse_claims_request(EXAMPLE) == ClaimsRequest(
        userinfo={
            "given_name": essential, "nickname": voluntary, "email": essential, "email_verified": essential,
            "picture": voluntary, "http://example.info/claims/groups": voluntary,
        },
        id_token={"auth_time": essential, "acr": ClaimAsk(values=("urn:mace:incommon:iap:silver",))},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (None, ClaimAsk()),
        ({}, ClaimAsk()),
        ({"essential": False}, ClaimAsk()),
        ({"essential": True}, ClaimAsk(essential=True)),
        ({"value": "x"}, ClaimAsk(values=("x",))),
        ({"values": ["x", 1, True, 1.5]}, ClaimAsk(values=("x", 1, True, 1.5))),
        ({"value": "x", "values": ["y"]}, ClaimAsk(values=("x", "y"))),
        ({"values": []}, ClaimAsk()),
        ({"value": None}, ClaimAsk()),
        ({"values": ["x", None, {}, ["y"]]}, ClaimAsk(values=("x",))),
        ({"essential": True, "max_age": 5, "purpose": {}}, ClaimAsk(essential=True)),
    ],
    ids=str,
)
def test_a_claim_is_asked_for_in_each_way_that_there_is(ask: Any, expected: ClaimAsk) -> None:
    for place in ("userinfo", "id_token"):
        request = parse_claims_request(json.dumps({place: {"x": ask}}))
        assert getattr(request, place) == {"x": expected}


@pytest.mark.parametrize("text", ["{}", '{"userinfo":null}', '{"userinfo":{},"other":[1]}', ' {"id_token" : {} } '])
def test_nothing_is_asked_for_where_nothing_is_named(text: str) -> None:
    assert parse_claims_request(text) == ClaimsRequest({}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "null",
        "[]",
        '"x"',
        "1",
        "{",
        "{}{}",
        "{'userinfo':{}}",
        '{"userinfo":{"x":NaN}}',
        '{"userinfo":"name"}',
        '{"userinfo":["name"]}',
        '{"userinfo":true}',
        '{"id_token":{"name":true}}',
        '{"id_token":{"name":"x"}}',
        '{"id_token":{"name":["x"]}}',
        '{"id_token":{"name":{"essential":"true"}}}',
        '{"id_token":{"name":{"essential":1}}}',
        '{"id_token":{"name":{"essential":null}}}',
        '{"id_token":{"name":{"values":"x"}}}',
        '{"id_token":{"name":{"values":{"x":1}}}}',
        '{"id_token":{"a\\u0000":null}}',
        '{"id_token":{"a":{"value":"\\u0000"}}}',
        '{"id_token":{"a":{"value":"\\ud800"}}}',
        json.dumps({"userinfo": {f"claim{n}": None for n in range(MAX_CLAIMS + 1)}}),
        '{"id_token":{"a":' + "[" * 1500 + "]" * 1500 + "}}",
        "{}" + " " * (MAX_LENGTH - 1),
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_malformed_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_claims_request(text)
    assert refused.value.description.isascii()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["userinfo", "id_token", "essential", "value", "values", "name"]), inner)
    ),
    max_leaves=12,
)


@given(JSON.map(json.dumps) | st.text(max_size=40))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        request = parse_claims_request(text)
    except InvalidRequest:
        return
    for place in (request.userinfo, request.id_token):
        assert all(isinstance(name, str) and isinstance(ask, ClaimAsk) for name, ask in place.items())
        hash(tuple(place.values()))

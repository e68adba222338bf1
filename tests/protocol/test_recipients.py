"""Who asks for authorization, and where they are answered (AUZ-02): if that is not certain, on a page."""

from typing import Any

import jwt
import pytest

from authsvc.errors import InvalidRequest, NoRecipient, OAuthError
from authsvc.models import ApplicationType, Client
from authsvc.protocol.recipients import MAX_VALUE_LENGTH, Recipient, ResponseMode, find_recipient, parse_client_id
from tests.protocol.asking import CALLBACK, CLIENT, NOW, a_client, a_form, parsed


def test_the_client_is_named() -> None:
    assert parse_client_id(a_form()) == "cli_1"


@pytest.mark.parametrize("client_id", [None, "", ["cli_1", "cli_1"], ["cli_1", "cli_2"], ["cli_1", ""], ["", ""]])
def test_who_does_not_say_who_it_is_is_told_on_a_page(client_id: Any) -> None:  # AUZ-02
    with pytest.raises(NoRecipient):
        parse_client_id(a_form(client_id=client_id))


TWO = (CALLBACK, "https://client.example/other")
NATIVE = {"application_type": ApplicationType.NATIVE, "redirect_uris": ("http://127.0.0.1/cb", "com.example.app:/cb")}
OPENID_LAST, OAUTH = {"scope": "email openid"}, {"scope": "read"}

NO_RECIPIENT: list[tuple[str, Client | None, dict[str, Any]]] = [
    ("an unknown client", None, {}),
    ("a disabled client", a_client(disabled_at=NOW), {}),
    ("a client with nowhere to go", a_client(redirect_uris=()), {}),
    ("and it names none", a_client(redirect_uris=()), OAUTH | {"redirect_uri": None}),
    ("RED-01 another URI", CLIENT, {"redirect_uri": CALLBACK + "/"}),
    ("RED-01 another case", CLIENT, {"redirect_uri": CALLBACK.upper()}),
    ("RED-01 another site", CLIENT, {"redirect_uri": "https://evil.example/cb"}),
    ("RED-01 a script", CLIENT, {"redirect_uri": "javascript:alert(1)"}),
    ("RED-01 a line end", CLIENT, {"redirect_uri": CALLBACK + "\r\nX: y"}),
    ("RED-02 another path", a_client(**NATIVE), {"redirect_uri": "http://127.0.0.1:4000/cb2"}),
    ("AUZ-02 the same URI twice", CLIENT, {"redirect_uri": [CALLBACK, CALLBACK]}),
    ("AUZ-02 two URIs", a_client(redirect_uris=TWO), {"redirect_uri": list(TWO)}),
    ("AUZ-02 one and an empty one", CLIENT, {"redirect_uri": [CALLBACK, ""]}),
    ("RED-07 none of two", a_client(redirect_uris=TWO), OAUTH | {"redirect_uri": None}),
    ("RED-07 an empty one of two", a_client(redirect_uris=TWO), OAUTH | {"redirect_uri": ""}),
    ("OID-01 none in OpenID Connect", CLIENT, {"redirect_uri": None}),
    ("OID-01 wherever openid stands", CLIENT, OPENID_LAST | {"redirect_uri": None}),
    ("OID-01 also in one of two scopes", CLIENT, {"scope": ["read", "openid"], "redirect_uri": None}),
    ("none beside a request object", CLIENT, OAUTH | {"redirect_uri": None, "request": "eyJ"}),
    ("none beside one elsewhere", CLIENT, OAUTH | {"redirect_uri": None, "request_uri": "https://x.example"}),
    ("RED-06 a row that breaks the rules", a_client(redirect_uris=("javascript:alert(1)",)),
     {"redirect_uri": "javascript:alert(1)"}),
    ("RED-03 a web client on localhost", a_client(redirect_uris=("http://localhost/cb",)),
     {"redirect_uri": "http://localhost:3000/cb"}),
]  # fmt: skip


@pytest.mark.parametrize(("client", "changes"), [pytest.param(*row, id=name) for name, *row in NO_RECIPIENT])
def test_where_it_is_not_known_who_may_be_answered_nobody_is(client: Client | None, changes: dict[str, Any]) -> None:
    with pytest.raises(NoRecipient) as refused:
        find_recipient(a_form(**changes), client)
    assert not isinstance(refused.value, OAuthError), "what answers a client would send it on"


def test_an_unknown_client_and_a_disabled_one_are_told_the_same() -> None:
    told = []
    for client in (None, a_client(disabled_at=NOW)):
        with pytest.raises(NoRecipient) as refused:
            find_recipient(a_form(), client)
        told.append(refused.value.description)
    assert told[0] == told[1]


def test_the_recipient_is_who_asks_and_where_it_wants_the_answer() -> None:
    assert find_recipient(a_form(response_mode="form_post"), CLIENT) == Recipient(
        "cli_1", CALLBACK, True, ResponseMode.FORM_POST, "the state"
    )
    native = a_client(**NATIVE)
    for uri in ("http://127.0.0.1:51004/cb", "com.example.app:/cb"):  # RED-02: the port that was asked for
        assert find_recipient(a_form(redirect_uri=uri), native).redirect_uri == uri


@pytest.mark.parametrize("redirect_uri", [None, ""])
def test_a_client_with_one_uri_need_not_name_it(redirect_uri: str | None) -> None:  # RED-07
    recipient = find_recipient(a_form(redirect_uri=redirect_uri, scope="read"), CLIENT)
    assert recipient.redirect_uri == CALLBACK
    assert not recipient.names_redirect_uri  # COD-02


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        ("a b&c=d%+/~", True),
        ("x" * MAX_VALUE_LENGTH, True),
        (" ", True),
        ('"\\<script>', True),
        (None, False),
        ("", False),
        ("x" * (MAX_VALUE_LENGTH + 1), False),
        ("ü", False),
        ("a\nb", False),
        ("a\r\nX: y", False),
        ("a\x7f", False),
        ("\u2028", False),
        (["a", "a"], False),
        (["a", ""], False),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_only_a_state_that_can_be_given_back_as_it_came_is_kept(state: Any, kept: bool) -> None:  # AUZ-05
    form = a_form(state=state)
    assert find_recipient(form, CLIENT).state == (state if kept else None)
    if kept or not state:
        parsed(form)
    else:
        with pytest.raises(InvalidRequest):
            parsed(form)


@pytest.mark.parametrize(
    "mode",
    ["fragment", "query.jwt", "form_post.jwt", "web_message", "QUERY", "query ", "ResponseMode.QUERY", "x" * 999],
)
def test_what_is_wrong_with_the_way_of_the_answer_is_told_by_query(mode: str) -> None:  # OID-11, AUZ-06
    form = a_form(response_mode=mode)
    assert find_recipient(form, CLIENT).response_mode is ResponseMode.QUERY
    with pytest.raises(InvalidRequest, match="response_mode"):
        parsed(form)


def test_a_form_is_posted_to_what_takes_one() -> None:  # OID-11
    native = a_client(**NATIVE)
    to_loopback = a_form(redirect_uri="http://127.0.0.1:51004/cb", response_mode="form_post")
    assert parsed(to_loopback, native).recipient.response_mode is ResponseMode.FORM_POST
    to_an_app = a_form(redirect_uri="com.example.app:/cb", response_mode="form_post")
    assert find_recipient(to_an_app, native).response_mode is ResponseMode.QUERY
    with pytest.raises(InvalidRequest, match="response_mode"):
        parsed(to_an_app, native)


# --- Request objects, which are refused


def an_object(**claims: Any) -> str:
    return jwt.encode(claims, "", algorithm="none")


@pytest.mark.parametrize(
    ("changes", "mode", "state"),
    [
        ({"request": an_object(state="inside", response_mode="form_post")}, ResponseMode.FORM_POST, "inside"),
        ({"request": jwt.encode({"state": "inside"}, "k" * 32, algorithm="HS256")}, ResponseMode.QUERY, "inside"),
        ({"request": an_object(state="inside"), "state": "beside"}, ResponseMode.QUERY, "beside"),
        ({"request": an_object(response_mode="form_post"), "response_mode": "query"}, ResponseMode.QUERY, None),
        ({"request": an_object(response_mode="fragment", state="ü")}, ResponseMode.QUERY, None),
        ({"request": an_object(response_mode=["form_post"], state=1)}, ResponseMode.QUERY, None),
        ({"request": an_object(state="x" * (MAX_VALUE_LENGTH + 1))}, ResponseMode.QUERY, None),
        ({"request": [an_object(state="one"), an_object(state="two")]}, ResponseMode.QUERY, None),
        ({"request": "eyJ.x.y.z.a"}, ResponseMode.QUERY, None),
        ({"request": "ü" + an_object(state="inside")}, ResponseMode.QUERY, None),
        ({"request": "." + "A" * 20_000 + "."}, ResponseMode.QUERY, None),
        ({"request_uri": "https://client.example/r"}, ResponseMode.QUERY, None),
    ],
)
def test_an_object_is_looked_into_for_how_its_refusal_is_told(
    changes: dict[str, Any], mode: ResponseMode, state: str | None
) -> None:
    recipient = find_recipient(a_form(**({"state": None} | changes)), CLIENT)
    assert (recipient.response_mode, recipient.state) == (mode, state)


@pytest.mark.parametrize("beside", [None, "https://evil.example/cb"])
def test_an_object_is_never_looked_into_for_where_it_is_told(beside: str | None) -> None:
    with pytest.raises(NoRecipient):
        find_recipient(a_form(redirect_uri=beside, request=an_object(redirect_uri=CALLBACK)), CLIENT)
    named = find_recipient(a_form(request=an_object(redirect_uri="https://evil.example/cb")), CLIENT)
    assert named.redirect_uri == CALLBACK

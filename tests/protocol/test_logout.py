"""Who is asked when a client sends its user to be logged out, and where they go then. The table is the rule (RPL-02 to
RPL-05)."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import InvalidRequest, NoRecipient
from authsvc.models import ApplicationType, Client, Generations, Session
from authsvc.protocol import logout
from authsvc.protocol.forms import parse_query
from authsvc.protocol.logout import LIFE, Asked, Hint, LogoutRequest, Step
from authsvc.protocol.subjects import Names
from tests.protocol.asking import NOW, a_client

KEY = bytes(32)
BYE, QUERY, APP = "https://client.example/bye", "https://client.example/bye?from=us", "com.example.app:/bye"
CLIENT = a_client(post_logout_redirect_uris=(BYE, QUERY))
SESSION = Session("sid", "usr_1", "first-party", Generations(0, 0, 0), ("pwd",), NOW, NOW + timedelta(hours=1))
HINT = Hint("cli_1", "usr_1", "sid")
CLAIMS = {"iss": "https://id.example", "aud": "cli_1", "sub": "usr_1", "sid": "sid", "exp": 1}


def asked(**parameters: Any) -> Asked:
    return logout.parse_asked(parse_query(urlencode(parameters, doseq=True).encode()))


def built(hint: Hint | None = None, client: Client | None = CLIENT, **parameters: Any) -> LogoutRequest:
    return logout.build_request(asked(**parameters), hint, client)


# --- The hint


def test_a_hint_is_read_however_old_it_is() -> None:
    assert Hint.read(CLAIMS, "https://id.example") == HINT
    assert Hint.read(CLAIMS | {"sid": None}, "https://id.example") == Hint("cli_1", "usr_1", None)


@pytest.mark.parametrize(
    "changes",
    [{"iss": "https://other.example"}, {"iss": None}, {"aud": ["cli_1"]}, {"aud": None}, {"sub": 1}, {"sub": None}],
    ids=str,
)
def test_what_is_no_id_token_of_ours_is_no_hint(changes: dict[str, Any]) -> None:
    assert Hint.read(CLAIMS | changes, "https://id.example") is None


# --- Who asks


@pytest.mark.parametrize(
    ("parameters", "hint", "client_id"),
    [
        ({}, None, None),
        ({"client_id": "cli_1"}, None, "cli_1"),
        ({"id_token_hint": "t"}, HINT, "cli_1"),
        ({"id_token_hint": "t", "client_id": "cli_1"}, HINT, "cli_1"),
        ({"id_token_hint": "t"}, None, None),
        ({"id_token_hint": "t", "client_id": "cli_1"}, None, None),
    ],
    ids=["nobody says", "client_id", "a hint", "both", "a hint of somebody else", "and a client_id beside it"],
)
def test_who_asks_is_known_by_a_hint_or_by_name(
    parameters: dict[str, str], hint: Hint | None, client_id: str | None
) -> None:
    assert logout.find_client_id(asked(**parameters), hint) == client_id


def test_a_hint_of_one_client_and_the_name_of_another_is_an_error() -> None:  # RPL-02
    with pytest.raises(NoRecipient):
        logout.find_client_id(asked(id_token_hint="t", client_id="cli_2"), HINT)


@pytest.mark.parametrize("name", ["id_token_hint", "client_id", "post_logout_redirect_uri", "state", "unknown"])
def test_no_parameter_comes_twice(name: str) -> None:
    with pytest.raises(InvalidRequest):
        asked(**{name: ["a", "b"]})


# --- Where they go then


NATIVE = {"application_type": ApplicationType.NATIVE, "post_logout_redirect_uris": ("http://127.0.0.1/bye",)}
ELSEWHERE: list[tuple[str, str, Client | None]] = [
    ("a slash more", BYE + "/", CLIENT),
    ("a query more", BYE + "?x=1", CLIENT),
    ("a parameter more", QUERY + "&x=1", CLIENT),
    ("other letters", "https://client.example/BYE", CLIENT),
    ("a redirect URI", "https://client.example/cb", CLIENT),
    ("a redirect URI of a client with no other", BYE, a_client(redirect_uris=(BYE,))),
    ("of nobody", BYE, None),
    ("empty", "", CLIENT),
    ("another port of the loopback", "http://127.0.0.1:9/bye", a_client(**NATIVE)),
    ("a row that breaks the rules", "javascript:x", a_client(post_logout_redirect_uris=("javascript:x",))),
    ("an app's, of a website", APP, a_client(post_logout_redirect_uris=(APP,))),
]


@pytest.mark.parametrize(("uri", "client"), [e[1:] for e in ELSEWHERE], ids=[e[0] for e in ELSEWHERE])
def test_nobody_goes_where_it_is_not_registered_letter_by_letter(uri: str, client: Client | None) -> None:  # RPL-04
    request = built(HINT, client, post_logout_redirect_uri=uri, state="s")
    assert (request.redirect_uri, request.state, logout.build_location(request)) == (None, None, None)


@pytest.mark.parametrize(
    ("uri", "state", "location"),
    [
        (BYE, None, BYE),
        (BYE, "s", f"{BYE}?state=s"),
        (QUERY, "s", f"{QUERY}&state=s"),
        (QUERY, None, QUERY),
        (BYE, "a b&state=c#+%é\r\n", f"{BYE}?state=a%20b%26state%3Dc%23%2B%25%C3%A9%0D%0A"),
    ],
)
def test_the_state_goes_along_as_it_came(uri: str, state: str | None, location: str) -> None:
    assert logout.build_location(built(post_logout_redirect_uri=uri, state=state or "")) == location


@given(state=st.text(min_size=1))
def test_no_state_leads_elsewhere(state: str) -> None:
    location = logout.build_location(LogoutRequest(redirect_uri=QUERY, state=state)) or ""
    assert location.isascii()
    assert location.isprintable()
    assert location.startswith(QUERY)
    assert parse_qs(urlsplit(location).query) == {"from": ["us"], "state": [state]}


# --- Whether they are asked

STEPS: list[tuple[str, Hint | None, Session | None, tuple[str, ...], Step]] = [
    ("nobody is logged in", None, None, (), Step.NOTHING),
    ("nobody is, and a hint", HINT, None, (), Step.NOTHING),
    ("no hint", None, SESSION, (), Step.ASK),  # RPL-03
    ("a hint of this session", HINT, SESSION, (), Step.END),
    ("of another user", Hint("cli_1", "usr_2", "sid"), SESSION, (), Step.ASK),
    ("of another session", Hint("cli_1", "usr_1", "other"), SESSION, (), Step.ASK),
    ("of one that this one has replaced", Hint("cli_1", "usr_1", "old"), SESSION, ("older", "old"), Step.END),
    ("of one that another user had", Hint("cli_1", "usr_2", "old"), SESSION, ("old",), Step.ASK),
    ("of no session", Hint("cli_1", "usr_1", None), SESSION, (), Step.ASK),
]


@pytest.mark.parametrize(("hint", "session", "replaced", "step"), [s[1:] for s in STEPS], ids=[s[0] for s in STEPS])
def test_only_who_shows_that_it_is_of_this_session_ends_it_unasked(
    hint: Hint | None, session: Session | None, replaced: tuple[str, ...], step: Step
) -> None:
    assert logout.next_step(LogoutRequest(hint=hint), session, replaced=replaced) is step


NAMES, OTHER = Names("client.example", KEY), Names("other.example", KEY)
KNOWN = (NAMES.of_user("usr_1"), NAMES.of_session("sid"))
PAIRWISE: list[tuple[str, Hint, Names, tuple[str, ...], Step]] = [
    ("a hint of this session", Hint("cli_1", *KNOWN), NAMES, (), Step.END),
    ("of one that this one has replaced", Hint("cli_1", KNOWN[0], NAMES.of_session("old")), NAMES, ("old",), Step.END),
    ("of another session", Hint("cli_1", KNOWN[0], NAMES.of_session("other")), NAMES, ("old",), Step.ASK),
    ("of another user", Hint("cli_1", NAMES.of_user("usr_2"), KNOWN[1]), NAMES, (), Step.ASK),
    ("of another sector", Hint("cli_1", *KNOWN), OTHER, (), Step.ASK),
    ("of a client that knew them as everybody does", HINT, NAMES, (), Step.ASK),
    ("by our name for the session", Hint("cli_1", KNOWN[0], "sid"), NAMES, (), Step.ASK),
    ("by our name for the user", Hint("cli_1", "usr_1", KNOWN[1]), NAMES, (), Step.ASK),
]


@pytest.mark.parametrize(("hint", "names", "replaced", "step"), [r[1:] for r in PAIRWISE], ids=[r[0] for r in PAIRWISE])
def test_a_client_with_names_of_its_own_shows_it_by_them(
    hint: Hint, names: Names, replaced: tuple[str, ...], step: Step
) -> None:  # IDT-10
    assert logout.next_step(LogoutRequest(hint=hint), SESSION, names, replaced) is step


# --- While the user is asked


def test_what_is_sealed_comes_back_for_ten_minutes() -> None:
    request = LogoutRequest("cli_1", HINT, BYE, "s", "de")
    sealed = logout.seal(KEY, request, NOW)
    second = timedelta(seconds=1)
    assert logout.open_sealed(KEY, sealed, NOW + LIFE - second) == request
    assert logout.open_sealed(KEY, sealed, NOW + LIFE) == LogoutRequest()


@pytest.mark.parametrize("text", ["", "x", "\u1234", "A" * 20_000])
def test_what_was_not_sealed_here_asks_for_a_logout_and_nothing_else(text: str) -> None:
    sealed = logout.seal(bytes(31) + b"x", LogoutRequest("cli_1", HINT, BYE), NOW)
    for each in (text, sealed):
        assert logout.open_sealed(KEY, each, NOW) == LogoutRequest()


def test_what_is_too_long_to_travel_is_refused() -> None:
    with pytest.raises(NoRecipient):
        logout.seal(KEY, LogoutRequest(redirect_uri=BYE, state="s" * 12_000), NOW)

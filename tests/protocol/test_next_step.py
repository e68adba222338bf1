"""What comes next for an authorization request. The table is the rule."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.errors import ConsentRequired, LoginRequired, OAuthError
from authsvc.models import (
    ApplicationType,
    AuthMethod,
    Client,
    Consent,
    ConsentPolicy,
    Generations,
    Session,
)
from authsvc.protocol.next_step import Step, consent_of, covers, is_assured, next_step
from tests.protocol.asking import AUDIENCE, CLIENT, NOW, a_client, asked

LOGIN, CONSENT, ISSUE = Step
BORN = NOW - timedelta(minutes=1)
"""The request came a minute ago."""
ALL = Consent(scope=frozenset(CLIENT.scope), resources=frozenset({AUDIENCE}), claims=frozenset())
ONLY_OPENID = replace(ALL, scope=frozenset({"openid"}))
NAME = '{"userinfo":{"name":{"essential":true}}}'


def session(age: float, sub: str = "usr_1") -> Session:
    """Of a login that many seconds ago."""
    at = NOW - timedelta(seconds=age)
    return Session("sid", sub, "first-party", Generations(0, 0, 0), ("pwd",), at, NOW + timedelta(hours=1))


OLD, FRESH = session(3600), session(30)
PUBLIC: dict[str, Any] = {"auth_method": AuthMethod.NONE, "secret_digests": ()}
NATIVE = PUBLIC | {
    "application_type": ApplicationType.NATIVE,
    "redirect_uris": ("http://127.0.0.1/cb", "com.example.app:/cb", "https://client.example/cb"),
}
LOOPBACK = {"redirect_uri": "http://127.0.0.1:51004/cb"}
SCHEME = {"redirect_uri": "com.example.app:/cb"}
ALWAYS, NEVER = a_client(consent=ConsentPolicy.ALWAYS), a_client(consent=ConsentPolicy.NEVER)


def step(
    client: Client = CLIENT,
    *,
    session: Session | None = OLD,
    consent: Consent | None = ALL,
    allowed: bool = False,
    known_as: str | None = None,
    hinted_sub: str | None = None,
    now: datetime = NOW,
    **request: Any,
) -> Step:
    return next_step(
        asked(client, **request),
        client,
        born_at=BORN,
        session=session,
        consent=consent,
        allowed=allowed,
        known_as=known_as or (session.sub if session else None),
        hinted_sub=hinted_sub,
        now=now,
    )


Row = tuple[str, dict[str, Any], Step, type[OAuthError] | None]
# What there is and what is asked; what comes next; and what the client is told where it wants nobody asked.
ROWS: list[Row] = [
    ("logged in, and consented before", {}, ISSUE, None),
    ("nobody is logged in", {"session": None}, LOGIN, LoginRequired),
    ("nobody, and nothing was consented to", {"session": None, "consent": None}, LOGIN, LoginRequired),
    # How old a login may be (OID-04)
    ("max_age: an hour is old enough for an hour", {"max_age": "3600"}, ISSUE, None),
    ("max_age: an hour is too old for less", {"max_age": "3599"}, LOGIN, LoginRequired),
    ("max_age: 3599.8 seconds, and 3600.7 for who is told the whole second of the login",
     {"session": session(3599.1), "max_age": "3600", "now": NOW + timedelta(seconds=0.7)}, LOGIN, LoginRequired),
    ("max_age 10000", {"max_age": "10000"}, ISSUE, None),
    ("max_age 1", {"max_age": "1"}, LOGIN, LoginRequired),
    ("max_age 0", {"max_age": "0"}, LOGIN, LoginRequired),
    ("max_age 0 after a login of this second", {"max_age": "0", "session": session(60.5)}, LOGIN, LoginRequired),
    ("max_age 1 after a login since the request came", {"max_age": "1", "session": FRESH}, ISSUE, None),
    ("max_age 0 after a login since the request came", {"max_age": "0", "session": FRESH}, ISSUE, None),
    ("max_age of the client", {"client": a_client(default_max_age=60)}, LOGIN, LoginRequired),
    ("max_age of the request before that of the client", {"client": a_client(default_max_age=60), "max_age": "7200"},
     ISSUE, None),
    # Who it has to be (OID-05, OID-08)
    ("id_token_hint of the same user", {"hinted_sub": "usr_1"}, ISSUE, None),
    ("id_token_hint of another", {"hinted_sub": "usr_2"}, LOGIN, LoginRequired),
    ("id_token_hint by the name that the client has for the user", {"known_as": "p_1", "hinted_sub": "p_1"}, ISSUE,
     None),
    ("id_token_hint by a name that the client does not know", {"known_as": "p_1", "hinted_sub": "usr_1"}, LOGIN,
     LoginRequired),
    ("a sub by a name that the client does not know",
     {"known_as": "p_1", "claims": '{"id_token":{"sub":{"value":"usr_1"}}}'}, LOGIN, LoginRequired),
    ("a sub that is asked for", {"claims": '{"id_token":{"sub":{"value":"usr_1"}}}'}, ISSUE, None),
    ("one of two", {"claims": '{"id_token":{"sub":{"values":["usr_0","usr_1"]}}}'}, ISSUE, None),
    ("another sub", {"claims": '{"id_token":{"sub":{"value":"usr_2"}}}'}, LOGIN, LoginRequired),
    ("another sub in userinfo", {"claims": '{"userinfo":{"sub":{"value":"usr_2"}}}'}, LOGIN, LoginRequired),
    ("a sub of any value", {"claims": '{"id_token":{"sub":null}}'}, ISSUE, None),
    # Consent: what was allowed before
    ("nothing was", {"consent": None}, CONSENT, ConsentRequired),
    ("no scope was, and none is asked for", {"client": a_client(scope=()), "scope": None, "consent": None}, CONSENT,
     ConsentRequired),
    ("more is asked for", {"consent": ONLY_OPENID, "scope": "openid email"}, CONSENT, ConsentRequired),
    ("less is asked for", {"scope": "openid email"}, ISSUE, None),
    ("offline access was not", {"consent": ONLY_OPENID, "scope": "openid offline_access"}, CONSENT,
     ConsentRequired),  # OID-09
    ("offline access was", {"scope": "openid offline_access"}, ISSUE, None),
    ("a resource was", {"resource": AUDIENCE}, ISSUE, None),
    ("a resource was not", {"resource": AUDIENCE, "consent": replace(ALL, resources=frozenset())}, CONSENT,
     ConsentRequired),
    ("a claim was", {"claims": NAME, "consent": replace(ONLY_OPENID, claims=frozenset({"name"}))}, ISSUE, None),
    ("a claim was, with its scope", {"claims": NAME}, ISSUE, None),
    ("a claim was not", {"claims": NAME, "consent": ONLY_OPENID}, CONSENT, ConsentRequired),
    ("a claim of the ID token was not", {"claims": '{"id_token":{"email":null}}', "consent": ONLY_OPENID}, CONSENT,
     ConsentRequired),
    ("a claim that the client never gets", {"claims": '{"userinfo":{"phone_number":null}}', "consent": ONLY_OPENID},
     ISSUE, None),
    ("a claim that nobody gets", {"claims": '{"id_token":{"https://x.example/y":null}}', "consent": ONLY_OPENID},
     ISSUE, None),
    ("a claim about the login", {"claims": '{"id_token":{"auth_time":{"essential":true},"acr":null}}'}, ISSUE, None),
    # Consent: what the operator says
    ("ask always", {"client": ALWAYS}, CONSENT, ConsentRequired),
    ("never ask", {"client": NEVER, "consent": None}, ISSUE, None),
    ("never ask, but log in", {"client": NEVER, "consent": None, "session": None}, LOGIN, LoginRequired),
    ("never ask a first-party client's users",
     {"client": a_client(consent=ConsentPolicy.NEVER, first_party=True, **NATIVE), "consent": None} | LOOPBACK, ISSUE,
     None),
    # Consent: a client that anybody may say they are (AUZ-14)
    ("public, on the loopback", {"client": a_client(**NATIVE)} | LOOPBACK, CONSENT, ConsentRequired),
    ("public, by a scheme of its own", {"client": a_client(**NATIVE)} | SCHEME, CONSENT, ConsentRequired),
    ("public, and never to be asked", {"client": a_client(consent=ConsentPolicy.NEVER, **NATIVE)} | SCHEME, CONSENT,
     ConsentRequired),
    ("public, by https", {"client": a_client(**NATIVE)}, ISSUE, None),
    ("public and first party", {"client": a_client(first_party=True, **NATIVE)} | LOOPBACK, ISSUE, None),
    ("with a secret, on the loopback", {"client": a_client(**NATIVE | {"auth_method": None})} | LOOPBACK, ISSUE, None),
    ("public, and allowed right now", {"client": a_client(**NATIVE), "allowed": True} | LOOPBACK, ISSUE, None),
    # Consent: this very request was allowed right now
    ("allowed", {"consent": None, "allowed": True}, ISSUE, None),
    ("allowed, and asked always", {"client": ALWAYS, "allowed": True}, ISSUE, None),
    ("allowed, but logged out since", {"allowed": True, "session": None}, LOGIN, LoginRequired),
    ("allowed, but too old a login", {"allowed": True, "max_age": "1"}, LOGIN, LoginRequired),
    ("allowed, by another than the hint names", {"allowed": True, "hinted_sub": "usr_2"}, LOGIN, LoginRequired),
]  # fmt: skip
EVERY_ROW = pytest.mark.parametrize(
    ("there_is", "expected", "told"), [pytest.param(*row, id=name) for name, *row in ROWS]
)


@EVERY_ROW
def test_what_comes_next(there_is: dict[str, Any], expected: Step, told: type[OAuthError] | None) -> None:
    assert step(**there_is) is expected


@EVERY_ROW
def test_what_is_told_to_who_wants_nobody_asked(
    there_is: dict[str, Any], expected: Step, told: type[OAuthError] | None
) -> None:  # OID-03
    if told is None:
        assert step(**there_is, prompt="none") is ISSUE
    else:
        with pytest.raises(told):
            step(**there_is, prompt="none")


# What is asked for by prompt, of a user who is logged in and has consented before (OID-02, OID-04).
PROMPTS: list[tuple[str, dict[str, Any], Step]] = [
    ("login", {}, LOGIN),
    ("login", {"session": FRESH}, ISSUE),
    ("login", {"session": session(60)}, ISSUE),  # in the very moment that the request came
    ("login", {"session": session(60.001)}, LOGIN),
    ("select_account", {}, LOGIN),
    ("select_account", {"session": FRESH}, ISSUE),
    ("consent", {}, CONSENT),
    ("consent", {"session": FRESH}, CONSENT),
    ("consent", {"client": NEVER}, CONSENT),
    ("consent", {"allowed": True}, ISSUE),
    ("login consent", {}, LOGIN),
    ("login consent", {"session": FRESH}, CONSENT),
    ("login consent", {"allowed": True}, LOGIN),
    ("login consent", {"session": FRESH, "allowed": True}, ISSUE),
    ("login select_account consent", {"session": None}, LOGIN),
]


@pytest.mark.parametrize(
    ("prompt", "there_is", "expected"),
    [pytest.param(*row, id=f"{number} {row[0]}") for number, row in enumerate(PROMPTS)],
)
def test_what_the_client_wants_the_user_asked(prompt: str, there_is: dict[str, Any], expected: Step) -> None:
    assert step(prompt=prompt, **there_is) is expected


@pytest.mark.parametrize("there_is", [{"hinted_sub": "usr_2"}, {"claims": '{"id_token":{"sub":{"value":"usr_2"}}}'}])
@pytest.mark.parametrize("prompt", ["", "login", "consent"])
def test_who_logs_in_as_another_than_is_wanted_is_not_asked_for_ever(there_is: dict[str, Any], prompt: str) -> None:
    with pytest.raises(LoginRequired):  # OID-05, OID-08
        step(session=FRESH, prompt=prompt, allowed=True, **there_is)


def test_the_identity_of_a_client_is_assured_by_a_secret_by_a_domain_or_by_the_operator() -> None:  # AUZ-14
    for uri in ("http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb", "com.example.app:/cb"):
        assert not is_assured(a_client(**PUBLIC), uri)
        assert is_assured(a_client(first_party=True, **PUBLIC), uri)
        assert is_assured(CLIENT, uri)
    assert is_assured(a_client(**PUBLIC), "https://client.example/cb")


FEW = st.frozensets(st.sampled_from("abc"))
CONSENTS = st.builds(Consent, scope=FEW, resources=FEW, claims=FEW)


@given(CONSENTS, CONSENTS)
def test_consent_covers_what_is_no_more_in_any_respect(given_: Consent, wanted: Consent) -> None:
    more = (wanted.scope - given_.scope) | (wanted.resources - given_.resources) | (wanted.claims - given_.claims)
    assert covers(given_, wanted) == (not more)


def test_who_allows_a_request_is_not_asked_for_the_same_again() -> None:
    for request in (
        {"scope": "openid offline_access"},
        {"scope": None},
        {"resource": AUDIENCE, "claims": '{"userinfo":{"name":null},"id_token":{"email":null}}'},
    ):
        assert step(consent=consent_of(asked(**request), CLIENT), **request) is ISSUE


@given(
    session=st.sampled_from([None, OLD, FRESH, session(0), session(3600, "usr_2")]),
    consent=st.sampled_from([None, ALL]),
    allowed=st.booleans(),
    hinted_sub=st.sampled_from([None, "usr_1", "usr_2"]),
    prompt=st.sampled_from(["", "login", "consent", "select_account", "login consent"]),
    max_age=st.sampled_from(["", "0", "1", "100000"]),
    policy=st.sampled_from(ConsentPolicy),
)
def test_a_login_and_an_answer_on_the_page_are_always_enough(policy: ConsentPolicy, **there_is: Any) -> None:
    """Nobody is sent to the same page twice: after a login there is no other, after consent none at all."""
    client = a_client(consent=policy)
    wanted = there_is["hinted_sub"] or "usr_1"
    try:
        first = step(client, **there_is)
    except LoginRequired:
        return
    if first is LOGIN:
        there_is |= {"session": session(1, wanted)}
        first = step(client, **there_is)
        assert first is not LOGIN
    if first is CONSENT:
        assert step(client, **there_is | {"allowed": True}) is ISSUE

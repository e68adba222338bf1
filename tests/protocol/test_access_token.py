"""Access tokens as claims: what is written comes back, and nothing else is read."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from authsvc.models import AccessToken, Generations, JsonObject
from authsvc.protocol import access_token, keys, subjects
from authsvc.protocol.access_token import SEALED, TYP, build_claims, is_current, parse, shown_sub
from authsvc.protocol.jwt import Rejected, Signed, Signer, Verified, Verifier, verify, verify_signature
from authsvc.protocol.subjects import Hidden

ISSUER = "https://auth.example"
NOW = 1_800_000_000
KEY = keys.generate("Ed25519")
SIGNER = Signer.from_private_bytes(KEY.kid, KEY.private_bytes)
VERIFIERS = {KEY.kid: Verifier.from_jwk(KEY.public_jwk)}

USER_TOKEN = AccessToken(
    jti="j_1",
    sub="u_1",
    client_id="c_1",
    kid=KEY.kid,
    audience=("https://api.example",),
    scope=("read", "write"),
    issued_at=NOW,
    expires_at=NOW + 600,
    generations=Generations(client=1, everything=2, user=3),
    grant_id="g_1",
    sid="s_1",
    authenticated_at=NOW - 60,
    methods=("pwd", "otp"),
)
CLIENT_TOKEN = replace(
    USER_TOKEN,
    sub="c_1",
    generations=Generations(client=1, everything=2),
    grant_id=None,
    sid=None,
    authenticated_at=None,
    methods=(),
)
PAIRWISE_TOKEN = replace(USER_TOKEN, pairwise_sub="p_1")
SECRET = b"s" * 32
CLAIMS = build_claims(USER_TOKEN, ISSUER)
CLIENT_CLAIMS = build_claims(CLIENT_TOKEN, ISSUER)
PAIRWISE_CLAIMS = build_claims(PAIRWISE_TOKEN, ISSUER, SECRET)


def read(claims: JsonObject, secret: bytes | None = SECRET) -> AccessToken | Rejected:
    """Both ways, which must not differ in what they take."""
    found = parse(Verified(KEY.kid, claims), ISSUER, secret)
    try:
        payload = json.dumps(claims, separators=(",", ":")).encode("ascii")
    except TypeError:  # no JSON
        return found
    read = access_token.read(Signed(KEY.kid, payload), ISSUER, secret)
    assert read == found or (isinstance(read, Rejected) and isinstance(found, Rejected))
    assert (read is SEALED) == (found is SEALED)
    return found


def without(name: str, claims: JsonObject = CLAIMS) -> JsonObject:
    return {member: value for member, value in claims.items() if member != name}


# --- What is written


def test_the_claims_are_those_of_rfc_9068() -> None:
    """AT-02, AT-06, AT-07."""
    assert CLAIMS == {
        "iss": ISSUER,
        "sub": "u_1",
        "aud": "https://api.example",
        "exp": NOW + 600,
        "iat": NOW,
        "jti": "j_1",
        "client_id": "c_1",
        "gen": {"u": 3, "c": 1, "g": 2},
        "scope": "read write",
        "grant_id": "g_1",
        "sid": "s_1",
        "auth_time": NOW - 60,
        "amr": ["pwd", "otp"],
    }


def test_a_client_s_own_token_says_nothing_of_a_user() -> None:
    """AT-03."""
    assert CLIENT_CLAIMS == {
        "iss": ISSUER,
        "sub": "c_1",
        "aud": "https://api.example",
        "exp": NOW + 600,
        "iat": NOW,
        "jti": "j_1",
        "client_id": "c_1",
        "gen": {"c": 1, "g": 2},
        "scope": "read write",
    }


def test_the_audience_is_a_text_when_there_is_one_and_a_list_when_there_are_more() -> None:
    two = replace(USER_TOKEN, audience=("https://api.example", ISSUER + "/api/v1"))

    assert build_claims(two, ISSUER)["aud"] == ["https://api.example", "https://auth.example/api/v1"]


def test_a_token_of_a_client_with_pairwise_subjects_tells_nothing_that_all_tokens_of_a_user_have() -> None:  # IDT-10
    assert (
        without("sid")
        | {
            "sub": "p_1",
            "gen": {"c": 1, "g": 2},
            "sealed": subjects.seal(SECRET, "j_1", Hidden("u_1", 3, "s_1")),
        }
        == PAIRWISE_CLAIMS
    )
    assert (shown_sub(PAIRWISE_TOKEN), shown_sub(USER_TOKEN)) == ("p_1", "u_1")


def test_the_claims_of_other_tokens_are_what_they_were() -> None:
    assert build_claims(USER_TOKEN, ISSUER, SECRET) == CLAIMS
    assert read(CLAIMS, secret=None) == USER_TOKEN


def test_a_token_with_a_pairwise_sub_is_not_written_without_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        build_claims(PAIRWISE_TOKEN, ISSUER)
    with pytest.raises(ValueError, match="secret"):
        build_claims(replace(CLIENT_TOKEN, pairwise_sub="p_1"), ISSUER, SECRET)


# --- What comes back

TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)
SCOPES = st.text(st.sampled_from("abc:/.!#[]~"), min_size=1, max_size=5)
NUMBERS = st.integers(0, 2**53)


@st.composite
def access_tokens(draw: st.DrawFn) -> AccessToken:
    client_id, issued_at = draw(TEXT), draw(st.integers(0, 2**52))
    token = AccessToken(
        jti=draw(TEXT),
        sub=client_id,
        client_id=client_id,
        kid=KEY.kid,
        audience=tuple(draw(st.lists(TEXT, min_size=1, max_size=3))),
        scope=tuple(draw(st.lists(SCOPES, max_size=3, unique=True))),
        issued_at=issued_at,
        expires_at=issued_at + draw(st.integers(1, 3600)),
        generations=Generations(draw(NUMBERS), draw(NUMBERS)),
    )
    if draw(st.booleans()):
        return token
    sid, grant_id = draw(st.sampled_from([("s", None), (None, "g"), ("s", "g")]))
    return replace(
        token,
        sub=draw(TEXT.filter(lambda sub: sub != client_id)),
        generations=replace(token.generations, user=draw(NUMBERS)),
        sid=sid and draw(TEXT),
        grant_id=grant_id and draw(TEXT),
        authenticated_at=draw(st.none() | NUMBERS),
        methods=tuple(draw(st.lists(TEXT, max_size=2))),
        pairwise_sub=draw(st.none() | TEXT),
    )


@given(access_tokens())
def test_what_is_signed_comes_back_the_same(token: AccessToken) -> None:
    text = SIGNER.sign(TYP, build_claims(token, ISSUER, SECRET))
    verified, signed = verify(text, VERIFIERS, typ=TYP), verify_signature(text, VERIFIERS, typ=TYP)

    assert isinstance(verified, Verified)
    assert parse(verified, ISSUER, SECRET) == token
    assert isinstance(signed, Signed)
    assert access_token.read(signed, ISSUER, SECRET) == token


def test_what_was_minted_here_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as an object first: that is two thirds of the time."""
    monkeypatch.delattr(Signed, "read")
    plain = (USER_TOKEN, replace(USER_TOKEN, audience=("a", "b"), methods=(), scope=()))
    for token in (*plain, CLIENT_TOKEN, *(replace(each, pairwise_sub="p_1") for each in plain)):
        signed = verify_signature(SIGNER.sign(TYP, build_claims(token, ISSUER, SECRET)), VERIFIERS, typ=TYP)
        assert isinstance(signed, Signed)
        assert access_token.read(signed, ISSUER, SECRET) == token


ACCEPTED: list[tuple[str, JsonObject, AccessToken]] = [
    ("a session only", without("grant_id"), replace(USER_TOKEN, grant_id=None)),
    ("a grant only", without("sid"), replace(USER_TOKEN, sid=None)),
    ("no scope", without("scope"), replace(USER_TOKEN, scope=())),
    ("a list of one audience", {**CLAIMS, "aud": ["https://api.example"]}, USER_TOKEN),
    ("JWT-07 fractions", {**CLAIMS, "exp": NOW + 600.9, "iat": NOW + 0.9, "auth_time": NOW - 59.1}, USER_TOKEN),
    ("a claim of a later version", {**CLAIMS, "acr": "1"}, USER_TOKEN),
    ("AT-10 the longest life", {**CLAIMS, "exp": NOW + 3600}, replace(USER_TOKEN, expires_at=NOW + 3600)),
    (
        "FLT-45 beyond 32 bits",
        {**CLAIMS, "exp": 253_402_300_799, "iat": 253_402_300_000},
        replace(USER_TOKEN, issued_at=253_402_300_000, expires_at=253_402_300_799),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("claims", "token"), [pytest.param(c, t, id=name) for name, c, t in ACCEPTED])
def test_other_ways_to_say_the_same_are_read(claims: JsonObject, token: AccessToken) -> None:
    assert read(claims) == token


WRITTEN = json.dumps(CLAIMS, separators=(",", ":"))
SPELLED = {
    "spaces": json.dumps(CLAIMS, indent=1),
    "another order": json.dumps(CLAIMS, sort_keys=True, separators=(",", ":")),
    "letters by number": WRITTEN.replace('"u_1"', '"\\u0075_1"'),
    "a name by number": WRITTEN.replace('"sub"', '"s\\u0075b"'),
    "a claim of a later version": WRITTEN[:-1] + ',"acr":{"a":1}}',
}
SPELLED_WRONG = {
    "JWT-06 a name twice": WRITTEN[:-1] + ',"sub":"u_1"}',
    "JWT-06 another first": '{"sub":"u_2",' + WRITTEN[1:],
    "JWT-06 a name twice, once by number": WRITTEN[:-1] + ',"s\\u0075b":"u_1"}',
    "JWT-06 twice in a member": WRITTEN.replace('"gen":{', '"gen":{"c":1,'),
    "JWT-06 twice in what is unknown": WRITTEN[:-1] + ',"acr":{"a":1,"a":1}}',
    "a mark of the byte order": "\ufeff" + WRITTEN,
    "two objects": WRITTEN * 2,
    "an end too early": WRITTEN[:-1],
    "a list": f"[{WRITTEN}]",
    "nothing": "",
    "very deep": "[" * 4000,
}


@pytest.mark.parametrize("payload", [pytest.param(payload, id=name) for name, payload in SPELLED.items()])
def test_how_the_claims_are_spelled_does_not_matter(payload: str) -> None:
    assert access_token.read(Signed(KEY.kid, payload.encode()), ISSUER) == USER_TOKEN


@pytest.mark.parametrize("payload", [pytest.param(payload, id=name) for name, payload in SPELLED_WRONG.items()])
def test_what_is_not_one_object_with_each_name_once_is_refused(payload: str) -> None:
    assert isinstance(access_token.read(Signed(KEY.kid, payload.encode()), ISSUER), Rejected)


# --- What is refused

NO_NUMERIC_DATE: tuple[Any, ...] = (
    "1",
    "",
    True,
    False,
    None,
    math.nan,
    math.inf,
    -math.inf,
    -1,
    -0.5,
    2**53 + 2,
    10**400,
    1e300,
    [1],
    {},
)
NO_TEXT: tuple[Any, ...] = ("", None, 5, True, [], {}, b"x", "a\0b", "\ud800", "\u202e", "ü", "a\nb", "x" * 3000)
NO_AUDIENCE: tuple[Any, ...] = ("", None, 5, [], [5], [""], ["a", None], ["\ud800"], [["a"]], {"a": 1})
NO_GEN: tuple[Any, ...] = (
    None,
    [],
    5,
    {},
    {"c": 1, "g": 2},
    {"u": 1, "c": 1},
    {"u": 1, "g": 1},
    {"u": 1, "c": 1, "g": 1, "x": 1},
)

REFUSED: list[tuple[str, JsonObject]] = [
    *((f"AT-02 no {name}", without(name)) for name in ("iss", "sub", "aud", "exp", "iat", "jti", "client_id", "gen")),
    *(
        (f"JWT-07 {name} {value!r:.20}", {**CLAIMS, name: value})
        for name in ("exp", "iat", "auth_time")
        for value in NO_NUMERIC_DATE
    ),
    *(
        (f"ATK-16 {name} {value!r:.20}", {**CLAIMS, name: value})
        for name in ("sub", "jti", "client_id", "sid", "grant_id")
        for value in NO_TEXT
    ),
    *((f"ATK-16 aud {value!r}", {**CLAIMS, "aud": value}) for value in NO_AUDIENCE),
    *((f"ATK-16 gen {value!r}", {**CLAIMS, "gen": value}) for value in NO_GEN),
    *(
        (f"gen.{name} {value!r}", {**CLAIMS, "gen": {**CLAIMS["gen"], name: value}})
        for name in "ucg"
        for value in (-1, 1.0, 1.5, "1", True, None, 2**53 + 1)
    ),
    *(
        (f"scope {scope!r}", {**CLAIMS, "scope": scope})
        for scope in ("", " ", "a  b", 'a"b', "a ", "ü", "\ud800", None, ["a"], 5)
    ),
    *((f"amr {amr!r}", {**CLAIMS, "amr": amr}) for amr in ("pwd", None, [5], [""], ["\0"], {"pwd": 1})),
    *(
        (f"ATK-19 iss {issuer!r}", {**CLAIMS, "iss": issuer})
        for issuer in (ISSUER + "/", ISSUER[:-1], ISSUER + ".evil", ISSUER.upper(), "", None, [ISSUER], 5)
    ),
    ("ATK-17 exp before iat", {**CLAIMS, "exp": NOW - 1}),
    ("ATK-17 exp is iat", {**CLAIMS, "exp": NOW}),
    ("ATK-17 exp is iat but for a fraction", {**CLAIMS, "exp": NOW + 0.5}),
    ("AT-10 a second too long", {**CLAIMS, "exp": NOW + 3601}),
    ("ATK-17 a hundred years", {**CLAIMS, "exp": NOW + 100 * 365 * 86_400}),
    ("a user without number", {**CLAIMS, "gen": CLIENT_CLAIMS["gen"]}),
    ("a user without session and grant", without("sid", without("grant_id"))),
    ("a client with the number of a user", {**CLIENT_CLAIMS, "gen": CLAIMS["gen"]}),
    ("a client with a session", {**CLIENT_CLAIMS, "sid": "s_1"}),
    ("a client with a grant", {**CLIENT_CLAIMS, "grant_id": "g_1"}),
    ("a user who is called like the client", {**CLAIMS, "sub": "c_1"}),
    ("a client that is called like a user", {**CLIENT_CLAIMS, "sub": "u_1"}),
    ("nothing", {}),
    *(
        (f"sealed {value!r:.20}", {**PAIRWISE_CLAIMS, "sealed": value})
        for value in (*NO_TEXT, "x", "A" * 100, PAIRWISE_CLAIMS["sealed"][:-2])
    ),
    ("sealed for another token", {**PAIRWISE_CLAIMS, "jti": "j_2"}),
    ("sealed by another deployment", build_claims(PAIRWISE_TOKEN, ISSUER, b"t" * 32)),
    ("sealed, and nothing is hidden", {**CLAIMS, "sealed": PAIRWISE_CLAIMS["sealed"]}),
    ("sealed, beside a number", {**PAIRWISE_CLAIMS, "gen": CLAIMS["gen"]}),
    ("sealed, beside a session", {**PAIRWISE_CLAIMS, "sid": "s_1"}),
    ("sealed no more", {name: value for name, value in PAIRWISE_CLAIMS.items() if name != "sealed"}),
    ("sealed: the client itself",
     {**PAIRWISE_CLAIMS, "sealed": subjects.seal(SECRET, "j_1", Hidden("c_1", 3, "s_1"))}),
    ("sealed: no session and no grant",
     build_claims(replace(PAIRWISE_TOKEN, sid=None, grant_id=None), ISSUER, SECRET)),
]  # fmt: skip


@pytest.mark.parametrize("claims", [pytest.param(claims, id=name) for name, claims in REFUSED])
def test_claims_that_were_not_written_here_are_refused(claims: JsonObject) -> None:
    assert isinstance(read(claims), Rejected)


def test_what_is_sealed_is_not_believed_without_the_secret() -> None:
    assert read(PAIRWISE_CLAIMS) == PAIRWISE_TOKEN
    assert read(PAIRWISE_CLAIMS, secret=None) is SEALED
    assert read(CLAIMS | {"sealed": "x"}, secret=None) is SEALED, "whatever it is"
    for wrong in ({"iss": "https://another.example"}, {"exp": NOW}, {"sealed": ""}):
        assert read(PAIRWISE_CLAIMS | wrong, secret=None) is not SEALED, "nobody asks a store for it"


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)) | st.lists(TEXT)


@given(st.dictionaries(st.sampled_from(sorted({*CLAIMS, "sealed"})), VALUES, min_size=1))
@settings(max_examples=100)
def test_no_claims_raise(changed: dict[str, Any]) -> None:
    read({**CLAIMS, **changed})
    read({**CLIENT_CLAIMS, **changed})
    read({**PAIRWISE_CLAIMS, **changed})
    read(changed)


# --- Time


@pytest.mark.parametrize(
    ("now", "current"),
    [
        (NOW - 5.1, False),
        (NOW - 5, True),  # minted next door, where the clock is ahead
        (NOW, True),
        (NOW + 599.999, True),
        (NOW + 600, False),  # JWT-10: no leeway at the end
        (NOW + 601, False),
        (NOW - 3600, False),  # ATK-17: iat an hour ahead
        (0, False),
    ],
)
def test_a_token_is_current_until_the_second_it_expires(now: float, current: bool) -> None:
    assert is_current(USER_TOKEN, now) is current

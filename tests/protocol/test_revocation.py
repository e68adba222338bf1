"""What can kill a token (design: the revocation contract)."""

from hypothesis import given
from hypothesis import strategies as st

from authsvc.models import AccessToken, Generations
from authsvc.protocol.revocation import marks_of, names_of

TEXT = st.text("abc-_019", min_size=1, max_size=8)
NUMBER = st.integers(0, 2**53)
TOKENS = st.builds(
    AccessToken,
    jti=TEXT,
    sub=TEXT,
    client_id=TEXT,
    kid=TEXT,
    audience=st.just(("https://a.example",)),
    scope=st.just(()),
    issued_at=NUMBER,
    expires_at=NUMBER,
    generations=st.builds(Generations, client=NUMBER, everything=NUMBER, user=st.none() | NUMBER),
    grant_id=st.none() | TEXT,
    sid=st.none() | TEXT,
)


@given(TOKENS)
def test_what_is_asked_for_a_token_is_all_that_can_kill_it(token: AccessToken) -> None:
    assert sorted(names_of(token)) == sorted(marks_of(token).all)


@given(TOKENS)
def test_any_one_of_them_kills_and_nothing_does_where_none_is_set(token: AccessToken) -> None:
    marks = marks_of(token)
    assert not marks.is_dead({})
    for name in names_of(token):
        assert marks.is_dead({name: 2**60})

"""Which pages may ask with the cookie of a session (spec: CSR-01, ATK-61, ATK-64)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.protocol.app_fetch import Fetch, is_from_app

OWN = "https://auth.example.com"
APP = "https://app.example.com"
FOREIGN = [
    "https://evil.example", "null", "", "https://app.example.com.evil.example", "https://evil-app.example.com",
    "http://app.example.com", "https://app.example.com:8443", "https://APP.example.com", "https://app.example.co",
    "https://app.example.com/", "*",
]  # fmt: skip


@pytest.mark.parametrize(
    ("site", "origins", "is_app"),
    [
        ("same-origin", (), True),
        ("same-origin", (OWN,), True),
        ("same-origin", (APP,), True),  # of a gateway's
        ("same-origin", ("null",), False),
        ("same-site", (APP,), True),
        ("same-site", (), False),
        ("same-site", (OWN,), True),  # to a gateway
        ("cross-site", (APP,), False),
        ("cross-site", (OWN,), False),
        ("cross-site", (), False),
        ("none", (), False),
        ("none", (OWN,), False),
        ("", (OWN,), False),
        ("Same-Origin", (OWN,), False),
        ("same-origin, cross-site", (OWN,), False),
        (None, (OWN,), True),
        (None, (APP,), True),
        (None, (), False),
        (None, ("null",), False),
        ("same-origin", (OWN, OWN), False),
        ("same-site", (APP, "https://evil.example"), False),
        (None, (APP, APP), False),
    ],
)
def test_a_page_of_ours_or_of_a_listed_neighbour_may_ask(
    site: str | None, origins: tuple[str, ...], is_app: bool
) -> None:
    assert is_from_app(Fetch(site, origins), OWN, {APP}) is is_app


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("site", ["same-origin", "same-site", "cross-site", "none", None])
def test_no_other_may(site: str | None, origin: str) -> None:
    assert not is_from_app(Fetch(site, (origin,)), OWN, {APP})


@given(site=st.none() | st.text(), origins=st.lists(st.text(), max_size=3).map(tuple))
def test_where_nothing_is_listed_our_own_pages_alone_may(site: str | None, origins: tuple[str, ...]) -> None:
    if is_from_app(Fetch(site, origins), OWN, ()):
        assert site in {"same-origin", "same-site", None}
        assert origins == (OWN,) or (site, origins) == ("same-origin", ())

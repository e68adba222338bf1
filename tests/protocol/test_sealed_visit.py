"""Where somebody goes who has logged in: nobody else can say it, and no other seal passes for it."""

import pytest

from authsvc.protocol import sealed_request, seals
from authsvc.protocol.sealed_request import WaitingRequest
from authsvc.protocol.sealed_visit import Visit, open_sealed, seal
from tests.protocol.asking import NOW, a_form

KEY, OTHER = bytes(32), bytes(31) + b"\x01"
VISIT = Visit("/account/sessions", was_interrupted=True)


def test_it_comes_back_as_it_went() -> None:
    assert open_sealed(KEY, seal(KEY, VISIT)) == VISIT
    assert open_sealed(KEY, seal(KEY, Visit("/account"))) == Visit("/account")


@pytest.mark.parametrize(
    "text",
    ["", "x", "ü", "\ud800", "/account", "https://x.example", "A" * 100_000, seal(OTHER, VISIT), seal(KEY, VISIT)[1:]],
    ids=range(9),
)
def test_what_was_not_sealed_here_leads_nowhere(text: str) -> None:
    assert open_sealed(KEY, text) is None


def test_a_seal_is_for_one_thing() -> None:
    assert open_sealed(KEY, sealed_request.seal(KEY, WaitingRequest(a_form(), NOW))) is None
    assert open_sealed(KEY, seals.seal(KEY, b"another\0", b'{"path":"/x","was_interrupted":false}')) is None
    assert seals.open_seal(KEY, b"another\0", seal(KEY, VISIT)) is None

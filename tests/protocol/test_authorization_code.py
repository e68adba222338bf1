"""What a code is bound to (COD-01, COD-02, PKC-05, PKC-06). Whether it is live is asked elsewhere."""

from dataclasses import replace
from typing import Any

import pytest

from authsvc.errors import InvalidGrant, InvalidRequest
from authsvc.models import AuthorizationCode, Generations
from authsvc.protocol.authorization_code import check_bindings
from tests.protocol.asking import CALLBACK, CHALLENGE, NOW

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CODE = AuthorizationCode(
    digest=bytes(32), client_id="cli_1", sub="usr_1", sid="sid", redirect_uri=CALLBACK, scope=("openid",), resources=(),
    code_challenge=CHALLENGE, nonce=None, claims=None, generations=Generations(0, 0, 0), methods=("pwd",),
    authenticated_at=NOW, session_ends_at=NOW, expires_at=NOW,
)  # fmt: skip
GOOD: dict[str, Any] = {
    "client_id": "cli_1", "redirect_uri": CALLBACK, "registered": (CALLBACK,), "code_verifier": VERIFIER
}  # fmt: skip
NO_PKCE = replace(CODE, code_challenge=None)
NAMELESS = replace(CODE, redirect_uri=None)


@pytest.mark.parametrize(
    ("code", "brought"),
    [
        (CODE, {}),
        (CODE, {"redirect_uri": None}),  # COD-02: PKCE says as much
        (NO_PKCE, {"code_verifier": None}),
        (NAMELESS, {"redirect_uri": None}),
        (NAMELESS, {}),
        (replace(NAMELESS, code_challenge=None), {"redirect_uri": None, "code_verifier": None}),
    ],
)
def test_who_asked_for_it_may_redeem_it(code: AuthorizationCode, brought: dict[str, Any]) -> None:
    assert check_bindings(code, **(GOOD | brought)) is code


@pytest.mark.parametrize(
    ("code", "brought", "error"),
    [
        (None, {}, InvalidGrant),
        (CODE, {"client_id": "cli_2"}, InvalidGrant),  # COD-01
        (CODE, {"redirect_uri": CALLBACK + "/"}, InvalidGrant),
        (CODE, {"redirect_uri": CALLBACK.upper()}, InvalidGrant),
        (NAMELESS, {"redirect_uri": CALLBACK + "/"}, InvalidGrant),  # COD-02: none of the client's
        (NAMELESS, {"registered": ("https://client.example/new",)}, InvalidGrant),
        (CODE, {"code_verifier": None}, InvalidGrant),  # PKC-06
        (CODE, {"code_verifier": VERIFIER[:-1] + "X"}, InvalidGrant),
        (CODE, {"code_verifier": CHALLENGE}, InvalidGrant),
        (CODE, {"code_verifier": "x"}, InvalidGrant),
        (NO_PKCE, {}, InvalidRequest),  # PKC-05
        (NO_PKCE, {"redirect_uri": None, "code_verifier": None}, InvalidGrant),
    ],
)
def test_nobody_else_may(code: AuthorizationCode | None, brought: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        check_bindings(code, **(GOOD | brought))


def test_an_unknown_code_and_another_clients_are_refused_in_the_same_words() -> None:  # COD-05
    with pytest.raises(InvalidGrant) as unknown:
        check_bindings(None, **GOOD)
    with pytest.raises(InvalidGrant) as anothers:
        check_bindings(CODE, **(GOOD | {"client_id": "cli_2"}))
    assert str(unknown.value) == str(anothers.value)

"""The certification plans `oidcc-rp-initiated-logout` and `oidcc-backchannel-rp-initiated-logout`: every module."""

from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest

from tests.oidf.module import Module
from tests.oidf.plans import BACKCHANNEL_LOGOUT, RP_INITIATED_LOGOUT
from tests.oidf.provider import LOGGED_OUT, TOLD, Provider

EVENT = "http://schemas.openid.net/event/backchannel-logout"
STATE = "s" * 64


@pytest.fixture
def one(provider: Provider) -> Iterator[Module]:
    with provider.open() as http:
        yield Module(provider, http, "query")


def check_stayed(module: Module, arrived: str | httpx2.Response) -> None:
    """At a page of ours, whatever was asked for."""
    assert isinstance(arrived, httpx2.Response), arrived
    assert arrived.headers["content-type"].startswith("text/html")
    assert module.shown[-1] in {"logged out", "error"}


def check_told_that_they_are_out(module: Module, arrived: str | httpx2.Response) -> None:
    check_stayed(module, arrived)
    assert module.shown[-1] == "logged out"
    assert module.is_logged_out()


def test_oidcc_rp_initiated_logout_discovery_endpoint_verification(provider: Provider) -> None:
    assert provider.metadata["end_session_endpoint"].startswith("https://")


def test_oidcc_rp_initiated_logout(one: Module) -> None:
    hint = one.tokens()["id_token"]
    one.shown.clear()
    arrived = one.log_out(id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT, state=STATE)
    assert arrived == f"{LOGGED_OUT}?state={STATE}"
    assert one.shown == []
    assert one.is_logged_out()


def test_oidcc_rp_initiated_logout_no_state(one: Module) -> None:
    hint = one.tokens()["id_token"]
    assert one.log_out(id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT) == LOGGED_OUT
    assert one.is_logged_out()


def test_oidcc_rp_initiated_logout_bad_post_logout_redirect_uri(one: Module) -> None:
    hint = one.tokens()["id_token"]
    elsewhere = LOGGED_OUT.replace("suite.example", "elsewhere.example")
    check_stayed(one, one.log_out(id_token_hint=hint, post_logout_redirect_uri=elsewhere, state=STATE))


def test_oidcc_rp_initiated_logout_query_added_to_post_logout_redirect_uri(one: Module) -> None:
    hint = one.tokens()["id_token"]
    check_stayed(one, one.log_out(id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT + "?foo=bar", state=STATE))


def test_oidcc_rp_initiated_logout_modified_id_token_hint(one: Module) -> None:
    told = one.tokens()["told"]
    hint = jwt.encode(told | {"sub": "modified"}, "", algorithm="none")
    check_stayed(one, one.log_out(id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT, state=STATE))
    assert "logout" in one.shown


def test_oidcc_rp_initiated_logout_bad_id_token_hint(one: Module) -> None:
    tokens = one.tokens()
    header = jwt.get_unverified_header(tokens["id_token"])
    hint = jwt.encode(tokens["told"], "k" * 32, algorithm="HS256", headers={"kid": header["kid"]})
    check_stayed(one, one.log_out(id_token_hint=hint, post_logout_redirect_uri=LOGGED_OUT, state=STATE))
    assert "logout" in one.shown


def test_oidcc_rp_initiated_logout_no_id_token_hint(one: Module) -> None:
    one.tokens()
    check_stayed(one, one.log_out(post_logout_redirect_uri=LOGGED_OUT, state=STATE))
    assert "logout" in one.shown


def test_oidcc_rp_initiated_logout_no_params(one: Module) -> None:
    one.tokens()
    check_told_that_they_are_out(one, one.log_out())


def test_oidcc_rp_initiated_logout_only_state(one: Module) -> None:
    one.tokens()
    check_told_that_they_are_out(one, one.log_out(state=STATE))


def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(one: Module) -> None:
    hint = one.tokens()["id_token"]
    check_told_that_they_are_out(one, one.log_out(id_token_hint=hint, state=STATE))


def test_oidcc_backchannel_logout_discovery_endpoint_verification(provider: Provider) -> None:
    assert provider.metadata["backchannel_logout_supported"] is True
    assert provider.metadata["backchannel_logout_session_supported"] is True
    assert provider.metadata["end_session_endpoint"].startswith("https://")


def test_oidcc_backchannel_rp_initiated_logout(one: Module) -> None:
    one.client = one.provider.told
    tokens = one.tokens()
    assert tokens["told"]["sid"]
    arrived = one.log_out(id_token_hint=tokens["id_token"], post_logout_redirect_uri=LOGGED_OUT, state=STATE)
    (told,) = one.provider.receiver.wait_for(TOLD)
    assert told.content_type.split(";")[0] == "application/x-www-form-urlencoded"
    assert told.form.keys() == {"logout_token"}
    check_logout_token(one, told.token, tokens["told"])
    assert arrived == f"{LOGGED_OUT}?state={STATE}"
    assert one.is_logged_out()


def check_logout_token(module: Module, token: str, id_token: dict[str, Any]) -> None:
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"]) == ("RS256", "logout+jwt")
    (key,) = [each for each in module.provider.keys if each["kid"] == header["kid"]]
    told = jwt.decode(
        token, jwt.PyJWK(key), algorithms=["RS256"], audience=module.client.client_id, issuer=module.provider.issuer,
        options={"require": ["iss", "aud", "iat", "exp", "jti"]},
    )  # fmt: skip
    assert told["events"] == {EVENT: {}}
    assert (told["sub"], told["sid"]) == (id_token["sub"], id_token["sid"])
    assert 0 < told["exp"] - told["iat"] <= 120
    assert told.keys() == {"iss", "aud", "iat", "exp", "jti", "events", "sub", "sid"}


def test_no_module_is_left_out() -> None:
    assert (len(RP_INITIATED_LOGOUT), len(BACKCHANNEL_LOGOUT)) == (11, 2)
    asked = {"test_oidcc_" + name.replace("-", "_") for name in (*RP_INITIATED_LOGOUT, *BACKCHANNEL_LOGOUT)}
    assert {name for name in globals() if name.startswith("test_oidcc_")} == asked

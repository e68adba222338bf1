"""The certification plans `oidcc-config`, `oidcc-basic` and `oidcc-formpost-basic`: every module, in their order."""

import json
import re
import time
from base64 import urlsafe_b64decode
from urllib.parse import urlsplit

import httpx2
import jwt

from authsvc.protocol.claims import SCOPES
from tests.oidf.checks import check_refused, check_tokens, check_userinfo, read_id_token
from tests.oidf.module import Module
from tests.oidf.plans import BASIC, CONFIG, MEMBERS
from tests.oidf.provider import CALLBACK, EMAIL, Provider

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?")
"""BCP 47 in the letters that it is usually written in."""

REQUIRED = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")


def test_oidcc_discovery_endpoint_verification(provider: Provider) -> None:
    answer = provider.http.get("/.well-known/openid-configuration")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json()
    assert told["issuer"] == provider.issuer
    assert told.keys() <= MEMBERS
    assert all(LOCALE.fullmatch(each) for each in told["ui_locales_supported"])
    for name, value in told.items():
        if name.endswith("_supported") or name.startswith("require_"):
            assert isinstance(value, bool) or (value and all(isinstance(each, str) for each in value)), name
        else:
            assert isinstance(value, str), name
    for name in {*REQUIRED, *(name for name in told if name.endswith("_endpoint"))}:
        assert told[name].startswith("https://"), name
    assert "RS256" in told["id_token_signing_alg_values_supported"]
    assert "code" in told["response_types_supported"]
    assert set(told["subject_types_supported"]) <= {"public", "pairwise"}
    assert "openid" in told["scopes_supported"]
    assert told["grant_types_supported"]
    assert "sub" in told["claims_supported"]
    assert told["code_challenge_methods_supported"] == ["S256"]


def test_the_keys_are_public_strong_and_told_apart(provider: Provider) -> None:
    assert len({key["kid"] for key in provider.keys}) == len(provider.keys)
    for key in provider.keys:
        assert key.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
        number = key["n"] if key["kty"] == "RSA" else key["x"]
        bits = 8 * len(urlsafe_b64decode(number + "=="))
        assert bits >= (2048 if key["kty"] == "RSA" else 224)


def test_oidcc_server(module: Module) -> None:
    tokens = module.tokens()
    assert module.shown[0] == "login"
    assert module.userinfo(tokens) == {"sub": module.provider.sub}, "what nobody asked for"


def test_oidcc_response_type_missing(module: Module) -> None:
    assert module.fail(module.request(response_type=None)) == "invalid_request"


def test_oidcc_idtoken_signature(module: Module) -> None:
    header = jwt.get_unverified_header(module.tokens()["id_token"])
    assert header["alg"] == "RS256"
    assert header["kid"]


def test_oidcc_idtoken_unsigned(module: Module) -> None:
    """Skipped by the suite, and rightly: nothing is ever unsigned."""
    assert "none" not in module.provider.metadata["id_token_signing_alg_values_supported"]


def test_oidcc_userinfo_get(module: Module) -> None:
    module.userinfo(module.tokens())


def test_oidcc_userinfo_post_header(module: Module) -> None:
    answer = module.ask_userinfo(module.tokens()["access_token"], "POST")
    check_userinfo(module.provider, answer)


def test_oidcc_userinfo_post_body(module: Module) -> None:
    tokens = module.tokens()
    url = module.provider.metadata["userinfo_endpoint"]
    check_userinfo(module.provider, module.provider.http.post(url, data={"access_token": tokens["access_token"]}))


def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(module: Module) -> None:
    assert "nonce" not in module.tokens(nonce=None)["told"]


def check_scope(module: Module, scope: str) -> None:
    assert scope in module.provider.metadata["scopes_supported"]
    told = module.userinfo(module.tokens(scope=f"openid {scope}"))
    assert told.keys() == {"sub", *SCOPES[scope]}


def test_oidcc_scope_profile(module: Module) -> None:
    check_scope(module, "profile")


def test_oidcc_scope_email(module: Module) -> None:
    check_scope(module, "email")


def test_oidcc_scope_address(module: Module) -> None:
    check_scope(module, "address")


def test_oidcc_scope_phone(module: Module) -> None:
    check_scope(module, "phone")


def test_oidcc_scope_all(module: Module) -> None:
    told = module.userinfo(module.tokens(scope=" ".join(["openid", *SCOPES])))
    assert told.keys() == {"sub"}.union(*SCOPES.values())
    assert told["email"] == EMAIL


def test_oidcc_alternate_happy_flow(module: Module) -> None:
    asked = module.request(scope="email openid")
    tokens = check_tokens(module.redeem(module.arrive(dict(reversed(asked.items())))))
    read_id_token(module.provider, tokens, module.client.client_id, asked["nonce"])
    assert module.userinfo(tokens)["email"] == EMAIL


def test_oidcc_display_page(module: Module) -> None:
    module.tokens(display="page")


def test_oidcc_display_popup(module: Module) -> None:
    module.tokens(display="popup")


def test_oidcc_prompt_login(module: Module) -> None:
    first = module.tokens()["told"]
    module.shown.clear()
    module.provider.let_pass(2)
    second = module.tokens(prompt="login")["told"]
    assert module.shown == ["login"]
    assert second["auth_time"] + 2 > first["auth_time"]
    assert second["sub"] == first["sub"]


def test_oidcc_prompt_none_not_logged_in(module: Module) -> None:
    state = "s" * 128
    assert module.fail(module.request(prompt="none", state=state)) == "login_required"
    assert module.shown == []


def test_oidcc_prompt_none_logged_in(module: Module) -> None:
    first = module.tokens()["told"]
    module.shown.clear()
    second = module.tokens(prompt="none")["told"]
    assert module.shown == []
    assert (second["sub"], second["auth_time"]) == (first["sub"], first["auth_time"])


def test_oidcc_max_age_1(module: Module) -> None:
    first = module.tokens()["told"]
    module.shown.clear()
    module.provider.let_pass(2)
    second = module.tokens(max_age="1")["told"]
    assert module.shown == ["login"]
    assert time.time() - second["auth_time"] < 30
    assert second["auth_time"] + 2 > first["iat"]


def test_oidcc_max_age_10000(module: Module) -> None:
    first = module.tokens(max_age="10000")["told"]
    module.shown.clear()
    second = module.tokens(max_age="10000")["told"]
    assert module.shown == []
    assert (second["sub"], second["auth_time"]) == (first["sub"], first["auth_time"])


def test_oidcc_ensure_request_with_unknown_parameter_succeeds(module: Module) -> None:
    module.tokens(extra="foobar")


def test_oidcc_id_token_hint(module: Module) -> None:
    first = module.tokens()
    module.shown.clear()
    second = module.tokens(prompt="none", id_token_hint=first["id_token"])
    assert module.shown == []
    assert second["told"]["sub"] == first["told"]["sub"]


def test_oidcc_login_hint(module: Module) -> None:
    module.tokens(login_hint=f"buffy@{urlsplit(module.provider.issuer).hostname}")


def test_oidcc_ui_locales(module: Module) -> None:
    module.tokens(ui_locales="se")


def test_oidcc_claims_locales(module: Module) -> None:
    module.tokens(claims_locales="se")


def test_oidcc_ensure_request_with_acr_values_succeeds(module: Module) -> None:
    values = module.provider.metadata["acr_values_supported"]
    assert module.tokens(acr_values=" ".join(values))["told"]["acr"] in values


def test_oidcc_codereuse(module: Module) -> None:
    code = module.arrive(module.request())
    check_tokens(module.redeem(code))
    check_refused(module.redeem(code), "invalid_grant")


def test_oidcc_codereuse_30seconds(module: Module) -> None:
    code = module.arrive(module.request())
    tokens = check_tokens(module.redeem(code))
    module.userinfo(tokens)
    module.provider.let_pass(30)
    check_refused(module.redeem(code), "invalid_grant")
    answer = module.ask_userinfo(tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_oidcc_ensure_registered_redirect_uri(module: Module) -> None:
    for unregistered in (CALLBACK + "/unregistered", CALLBACK + "?x=1", "https://elsewhere.example/callback"):
        page = module.send(module.request(redirect_uri=unregistered))
        assert isinstance(page, httpx2.Response)
        assert (page.status_code, page.has_redirect_location) == (400, False)
        assert unregistered not in page.text
    assert set(module.shown) == {"error"}


def test_oidcc_ensure_post_request_succeeds(module: Module) -> None:
    module.tokens("POST")


def test_oidcc_server_client_secret_post(module: Module) -> None:
    module.client = module.provider.post
    module.userinfo(module.tokens())


def around_object(asked: dict[str, str]) -> dict[str, str]:
    """This request in an unsigned object, and beside it what OAuth wants to see."""
    beside = {name: asked[name] for name in ("response_type", "client_id", "scope", "redirect_uri")}
    return {"request": jwt.encode(asked | {"iss": asked["client_id"]}, "", algorithm="none"), **beside}


def test_oidcc_request_uri_unsigned_supported_correctly_or_rejected_as_unsupported(module: Module) -> None:
    """What stands in the object nobody has fetched, the state and the wish for a form among it."""
    sent = around_object(module.request())
    del sent["request"]
    assert module.fail(sent | {"request_uri": "https://suite.example/requests/1"}) == "request_uri_not_supported"


def test_oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(module: Module) -> None:
    """In the plan for `form_post` no error may come by the query, and the wish for it stands in the object alone."""
    asked = module.request()
    assert module.fail(around_object(asked), asked) == "request_not_supported"


def test_oidcc_claims_essential(module: Module) -> None:
    claims = json.dumps({"userinfo": {"name": {"essential": True}}})
    tokens = module.tokens(claims=claims)
    assert "name" not in tokens["told"]
    assert module.userinfo(tokens)["name"] == "Ada King"


def test_oidcc_ensure_request_object_with_redirect_uri(module: Module) -> None:
    """The good one is in the object, and that is not read: nobody is sent to the one that is registered for want of
    another."""
    sent = around_object(module.request())
    for beside in ({"redirect_uri": CALLBACK + "/unregistered"}, {"redirect_uri": ""}):
        page = module.send(sent | beside)
        assert isinstance(page, httpx2.Response)
        assert (page.status_code, page.has_redirect_location) == (400, False)


def test_oidcc_refresh_token(module: Module) -> None:
    assert "refresh_token" in module.provider.metadata["grant_types_supported"]
    assert "offline_access" in module.provider.metadata["scopes_supported"]
    of_both = {}
    for client in (module.provider.basic, module.provider.second):
        module.client = client
        tokens = module.tokens(scope="openid offline_access", prompt="consent")
        module.userinfo(tokens)
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        scope = {"scope": "openid offline_access"} if client is module.provider.basic else {}
        again = check_tokens(module.post(form | scope))
        told = read_id_token(module.provider, again, client.client_id, None)
        for claim in ("iss", "sub", "aud", "auth_time"):
            assert told.get(claim) == tokens["told"].get(claim), claim
        assert again["access_token"] != tokens["access_token"]
        module.userinfo(again)
        of_both[client] = again["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": of_both[module.provider.second]}
    check_refused(module.post(form, module.provider.basic), "invalid_grant")
    check_tokens(module.post(form, module.provider.second))


def test_oidcc_ensure_request_with_valid_pkce_succeeds(module: Module) -> None:
    asked = module.request(code_challenge=CHALLENGE, code_challenge_method="S256")
    check_tokens(module.redeem(module.arrive(asked), code_verifier=VERIFIER))


def test_no_module_is_left_out() -> None:
    """Nor is there one of another name, which would be thought to be of the plan."""
    assert len(BASIC) == 38
    asked = {"test_oidcc_" + name.replace("-", "_") for name in (CONFIG, *BASIC)}
    assert {name for name in globals() if name.startswith("test_oidcc_")} == asked

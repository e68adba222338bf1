"""What a client may be registered as, where it sends its users to be logged in."""

from typing import Any

import pytest

from authsvc.errors import InvalidValue
from authsvc.models import ApplicationType, Client, ConsentPolicy, GrantType
from authsvc.protocol.clients import MAX_REDIRECT_URIS, ClientRegistration, build_client, change_client
from authsvc.protocol.jwa import ALGORITHMS
from tests.protocol.asking import CALLBACK, NOW

CODE = (GrantType.AUTHORIZATION_CODE,)
TOLD = "https://client.example:8443/logout?tenant=1"
LOOPBACK, SCHEME = "http://127.0.0.1/cb", "com.example.app:/cb"
NATIVE = {"application_type": ApplicationType.NATIVE}


def registered(**registration: Any) -> Client:
    return build_client(
        ClientRegistration(**{"name": "a client"} | registration), client_id="cli_1", secret_digests=(), now=NOW
    )


def test_a_client_is_by_default_one_that_nothing_is_taken_for_granted_of() -> None:
    client = registered()
    assert (client.redirect_uris, client.application_type) == ((), ApplicationType.WEB)
    assert client.require_pkce  # PKC-02
    assert client.consent is ConsentPolicy.REMEMBER
    assert (client.id_token_algorithm, client.userinfo_algorithm) == ("RS256", None)
    assert client.introspection_algorithm == "RS256"  # IJR-06


@pytest.mark.parametrize(
    "registration",
    [
        {"grant_types": CODE, "redirect_uris": (CALLBACK,)},
        {"grant_types": CODE, "redirect_uris": (CALLBACK,), "require_pkce": False},
        {"grant_types": CODE, "redirect_uris": (CALLBACK,), "public": True},
        {"grant_types": CODE, "redirect_uris": (CALLBACK, LOOPBACK, SCHEME), "public": True} | NATIVE,
        {"grant_types": CODE, "redirect_uris": (LOOPBACK,), "consent": ConsentPolicy.NEVER} | NATIVE,
        {"redirect_uris": (CALLBACK,), "public": True, "consent": ConsentPolicy.NEVER},
        {"redirect_uris": (SCHEME,), "public": True, "first_party": True, "consent": ConsentPolicy.NEVER} | NATIVE,
        {"redirect_uris": tuple(f"https://client.example/{n}" for n in range(MAX_REDIRECT_URIS))},
        *({"id_token_algorithm": each, "userinfo_algorithm": each} for each in ALGORITHMS),
        *({"introspection_algorithm": each} for each in ALGORITHMS),
        {"logo_uri": "https://client.example/logo.png?v=1", "tos_uri": "https://client.example"},
        {"post_logout_redirect_uris": ("https://client.example/bye?from=us",)},
        {"post_logout_redirect_uris": ("http://localhost/bye", "com.example.app:/bye")} | NATIVE,
        {"backchannel_logout_uri": TOLD},
        {"backchannel_logout_uri": TOLD, "backchannel_logout_session_required": True},
        {"default_max_age": 0},
        {"default_max_age": 86400},
    ],
    ids=lambda registration: ",".join(registration)[:60],
)
def test_what_holds_together_is_registered_and_may_be_registered_anew(registration: dict[str, Any]) -> None:
    client = registered(**registration)
    for name in set(registration) - {"public", "grant_types"}:
        assert getattr(client, name) == registration[name]
    assert change_client(client, {}) == client


@pytest.mark.parametrize(
    ("pointer", "registration"),
    [
        ("/redirect_uris", {"grant_types": CODE}),
        ("/redirect_uris", {"grant_types": CODE, "public": True}),
        ("/redirect_uris", {"redirect_uris": ("http://client.example/cb",)}),  # RED-04
        ("/redirect_uris", {"redirect_uris": ("http://localhost/cb",)}),  # RED-03
        ("/redirect_uris", {"redirect_uris": (LOOPBACK,)}),
        ("/redirect_uris", {"redirect_uris": (SCHEME,)}),
        ("/redirect_uris", {"redirect_uris": ("myapp:/cb",)} | NATIVE),  # RED-05
        ("/redirect_uris", {"redirect_uris": (CALLBACK, CALLBACK + "#x")}),  # RED-06
        ("/redirect_uris", {"redirect_uris": ("",)}),
        ("/redirect_uris", {"redirect_uris": tuple(f"{CALLBACK}/{n}" for n in range(MAX_REDIRECT_URIS + 1))}),
        ("/require_pkce", {"public": True, "require_pkce": False}),  # PKC-02
        ("/require_pkce", {"public": True, "require_pkce": False, "first_party": True}),
        ("/consent", {"redirect_uris": (SCHEME,), "public": True, "consent": ConsentPolicy.NEVER} | NATIVE),  # AUZ-14
        ("/consent", {"redirect_uris": (CALLBACK, LOOPBACK), "public": True, "consent": ConsentPolicy.NEVER} | NATIVE),
        ("/id_token_signed_response_alg", {"id_token_algorithm": "none"}),
        ("/id_token_signed_response_alg", {"id_token_algorithm": "HS256"}),
        ("/userinfo_signed_response_alg", {"userinfo_algorithm": "none"}),
        ("/userinfo_signed_response_alg", {"userinfo_algorithm": ""}),
        ("/introspection_signed_response_alg", {"introspection_algorithm": "none"}),
        ("/introspection_signed_response_alg", {"introspection_algorithm": "HS256"}),
        ("/logo_uri", {"logo_uri": "http://client.example/logo.png"}),
        ("/logo_uri", {"logo_uri": "data:image/svg+xml,x"}),
        ("/client_uri", {"client_uri": "javascript:alert(1)"}),
        ("/policy_uri", {"policy_uri": "client.example"}),
        ("/tos_uri", {"tos_uri": 'https://client.example/"onclick=x'}),
        ("/post_logout_redirect_uris", {"post_logout_redirect_uris": ("http://client.example/bye",)}),
        ("/post_logout_redirect_uris", {"post_logout_redirect_uris": ("https://client.example/bye?state=x",)}),
        ("/post_logout_redirect_uris", {"post_logout_redirect_uris": (CALLBACK, "https://*.example")}),
        ("/backchannel_logout_uri", {"backchannel_logout_uri": "http://client.example/told"}),  # BCL-03
        ("/backchannel_logout_uri", {"backchannel_logout_uri": "http://127.0.0.1/told"} | NATIVE),
        ("/backchannel_logout_uri", {"backchannel_logout_uri": TOLD + "#x"}),
        ("/backchannel_logout_uri", {"backchannel_logout_uri": "https://user@client.example/told"}),
        ("/backchannel_logout_uri", {"backchannel_logout_uri": ""}),
        ("/backchannel_logout_session_required", {"backchannel_logout_session_required": True}),
        ("/default_max_age", {"default_max_age": -1}),
        ("/default_max_age", {"default_max_age": 2**31}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value)[:60],
)
def test_what_does_not_hold_together_is_refused_and_named(pointer: str, registration: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue) as refused:
        registered(**registration)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    ("pointer", "changes"),
    [
        ("/redirect_uris", {"redirect_uris": ()}),
        ("/redirect_uris", {"application_type": ApplicationType.WEB}),
        ("/require_pkce", {"require_pkce": False}),
        ("/consent", {"consent": ConsentPolicy.NEVER}),
    ],
    ids=str,
)
def test_a_change_is_held_to_the_rules_of_what_it_would_make(pointer: str, changes: Any) -> None:
    client = registered(grant_types=CODE, redirect_uris=(SCHEME, LOOPBACK), public=True, **NATIVE)
    with pytest.raises(InvalidValue) as refused:
        change_client(client, changes)
    assert refused.value.pointer == pointer


def test_a_redirect_uri_that_is_named_twice_is_one() -> None:
    assert registered(redirect_uris=(CALLBACK, CALLBACK)).redirect_uris == (CALLBACK,)

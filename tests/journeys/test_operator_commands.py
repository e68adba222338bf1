"""`authsvc client` and `authsvc user`, as operators and their scripts use them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.house_of import ISSUER, MASTER_KEY, PASSWORD
from tests.journeys.service import clean_environment, run_cli
from tests.signing import Hand

Environ = dict[str, str]


@pytest.fixture
def environ(database_url: str) -> Environ:
    return clean_environment(AUTHSVC_DATABASE_URL=database_url, AUTHSVC_ISSUER=ISSUER, AUTHSVC_MASTER_KEY=MASTER_KEY)


def told(environ: Environ, *arguments: str, stdin: str = "") -> Any:
    return json.loads(run_cli(environ, *arguments, "--json", stdin=stdin).stdout)


def check_refused(environ: Environ, status: int, word: str, *arguments: str, stdin: str = "") -> None:
    """In one line of ours, or in click's words for a wrong use."""
    done = run_cli(environ, *arguments, stdin=stdin, check=False)
    assert done.returncode == status, done.stderr
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert status == 2 or done.stderr.count("\n") == 1


def test_a_client_is_made_shown_changed_and_deleted(environ: Environ) -> None:
    made = told(
        environ, "client", "create", "--name", "a client", "--scope", "read write", "--audience", "https://a.example"
    )
    assert made.keys() == {"client_id", "client_secret"}
    client_id = made["client_id"]
    shown = told(environ, "client", "show", client_id)
    assert shown["client_name"] == "a client"
    assert shown["scope"] == "read write"
    assert shown["old_secret_expires_at"] is None
    assert shown in told(environ, "client", "list")

    changes = ["--name", "another", "--scope", "read", "--grant", "client_credentials", "--audience", "",
               "--introspect", "own", "--token-endpoint-auth-method", "client_secret_post"]  # fmt: skip
    changed = told(environ, "client", "update", client_id, *changes)
    assert changed == shown | {
        "client_name": "another", "scope": "read", "grant_types": ["client_credentials"], "audiences": [],
        "introspect": "own", "token_endpoint_auth_method": "client_secret_post",
    }  # fmt: skip
    assert told(environ, "client", "update", client_id, "--token-endpoint-auth-method", "any") == changed | {
        "token_endpoint_auth_method": None
    }
    text = run_cli(environ, "client", "show", client_id).stdout
    assert "client_name: another\n" in text
    assert made["client_secret"] not in text

    for act in ("disable", "enable", "revoke-tokens", "delete"):
        assert told(environ, "client", act, client_id) == {"client_id": client_id}
    check_refused(environ, 1, "no such client", "client", "show", client_id)


def test_a_client_that_sends_its_users_here_is_made_shown_and_changed(environ: Environ) -> None:
    create = ["--grant", "authorization_code", "--redirect-uri", "http://127.0.0.1/cb", "--redirect-uri",
              "com.example.app:/cb", "--application-type", "native", "--no-require-pkce", "--consent", "always",
              "--id-token-signed-response-alg", "ES256", "--userinfo-signed-response-alg", "RS256",
              "--introspection-signed-response-alg", "Ed25519",
              "--logo-uri", "https://a.example/logo", "--client-uri", "https://a.example/", "--policy-uri",
              "https://a.example/policy", "--tos-uri", "https://a.example/tos", "--default-max-age", "0",
              "--require-auth-time", "--post-logout-redirect-uri", "com.example.app:/out", "--backchannel-logout-uri",
              "https://a.example/told", "--backchannel-logout-session-required"]  # fmt: skip
    client_id = told(environ, "client", "create", "--name", "an app", *create)["client_id"]
    shown = told(environ, "client", "show", client_id)
    settings = {
        "grant_types": ["authorization_code"], "redirect_uris": ["http://127.0.0.1/cb", "com.example.app:/cb"],
        "application_type": "native", "require_pkce": False, "consent": "always",
        "id_token_signed_response_alg": "ES256", "userinfo_signed_response_alg": "RS256",
        "introspection_signed_response_alg": "Ed25519",
        "logo_uri": "https://a.example/logo", "client_uri": "https://a.example/",
        "policy_uri": "https://a.example/policy", "tos_uri": "https://a.example/tos", "default_max_age": 0,
        "require_auth_time": True, "post_logout_redirect_uris": ["com.example.app:/out"],
        "backchannel_logout_uri": "https://a.example/told", "backchannel_logout_session_required": True,
    }  # fmt: skip
    assert shown | settings == shown

    emptied = ["--redirect-uri", "", "--grant", "refresh_token", "--require-pkce", "--no-require-auth-time",
               "--userinfo-signed-response-alg", "", "--logo-uri", "", "--client-uri", "", "--policy-uri", "",
               "--tos-uri", "", "--default-max-age", "", "--post-logout-redirect-uri", "",
               "--backchannel-logout-uri", "", "--no-backchannel-logout-session-required"]  # fmt: skip
    assert told(environ, "client", "update", client_id, *emptied) == shown | {
        "grant_types": ["refresh_token"], "redirect_uris": [], "require_pkce": True,
        "userinfo_signed_response_alg": None, "logo_uri": None, "client_uri": None, "policy_uri": None,
        "tos_uri": None, "default_max_age": None, "require_auth_time": False, "post_logout_redirect_uris": [],
        "backchannel_logout_uri": None, "backchannel_logout_session_required": False,
    }  # fmt: skip


def test_a_client_that_signs_is_made_shown_and_changed(environ: Environ, tmp_path: Path) -> None:
    file, key_set = tmp_path / "jwks.json", Hand().key_set()
    file.write_text(json.dumps(key_set))
    create = ["--token-endpoint-auth-method", "private_key_jwt", "--jwks-file", str(file),
              "--token-endpoint-auth-signing-alg", "ES256", "--request-object-signing-alg", "PS256",
              "--require-pushed-authorization-requests", "--require-signed-request-object",
              "--redirect-uri", "https://a.example/cb", "--subject-type", "pairwise"]  # fmt: skip
    made = told(environ, "client", "create", "--name", "a signer", *create)
    assert made.keys() == {"client_id"}, "it has no secret"
    shown = told(environ, "client", "show", made["client_id"])
    settings = {
        "token_endpoint_auth_method": "private_key_jwt", "jwks": key_set, "jwks_uri": None,
        "token_endpoint_auth_signing_alg": "ES256", "request_object_signing_alg": "PS256",
        "require_pushed_authorization_requests": True, "require_signed_request_object": True,
        "redirect_uris": ["https://a.example/cb"], "subject_type": "pairwise", "sector_identifier_uri": None,
    }  # fmt: skip
    assert shown | settings == shown
    assert "kid" in run_cli(environ, "client", "show", made["client_id"]).stdout

    emptied = ["--jwks-file", "", "--jwks-uri", "https://a.example/jwks", "--token-endpoint-auth-signing-alg", "",
               "--request-object-signing-alg", "", "--no-require-pushed-authorization-requests",
               "--no-require-signed-request-object", "--subject-type", "public", "--change-subjects"]  # fmt: skip
    assert told(environ, "client", "update", made["client_id"], *emptied) == shown | {
        "jwks": None, "jwks_uri": "https://a.example/jwks", "token_endpoint_auth_signing_alg": None,
        "request_object_signing_alg": None, "require_pushed_authorization_requests": False,
        "require_signed_request_object": False, "subject_type": "public",
    }  # fmt: skip

    update = ("client", "update", made["client_id"])
    check_refused(environ, 1, "say --change-subjects", *update, "--subject-type", "pairwise")
    check_refused(environ, 1, "has keys", *update, "--jwks-uri", "")
    check_refused(environ, 1, "either", *update, "--jwks-file", str(file))
    check_refused(environ, 1, "secret", "client", "rotate-secret", made["client_id"])
    check_refused(environ, 2, "cannot be read", *update, "--jwks-file", str(tmp_path / "nowhere"))
    file.write_text("[]")
    check_refused(environ, 2, "no JSON object", *update, "--jwks-file", str(file))


def test_a_secret_is_rotated_with_an_overlap_and_without(environ: Environ) -> None:
    client_id = told(environ, "client", "create", "--name", "a client")["client_id"]
    seen = set()
    for options, hours in [((), 24.0), (("--keep-old-for", "30m"), 0.5), (("--keep-old-for", "7d"), 168.0)]:
        rotated = told(environ, "client", "rotate-secret", client_id, *options)
        seen.add(rotated["client_secret"])
        ends = datetime.fromisoformat(rotated["old_secret_expires_at"])
        assert timedelta(0) <= datetime.now(UTC) + timedelta(hours=hours) - ends < timedelta(minutes=1)
        assert told(environ, "client", "show", client_id)["old_secret_expires_at"] == rotated["old_secret_expires_at"]
    assert told(environ, "client", "drop-old-secret", client_id) == {"client_id": client_id}
    assert told(environ, "client", "show", client_id)["old_secret_expires_at"] is None
    rotated = told(environ, "client", "rotate-secret", client_id, "--drop-old")
    assert rotated["old_secret_expires_at"] is None
    assert len({*seen, rotated["client_secret"]}) == 4


def test_what_is_known_of_a_user_is_given_changed_and_shown(environ: Environ) -> None:
    claims = {"name": "Ada", "address": {"locality": "London", "country": "GB"}}
    create = ("user", "create", "--email", "ada@example.com", "--generate-password", "--claims")
    check_refused(environ, 1, "website is an https or http URL", *create, '{"website": "ada"}')
    check_refused(environ, 1, "no claim that is kept", *create, '{"given-name": "Ada"}')
    sub = told(environ, *create, json.dumps(claims))["sub"]
    assert told(environ, "user", "show", sub)["claims"] == claims
    changes = {
        "name": None,
        "phone_number": "+44 20 7946",
        "phone_number_verified": True,
        "address": {"locality": None},
    }
    changed = told(environ, "user", "update", "ada@example.com", "--claims", json.dumps(changes))
    assert changed["claims"] == {
        "phone_number": "+44 20 7946", "phone_number_verified": True, "address": {"country": "GB"}
    }  # fmt: skip
    assert changed["updated_at"] > changed["created_at"]
    assert changed == told(environ, "user", "show", sub)
    assert "+44 20 7946" in run_cli(environ, "user", "show", sub).stdout
    check_refused(
        environ, 1, "email is not changed here", "user", "update", sub, "--claims", '{"email": "x@y.example"}'
    )
    check_refused(environ, 1, "no such user", "user", "update", "usr_x", "--claims", "{}")
    check_refused(environ, 2, "JSON object", "user", "update", sub, "--claims", "[" * 5000)


def test_users_are_made_shown_and_listed_a_page_at_a_time(environ: Environ) -> None:
    subs = [
        told(environ, "user", "create", "--email", f"user{number}@example.com", "--generate-password")["sub"]
        for number in range(3)
    ]
    shown = told(environ, "user", "show", "USER1@example.com")
    assert (shown["sub"], shown["email"], shown["has_password"]) == (subs[1], "user1@example.com", True)
    assert "password_hash" not in shown
    first = told(environ, "user", "list", "--limit", "2")
    second = told(environ, "user", "list", "--limit", "2", "--after", first["next"])
    assert second["next"] is None
    assert [each["sub"] for each in first["users"] + second["users"]] == sorted(subs)
    assert f"--after {first['next']}" in run_cli(environ, "user", "list", "--limit", "2").stdout

    for act in ("disable", "enable", "revoke-tokens", "delete"):
        assert told(environ, "user", act, subs[1]) == {"sub": subs[1]}
    check_refused(environ, 1, "no such user", "user", "show", subs[1])


def test_an_operator_is_held_to_the_rules_for_passwords_too(environ: Environ) -> None:  # PWR-07
    create = ("user", "create", "--email", "ada@example.com", "--password-stdin")
    check_refused(environ, 1, "many people have", *create, stdin="password1234567\n")
    assert told(environ, *create, stdin=PASSWORD + "\n")["sub"].startswith("usr_")


def test_a_pepper_is_made_and_read(environ: Environ) -> None:
    pepper = run_cli(environ, "pepper", "generate").stdout.strip()
    assert pepper != run_cli(environ, "pepper", "generate").stdout.strip()
    assert "usable" in run_cli(environ | {"AUTHSVC_PASSWORD_PEPPER": pepper}, "config", "check").stdout
    done = run_cli(environ | {"AUTHSVC_PASSWORD_PEPPER_PREVIOUS": pepper[:-1]}, "config", "check", check=False)
    assert done.returncode == 2
    assert "authsvc pepper generate" in done.stdout
    assert pepper[:-1] not in done.stdout


@pytest.mark.parametrize(
    ("status", "word", "arguments"),
    [
        (2, "name what is to change", ("client", "update", "first-party")),
        (1, "no such client", ("client", "update", "cli_x", "--name", "x")),
        (1, "https", ("client", "update", "first-party", "--redirect-uri", "http://a.example/cb")),
        (2, "--default-max-age", ("client", "update", "first-party", "--default-max-age", "soon")),
        (2, "--drop-old", ("client", "rotate-secret", "cli_x", "--drop-old", "--keep-old-for", "1h")),
        (2, "24h", ("client", "rotate-secret", "cli_x", "--keep-old-for", "tomorrow")),
        (1, "30 days", ("client", "rotate-secret", "cli_x", "--keep-old-for", "31d")),
        (1, "no such client with a secret", ("client", "rotate-secret", "first-party")),
        (2, "--limit", ("user", "list", "--limit", "0")),
    ],
)
def test_a_wrong_use_is_told(environ: Environ, status: int, word: str, arguments: tuple[str, ...]) -> None:
    check_refused(environ, status, word, *arguments)

"""A login UI by OpenID Connect, with libraries that are not ours: it finds everything through discovery, believes an ID
token only when it has verified it, and asks who the user is."""

import time
from pathlib import Path
from typing import Any

import jwt
from authlib.oidc.core import CodeIDToken, UserInfo
from authlib.oidc.discovery import OpenIDProviderMetadata

from tests.house_of import PASSWORD
from tests.journeys import fetch
from tests.journeys.service import Service, serving

CLAIMS = '{"name": "Ada Lovelace", "phone_number": "+44 20 7946 0000", "address": {"country": "GB"}}'


def discovered(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = fetch.get(f"{service.base}/.well-known/openid-configuration").json()
    metadata = OpenIDProviderMetadata(document)
    for check in ("issuer", "jwks_uri", "token_endpoint", "subject_types_supported", "claims_supported",
                  "id_token_signing_alg_values_supported", "userinfo_signing_alg_values_supported",
                  "acr_values_supported", "claim_types_supported", "scopes_supported"):  # fmt: skip
        if check not in {"issuer", "jwks_uri", "token_endpoint"}:  # Authlib takes https alone, on loopback too
            getattr(metadata, f"validate_{check}")()
        assert metadata[check]
    return document


def verified(metadata: dict[str, Any], tokens: dict[str, Any], client_id: str, keys: jwt.PyJWKClient) -> dict[str, Any]:
    """By PyJWT for the signature, and Authlib for what the standard wants of the claims."""
    token = tokens["id_token"]
    key = keys.get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=client_id, issuer=metadata["issuer"])
    told = CodeIDToken(
        claims,
        jwt.get_unverified_header(token),
        {"iss": {"essential": True, "value": metadata["issuer"]}, "auth_time": {"essential": True}},
        {"client_id": client_id, "access_token": tokens["access_token"]},
    )
    told.validate(now=int(time.time()), leeway=5)
    assert "at_hash" in told
    return claims


def test_a_login_ui_finds_verifies_asks_and_refreshes_over_a_change_of_keys(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path / "log", "--migrate") as service:
        sub = service.cli("user", "create", "--email", "ada@example.com", "--email-verified", "--password-stdin",
                          "--claims", CLAIMS, stdin=PASSWORD)["sub"]  # fmt: skip
        client_id = service.cli("client", "create", "--name", "ui", "--public", "--first-party",
                                "--grant", "refresh_token",
                                "--scope", "openid profile email phone")["client_id"]  # fmt: skip
        metadata = discovered(service)
        keys = jwt.PyJWKClient(metadata["jwks_uri"])
        login = {"email": "ada@example.com", "password": PASSWORD, "client_id": client_id}
        tokens = fetch.post(f"{service.base}/api/v1/login", json=login).json()
        first = verified(metadata, tokens, client_id, keys)
        assert first["sub"] == sub
        assert "name" not in first

        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        told = UserInfo(fetch.get(metadata["userinfo_endpoint"], headers=headers).json())
        assert told == {
            "sub": sub, "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": True,
            "phone_number": "+44 20 7946 0000", "updated_at": told["updated_at"],
        }  # fmt: skip

        service.cli("key", "kill", jwt.get_unverified_header(tokens["id_token"])["kid"])
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": client_id}
        tokens = fetch.post(metadata["token_endpoint"], data=form).json()
        again = verified(metadata, tokens, client_id, keys)
        for claim in ("iss", "sub", "aud", "auth_time", "sid", "acr", "amr"):
            assert again[claim] == first[claim]
        assert fetch.get(metadata["userinfo_endpoint"], headers=headers).status_code == 200, "whose key lives"

"""The metadata and the keys (spec: MET-*, JWP-*, JWK-*, ATK-86, ATK-87). That it is so: `test_advertised.py`."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from tests.house_of import ISSUER, House, house_on, settings_for
from tests.web.forging import claims_of

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
JWKS = "/.well-known/jwks.json"
DOCUMENTS = pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (METADATA, "application/json"),
        (OPENID, "application/json"),
        (JWKS, "application/jwk-set+json"),
        ("/openapi.json", "application/json"),
    ],
)
TENANT = "https://auth.example:8443/tenant/one"


@pytest.fixture(scope="module")
async def metadata(shared: House) -> dict[str, Any]:
    document: dict[str, Any] = (await shared.http.get(METADATA)).json()
    return document


@pytest.fixture(scope="module")
async def tenant(shared_database_url: str) -> AsyncIterator[House]:
    """A service whose issuer has a path, beside the other on the same stores."""
    async with house_on(settings_for(shared_database_url, issuer=TENANT)) as house:
        yield house


# --- How they are given


@DOCUMENTS
async def test_a_document_is_for_everybody_and_may_be_kept(shared: House, path: str, media_type: str) -> None:
    # MET-03, MET-09, JWP-01, JWP-02
    answer = await shared.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"].startswith('"')
    assert "pragma" not in answer.headers


@DOCUMENTS
async def test_head_answers_as_get_does_without_the_body(shared: House, path: str, media_type: str) -> None:  # MET-03
    got, head = await shared.http.get(path), await shared.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "x-request-id": ""} == {**got.headers, "x-request-id": ""}
    assert int(head.headers["content-length"]) == len(got.content)


@DOCUMENTS
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("value", ["{etag}", "W/{etag}", '"other", {etag}', '{etag} , "other"', "*", 'W/"x",W/{etag}'])
async def test_who_has_it_already_is_told_so(
    shared: House, path: str, media_type: str, method: str, value: str
) -> None:  # MET-09
    etag = (await shared.http.get(path)).headers["etag"]
    answer = await shared.http.request(method, path, headers={"if-none-match": value.format(etag=etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    # RFC 9110 §8.6: there is none, or it is the length of the document.
    assert "content-length" not in answer.headers


@DOCUMENTS
@pytest.mark.parametrize("value", ['"other"', "{bare}", "", '""', "{etag}x", "x{etag}"])
async def test_who_has_another_is_given_this_one(shared: House, path: str, media_type: str, value: str) -> None:
    etag = (await shared.http.get(path)).headers["etag"]
    header = value.format(etag=etag, bare=etag.strip('"'))
    answer = await shared.http.get(path, headers={"if-none-match": header})
    assert answer.status_code == 200
    assert answer.content


@DOCUMENTS
async def test_no_header_of_a_request_gets_into_a_document(shared: House, path: str, media_type: str) -> None:
    # GEN-01, ATK-86
    plain = await shared.http.get(path)
    evil = "evil.example"
    for headers in (
        {"host": evil},
        {"x-forwarded-host": evil},
        {"x-forwarded-proto": "https", "x-forwarded-port": "1"},
        {"x-forwarded-prefix": "/evil.example"},
        {"forwarded": f"host={evil};proto=https"},
        {"x-original-url": "/evil.example", "x-rewrite-url": "/evil.example"},
        {"origin": f"https://{evil}"},
    ):
        answer = await shared.http.get(path, headers=headers)
        assert (answer.status_code, answer.content) == (200, plain.content)
        assert evil not in str(answer.headers)
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_no_header_of_a_request_gets_into_a_token(shared: House) -> None:  # GEN-01, ATK-86
    client = await shared.client()
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}
    form = {"grant_type": "client_credentials"}
    answer = await shared.http.post("/oauth2/token", data=form, auth=shared.basic(client), headers=headers)
    claims = claims_of(answer.json()["access_token"])
    assert (claims["iss"], claims["aud"]) == (ISSUER, f"{ISSUER}/resources")


# --- What the metadata say


async def test_the_metadata_say_what_is_built_and_nothing_empty(metadata: dict[str, Any]) -> None:  # MET-04, MET-06
    proofs = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
    signatures = ["ES256", "PS256", "RS256", "Ed25519", "EdDSA"]
    assert metadata == {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/oauth2/authorize",
        "token_endpoint": f"{ISSUER}/oauth2/token",
        "introspection_endpoint": f"{ISSUER}/oauth2/introspect",
        "revocation_endpoint": f"{ISSUER}/oauth2/revoke",
        "jwks_uri": f"{ISSUER}{JWKS}",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "display_values_supported": ["page", "popup", "touch", "wap"],
        "ui_locales_supported": ["en", "de"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": [*proofs, "none"],
        "token_endpoint_auth_signing_alg_values_supported": signatures,
        "introspection_endpoint_auth_methods_supported": proofs,
        "introspection_endpoint_auth_signing_alg_values_supported": signatures,
        "introspection_signing_alg_values_supported": ["ES256", "RS256", "Ed25519"],
        "revocation_endpoint_auth_methods_supported": [*proofs, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": signatures,
        "end_session_endpoint": f"{ISSUER}/oauth2/logout",
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "userinfo_endpoint": f"{ISSUER}/oauth2/userinfo",
        "userinfo_signing_alg_values_supported": ["ES256", "RS256", "Ed25519"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256", "Ed25519"],
        "subject_types_supported": ["public", "pairwise"],
        "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access"],
        "claim_types_supported": ["normal"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid",
            "name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
            "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
            "email", "email_verified", "address", "phone_number", "phone_number_verified",
        ],
        "acr_values_supported": ["urn:authsvc:acr:password"],
        "claims_parameter_supported": True,
        "pushed_authorization_request_endpoint": f"{ISSUER}/oauth2/par",
        "require_pushed_authorization_requests": False,
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": signatures,
        "require_signed_request_object": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip
    assert all(value or value is False for value in metadata.values())


async def test_oauth_and_openid_connect_are_told_the_same(shared: House, metadata: dict[str, Any]) -> None:
    """MET-02, MET-08, JWK-11, ODI-01 to ODI-04."""
    assert (await shared.http.get(OPENID)).json() == metadata


async def test_the_issuer_is_the_one_of_the_tokens(shared: House, metadata: dict[str, Any]) -> None:  # MET-04, MET-07
    client = await shared.client()
    token = await shared.token(client)
    assert claims_of(token)["iss"] == metadata["issuer"] == (await shared.introspect(client, token))["iss"]


async def test_the_metadata_of_an_issuer_with_a_path_stand_where_the_rfc_wants_them(tenant: House) -> None:  # MET-01
    origin = "https://auth.example:8443"
    document = (await tenant.http.get(f"{origin}{METADATA}/tenant/one")).json()
    assert document["issuer"] == TENANT
    assert {name: value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))} == {
        "authorization_endpoint": f"{TENANT}/oauth2/authorize",
        "token_endpoint": f"{TENANT}/oauth2/token",
        "introspection_endpoint": f"{TENANT}/oauth2/introspect",
        "revocation_endpoint": f"{TENANT}/oauth2/revoke",
        "pushed_authorization_request_endpoint": f"{TENANT}/oauth2/par",
        "jwks_uri": f"{TENANT}{JWKS}",
        "end_session_endpoint": f"{TENANT}/oauth2/logout",
        "userinfo_endpoint": f"{TENANT}/oauth2/userinfo",
    }
    # MET-02: behind the path, where OpenID Connect looks, and before it, as OAuth would have it.
    for place in (f"/tenant/one{OPENID}", f"{OPENID}/tenant/one"):
        assert (await tenant.http.get(f"{origin}{place}")).json() == document
    assert (await tenant.http.get(f"{origin}{OPENID}")).status_code == 404
    for elsewhere in (METADATA, f"{METADATA}/tenant", f"{METADATA}/tenant/one/", f"/tenant/one{METADATA}"):
        assert (await tenant.http.get(f"{origin}{elsewhere}")).status_code == 404
    for elsewhere in (JWKS, "/oauth2/token", "/openapi.json", "/tenant/oauth2/token"):
        assert (await tenant.http.get(f"{origin}{elsewhere}")).status_code == 404
    client = await tenant.client()
    token = await tenant.token(client)
    assert claims_of(token)["iss"] == TENANT
    assert (await tenant.introspect(client, token))["iss"] == TENANT


async def test_two_issuers_on_the_same_keys_do_not_take_each_others_tokens(shared: House, tenant: House) -> None:
    client = await shared.client(introspection="any")  # ATK-19, ATK-20
    tenant.credentials |= shared.credentials
    for here, there in ((shared, tenant), (tenant, shared)):
        token = await here.token(client)
        assert (await here.introspect(client, token))["active"] is True
        assert await there.introspect(client, token) == {"active": False}
        revoked = await there.http.post("/oauth2/revoke", data={"token": token}, auth=there.basic(client))
        assert revoked.status_code == 200
        assert (await here.introspect(client, token))["active"] is True


# --- The keys

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k", "r", "t"}
MEMBERS = {
    "ES256": {"kty", "use", "alg", "kid", "crv", "x", "y"},
    "RS256": {"kty", "use", "alg", "kid", "n", "e"},
    "Ed25519": {"kty", "use", "alg", "kid", "crv", "x"},
}


@pytest.mark.parametrize("algorithm", MEMBERS)
async def test_keys_of_every_kind_are_shown_without_their_private_half(database_url: str, algorithm: str) -> None:
    # JWK-01 to JWK-03, JWP-03, JWP-04, ATK-87
    async with house_on(settings_for(database_url, access_token_algorithm=algorithm)) as house:
        document = (await house.http.get(JWKS)).json()
        assert document.keys() == {"keys"}
        assert len({key["kid"] for key in document["keys"]}) == len(document["keys"])
        assert Counter(key["alg"] for key in document["keys"]) == dict.fromkeys(MEMBERS, 2)  # active and next
        for key in document["keys"]:
            assert key.keys() == MEMBERS[key["alg"]]
            assert PRIVATE.isdisjoint(key)
            assert key["use"] == "sig"
        # And they verify, for somebody who has nothing but this document.
        client = await house.client()
        token = await house.token(client)
        header = jwt.get_unverified_header(token)
        assert header["alg"] == algorithm
        jwk = next(key for key in document["keys"] if key["kid"] == header["kid"])
        key = jwt.PyJWK({**jwk, "alg": "EdDSA"} if algorithm == "Ed25519" else jwk).key
        signing_input, _, _ = token.rpartition(".")
        implementation = jwt.get_algorithm_by_name({"Ed25519": "EdDSA"}.get(algorithm, algorithm))
        signature = jwt.utils.base64url_decode(token.rpartition(".")[2])
        assert implementation.verify(signing_input.encode(), key, signature)
        assert (await house.introspect(client, token))["active"] is True


async def test_the_document_changes_when_the_keys_do_and_only_then(house: House) -> None:  # JWP-02, MET-09
    first, again = await house.http.get(JWKS), await house.http.get(JWKS)
    await house.flows.keys.refresh()
    third = await house.http.get(JWKS)
    assert first.headers["etag"] == again.headers["etag"] == third.headers["etag"]
    assert first.content == third.content
    await house.flows.keys.rotate()
    changed = await house.http.get(JWKS, headers={"if-none-match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]
    before, after = ({key["kid"] for key in each.json()["keys"]} for each in (first, changed))
    assert before < after


async def test_how_long_the_keys_may_be_kept_is_a_setting(database_url: str) -> None:  # MET-09
    async with house_on(settings_for(database_url, jwks_max_age=60)) as house:
        assert (await house.http.get(JWKS)).headers["cache-control"] == "public, max-age=60"
        assert (await house.http.get(METADATA)).headers["cache-control"] == "public, max-age=300"


async def test_workers_show_the_same_keys(shared: House) -> None:  # JWK-08
    async with house_on(shared.settings) as other:
        assert (await other.http.get(JWKS)).content == (await shared.http.get(JWKS)).content

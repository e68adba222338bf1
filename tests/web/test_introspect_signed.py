"""Signed answers of POST /oauth2/introspect (RFC 9701; spec: IJR-*)."""

from typing import Any

import httpx2
import pytest

from authsvc.models import Client, GrantType
from tests.house_of import ISSUER, PASSWORD, House, bearer, database_away
from tests.verifying import verified
from tests.web.answers import check_not_stored, check_oauth_error

INTROSPECT = "/oauth2/introspect"
JWT = "application/token-introspection+jwt"
SIGNED = {"accept": JWT}


async def ask(house: House, caller: Client, token: str, accept: str = JWT) -> httpx2.Response:
    return await house.http.post(
        INTROSPECT, data={"token": token}, auth=house.basic(caller), headers={"accept": accept}
    )


async def told(house: House, answer: httpx2.Response, algorithm: str) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == JWT
    check_not_stored(answer)
    jwks = (await house.http.get("/.well-known/jwks.json")).json()
    claims: dict[str, Any] = verified(answer.text, jwks, algorithm, typ="token-introspection+jwt")
    return claims


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "Ed25519"])
async def test_who_asks_for_it_is_told_the_same_signed(shared: House, algorithm: str) -> None:  # IJR-01, IJR-02, IJR-06
    more = {} if algorithm == "RS256" else {"introspection_algorithm": algorithm}
    caller = await shared.client(scope="read", **more)
    token = await shared.token(caller)
    plain = await shared.introspect(caller, token)
    assert plain["active"] is True
    for _ in range(2):
        assert await told(shared, await ask(shared, caller, token), algorithm) == {
            "iss": ISSUER,
            "aud": caller.client_id,
            "iat": int(shared.clock.unix()),
            "token_introspection": plain,
        }
    # And who does not, or does not only, is told plainly what it wants to be told.
    for accept in ("application/json", f"application/json, {JWT};q=0.5"):
        assert (await ask(shared, caller, token, accept)).json() == plain


async def test_of_what_is_inactive_nothing_else_is_told(house: House) -> None:  # IJR-03, INT-06
    caller, other = await house.client(), await house.client()
    revoked, foreign = await house.token(caller), await house.token(other)
    await house.http.post("/oauth2/revoke", data={"token": revoked}, auth=house.basic(caller))
    for token in (revoked, foreign, "garbage"):
        claims = await told(house, await ask(house, caller, token), "RS256")
        assert claims["token_introspection"] == {"active": False}
        assert claims.keys() == {"iss", "aud", "iat", "token_introspection"}


async def test_a_refresh_token_is_described_to_its_client_alone(house: House) -> None:  # INT-10
    interface = await house.client(first_party=True, scope="read", grant_types=(GrantType.REFRESH_TOKEN,))
    await house.user()
    login = {"email": "ada@example.com", "password": PASSWORD, "client_id": interface.client_id}
    refresh_token = (await house.http.post("/api/v1/login", json=login)).json()["refresh_token"]
    for caller, is_active in ((interface, True), (await house.client(introspection="any"), False)):
        claims = await told(house, await ask(house, caller, refresh_token), "RS256")
        assert claims["token_introspection"]["active"] is is_active


async def test_a_caller_without_credentials_is_refused_with_400(shared: House) -> None:  # IJR-04
    answer = await shared.http.post(INTROSPECT, data={"token": "x"}, headers=SIGNED)
    check_oauth_error(answer, 400, "invalid_request")
    plain = await shared.http.post(INTROSPECT, data={"token": "x"})
    check_oauth_error(plain, 401, "invalid_client")


async def test_a_caller_with_wrong_ones_and_a_public_one_with_401(shared: House) -> None:  # IJR-04
    caller, public = await shared.client(), await shared.client(public=True)
    for request in (
        {"data": {"token": "x"}, "auth": (caller.client_id, "as_wrong")},
        {"data": {"token": "x", "client_id": caller.client_id, "client_secret": "as_wrong"}},
        {"data": {"token": "x", "client_id": public.client_id}},
    ):
        check_oauth_error(await shared.http.post(INTROSPECT, headers=SIGNED, **request), 401, "invalid_client")


async def test_faults_are_told_plainly(shared: House) -> None:
    caller = await shared.client()
    answer = await shared.http.post(INTROSPECT, data={"x": "y"}, auth=shared.basic(caller), headers=SIGNED)
    check_oauth_error(answer, 400, "invalid_request")


async def test_without_the_store_nothing_is_signed(house: House) -> None:  # C4
    caller = await house.client()
    token = await house.token(caller)
    async with database_away(house.settings.database_url):
        check_oauth_error(await ask(house, caller, token), 503, "temporarily_unavailable")


async def test_an_answer_is_no_token(shared: House) -> None:  # JWT-12, IJR-02
    """Whatever it tells of, it opens nothing here."""
    await shared.user("signed@example.com")
    caller = await shared.client(introspection="any")
    answer = (await ask(shared, caller, await shared.log_in("signed@example.com"))).text
    assert (await shared.introspect(caller, answer)) == {"active": False}
    for path in ("/api/v1/me", "/oauth2/userinfo"):
        assert (await shared.http.get(path, headers=bearer(answer))).status_code == 401

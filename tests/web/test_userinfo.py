"""GET and POST /oauth2/userinfo (OpenID Connect Core §5.3; spec: UIF-*, BEA-*)."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from authsvc.models import Client, GrantType
from authsvc.protocol.claims import SCOPES
from authsvc.protocol.jwa import ALGORITHMS
from tests.house_of import ISSUER, House, bearer, house_on, settings_for
from tests.verifying import verified
from tests.web.answers import check_equal, check_not_stored
from tests.web.forging import claims_of

PATH = "/oauth2/userinfo"
SITE = "https://app.example"
CHALLENGE = 'Bearer realm="authsvc"'
INVALID = f'{CHALLENGE}, error="invalid_token", error_description="the access token is not valid here"'
CLAIMS: dict[str, Any] = {
    "name": "Ada Lovelace", "family_name": "Lovelace", "given_name": "Ada", "nickname": "A", "website": "https://ada.example",
    "birthdate": "1815-12-10", "zoneinfo": "Europe/London", "locale": "en-GB", "phone_number": "+44 20 7946 0000",
    "phone_number_verified": True, "address": {"locality": "London", "country": "GB"},
}  # fmt: skip
ALL = f"openid {' '.join(SCOPES)}"


@dataclass
class Scene:
    house: House
    client: Client
    sub: str

    async def log_in(self, scope: str = ALL, **more: str) -> dict[str, Any]:
        body = {"email": "ada@example.com", "password": "correct horse battery staple", "scope": scope}
        answer = await self.house.http.post("/api/v1/login", json=body | {"client_id": self.client.client_id} | more)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def token(self, scope: str = ALL, **more: str) -> str:
        return str((await self.log_in(scope, **more))["access_token"])

    async def ask(self, token: str) -> httpx2.Response:
        return await self.house.http.get(PATH, headers=bearer(token))


@pytest.fixture(scope="module")
async def scene(shared_database_url: str) -> AsyncIterator[Scene]:
    async with house_on(settings_for(shared_database_url, cors_origins=(SITE,))) as house:
        sub = await house.user()
        await house.flows.users.change_claims(sub, CLAIMS)
        client = await house.client(
            public=True, first_party=True, scope=f"{ALL} read", grant_types=(GrantType.REFRESH_TOKEN,)
        )
        yield Scene(house, client, sub)


@pytest.fixture(scope="module")
async def token(scene: Scene) -> str:
    return await scene.token()


def check_refused(answer: httpx2.Response, status: int, code: str) -> None:
    """RFC 6750 §3: the challenge says what the body says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)
    assert answer.json()["error"] == code
    assert answer.json().keys() == {"error", "error_description"}
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'{CHALLENGE}, error="{code}", error_description="')


# --- What is told


async def test_everything_is_told_to_who_was_granted_everything(scene: Scene, token: str) -> None:  # UIF-01, UIF-02
    answer = await scene.ask(token)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)
    assert answer.json() == CLAIMS | {
        "sub": scene.sub, "email": "ada@example.com", "email_verified": False,
        "updated_at": int(scene.house.clock.unix()),
    }  # fmt: skip


@pytest.mark.parametrize("scope", ["", *SCOPES])
async def test_a_scope_shares_its_claims_and_no_others(scene: Scene, scope: str) -> None:  # UIF-04
    told = (await scene.ask(await scene.token(f"openid read {scope}".strip()))).json()
    known = CLAIMS.keys() | {"email", "email_verified", "updated_at"}
    assert told.keys() == {"sub"} | (known & set(SCOPES.get(scope, ())))


async def test_the_subject_is_that_of_the_id_token(scene: Scene) -> None:  # UIF-02
    login = await scene.log_in()
    assert (await scene.ask(login["access_token"])).json()["sub"] == claims_of(login["id_token"])["sub"] == scene.sub


async def test_types_are_those_of_the_standard(scene: Scene, token: str) -> None:  # UIF-04
    told = (await scene.ask(token)).json()
    assert told.pop("email_verified") is False
    assert told.pop("phone_number_verified") is True
    assert type(told.pop("updated_at")) is int
    assert all(isinstance(each, str) for each in told.pop("address").values())
    assert all(isinstance(each, str) for each in told.values())


async def test_what_was_asked_for_by_name_is_told_beside_the_scope(scene: Scene) -> None:  # OID-08
    login = await scene.log_in("openid")
    grant_id = claims_of(login["access_token"])["grant_id"]
    asks = {name: {"essential": True} for name in ("name", "email", "gender", "password_hash")}
    document = json.dumps({"userinfo": asks, "id_token": {"nickname": {}}})
    await scene.house.sql("UPDATE auth.grants SET claims = $2::text::jsonb WHERE grant_id = $1", grant_id, document)
    told = (await scene.ask(login["access_token"])).json()
    assert told == {"sub": scene.sub, "name": "Ada Lovelace", "email": "ada@example.com"}
    await scene.house.flows.clients.update(scene.client.client_id, {"scope": "openid email"})
    try:
        scene.house.clock.advance(10)
        assert (await scene.ask(login["access_token"])).json().keys() == {"sub", "email"}, "no longer for the name"
    finally:
        await scene.house.flows.clients.update(scene.client.client_id, {"scope": f"{ALL} read"})
        scene.house.clock.advance(10)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_client_that_wants_it_signed_gets_it_signed(scene: Scene, algorithm: str) -> None:  # UIF-02
    login = await scene.log_in("openid email")
    change = scene.house.flows.clients.update
    await change(scene.client.client_id, {"userinfo_algorithm": algorithm})
    scene.house.clock.advance(10)
    try:
        answer = await scene.ask(login["access_token"])
    finally:
        await change(scene.client.client_id, {"userinfo_algorithm": None})
        scene.house.clock.advance(10)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jwt"
    check_not_stored(answer)
    jwks = (await scene.house.http.get("/.well-known/jwks.json")).json()
    told = verified(answer.text, jwks, algorithm)
    assert (told["iss"], told["aud"]) == (ISSUER, scene.client.client_id)
    assert told.keys() == {"iss", "aud", "iat", "sub", "email", "email_verified"}
    check_refused(await scene.ask(answer.text), 401, "invalid_token")


# --- How it is asked


async def test_get_and_post_take_the_token_in_the_header(scene: Scene, token: str) -> None:  # UIF-01
    told = (await scene.ask(token)).json()
    http = scene.house.http
    for answer in (
        await http.post(PATH, headers=bearer(token)),
        await http.post(PATH, headers=bearer(token) | {"content-type": "application/x-www-form-urlencoded"}),
        await http.post(PATH, headers=bearer(token), data={"foo": "bar", "access_token": ""}),
        await http.post(PATH, headers=bearer(token), json={"access_token": "x"}),
    ):
        assert (answer.status_code, answer.json()) == (200, told)


async def test_post_takes_it_in_a_form(scene: Scene, token: str) -> None:
    answer = await scene.house.http.post(PATH, data={"access_token": token})
    assert (answer.status_code, answer.json()["sub"]) == (200, scene.sub)
    for body in ({"access_token": "garbage"}, {"access_token": "gärbage"}):
        check_refused(await scene.house.http.post(PATH, data=body), 401, "invalid_token")


async def test_a_token_that_comes_in_two_ways_is_refused(scene: Scene, token: str) -> None:  # BEA-02, BEA-03
    http, form = scene.house.http, {"access_token": token}
    for answer in (
        await http.post(PATH, headers=bearer(token), data=form),
        await http.post(PATH, headers=bearer("garbage"), data=form),
        await http.post(f"{PATH}?access_token={token}", data=form),
        await http.get(f"{PATH}?access_token={token}"),
        await http.get(f"{PATH}?access_token={token}", headers=bearer(token)),
        await http.get(PATH, headers=[("authorization", f"Bearer {token}")] * 2),
        await http.post(PATH, content=f"access_token={token}&access_token={token}",
                        headers={"content-type": "application/x-www-form-urlencoded"}),
    ):  # fmt: skip
        check_refused(answer, 400, "invalid_request")
        assert token not in answer.text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("authorization", [None, "", "Basic eDp5", "token", "DPoP x"])
async def test_who_brings_no_bearer_is_told_of_no_error(
    scene: Scene, method: str, authorization: str | None
) -> None:  # BEA-03
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await scene.house.http.request(method, PATH, headers=headers)
    assert (answer.status_code, answer.json().keys()) == (401, {"error_description"})
    assert answer.headers["www-authenticate"] == CHALLENGE
    check_not_stored(answer)


async def test_what_is_posted_is_read_as_any_form(scene: Scene, token: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    for body, status in ((b"access_token=%ff", 400), (b"x=" + b"x" * 70_000, 413), (b"a=%00", 400)):
        answer = await scene.house.http.post(PATH, content=body, headers=form | bearer(token))
        assert answer.status_code == status
        assert answer.json()["error"] == "invalid_request"


async def test_scripts_of_the_sites_that_are_listed_may_ask(scene: Scene, token: str) -> None:  # UIF-01, GEN-11
    answer = await scene.house.http.get(PATH, headers=bearer(token) | {"origin": SITE})
    assert answer.headers["access-control-allow-origin"] == SITE
    assert "access-control-allow-credentials" not in answer.headers
    preflight = {"origin": SITE, "access-control-request-method": "POST"}
    answer = await scene.house.http.options(PATH, headers=preflight)
    assert answer.status_code == 204
    assert "POST" in answer.headers["access-control-allow-methods"]
    answer = await scene.house.http.get(PATH, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


# --- Who is refused


async def test_a_token_without_openid_is_not_enough(scene: Scene) -> None:  # UIF-03
    answer = await scene.ask(await scene.token("profile email"))
    check_refused(answer, 403, "insufficient_scope")
    assert answer.headers["www-authenticate"].endswith(', scope="openid"')
    own = await scene.house.client(scope="openid profile", audiences=(f"{ISSUER}{PATH}",))
    plain = await scene.house.client()
    check_refused(await scene.ask(await scene.house.token(plain)), 403, "insufficient_scope")
    check_refused(await scene.ask(await scene.house.token(own)), 401, "invalid_token")


async def test_a_token_that_was_narrowed_to_another_resource_is_for_nobody_else(scene: Scene) -> None:  # UIF-05
    login = await scene.log_in()
    form = {
        "grant_type": "refresh_token", "refresh_token": login["refresh_token"], "client_id": scene.client.client_id
    }  # fmt: skip
    answer = await scene.house.http.post("/oauth2/token", data=form | {"resource": f"{ISSUER}/resources"})
    assert answer.status_code == 200, answer.text
    check_refused(await scene.ask(answer.json()["access_token"]), 401, "invalid_token")
    form["refresh_token"] = answer.json()["refresh_token"]
    answer = await scene.house.http.post("/oauth2/token", data=form)
    assert (await scene.ask(answer.json()["access_token"])).status_code == 200


async def test_nobody_can_tell_why_a_token_is_refused(scene: Scene) -> None:  # UIF-03, UIF-05, IDT-09
    login = await scene.log_in()
    revoked = await scene.token()
    await scene.house.http.post("/oauth2/revoke", data={"token": revoked, "client_id": scene.client.client_id})
    logged_out = await scene.token()
    await scene.house.http.post("/api/v1/logout", headers=bearer(logged_out))
    answers = {
        name: await scene.ask(text)
        for name, text in {
            "garbage": "garbage",
            "an ID token": login["id_token"],
            "a refresh token": login["refresh_token"],
            "altered": login["access_token"][:-4] + "AAAA",
            "revoked": revoked,
            "logged out": logged_out,
            "empty": "",
        }.items()
    }
    check_refused(answers["garbage"], 401, "invalid_token")
    assert answers["garbage"].headers["www-authenticate"] == INVALID
    check_equal(answers)


async def test_a_token_that_is_dead_by_whatever_mark_tells_nothing(scene: Scene) -> None:  # UIF-03
    """Of the user; of the client; and of a user whom somebody removed at the database."""
    house = scene.house
    sub = await house.user("eve@example.com")
    token = await scene.token(email="eve@example.com")
    await house.flows.users.disable(sub)
    check_refused(await scene.ask(token), 401, "invalid_token")
    await house.flows.users.enable(sub)
    check_refused(await scene.ask(token), 401, "invalid_token")
    token = await scene.token(email="eve@example.com")
    await house.sql("UPDATE auth.users SET disabled_at = now() WHERE sub = $1", sub)
    check_refused(await scene.ask(token), 401, "invalid_token")
    token = await scene.token()
    await house.flows.clients.revoke_tokens(scene.client.client_id)
    check_refused(await scene.ask(token), 401, "invalid_token")


async def test_an_expired_token_is_refused(scene: Scene) -> None:
    token = await scene.token()
    scene.house.clock.advance(600)
    check_refused(await scene.ask(token), 401, "invalid_token")

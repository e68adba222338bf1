"""Clients that prove themselves by what they sign, at every door that they come to (CLA-09 to CLA-14, ATK-80)."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from authsvc.errors import InvalidValue
from authsvc.models import AuthMethod, Client, GrantType
from authsvc.protocol.clients import ClientRegistration
from tests.adapters.listener import listening, saying
from tests.certificates import write_certificate
from tests.house_of import ISSUER, House, house_on, settings_for
from tests.signing import ALGORITHMS, Hand, proof
from tests.web.answers import check_equal, check_oauth_error
from tests.web.browsing import CALLBACK, CHALLENGE

PUSHED = {
    "response_type": "code", "redirect_uri": CALLBACK, "scope": "read", "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}  # fmt: skip
DOORS = {
    "/oauth2/token": ({"grant_type": "client_credentials"}, 200),
    "/oauth2/introspect": ({"token": "a.b.c"}, 200),
    "/oauth2/revoke": ({"token": "a.b.c"}, 200),
    "/oauth2/par": (PUSHED, 201),
}
HAND = Hand()


async def a_signer(house: House, hand: Hand = HAND, **registration: Any) -> Client:
    asked: dict[str, Any] = {
        "auth_method": AuthMethod.PRIVATE_KEY_JWT,
        "grant_types": (GrantType.CLIENT_CREDENTIALS, GrantType.AUTHORIZATION_CODE),
        "redirect_uris": (CALLBACK,),
        "scope": "read",
        "jwks": hand.key_set(),
    }
    return await house.client(**(asked | registration))


@pytest.fixture(scope="module")
async def client(shared: House) -> Client:
    return await a_signer(shared)


def signed(house: House, client: Client, hand: Hand = HAND, **changes: Any) -> dict[str, str]:
    return proof(hand.assertion(client.client_id, ISSUER, house.clock.unix(), **changes))


async def call(house: House, path: str, form: dict[str, str], **more: Any) -> httpx2.Response:
    return await house.http.post(path, data=DOORS[path][0] | form, **more)


@pytest.mark.parametrize("path", DOORS)
async def test_an_assertion_opens_every_door_once(shared: House, client: Client, path: str) -> None:
    form = signed(shared, client)
    for beside in ({}, {"client_id": client.client_id}):
        answer = await call(shared, path, signed(shared, client) | beside)
        assert answer.status_code == DOORS[path][1], answer.text
    assert (await call(shared, path, form)).status_code == DOORS[path][1]
    for other in DOORS:  # CLA-12: at whatever door it was used
        check_oauth_error(await call(shared, other, form), 401, "invalid_client")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_is_taken_and_no_other_than_the_registered_one(shared: House, algorithm: str) -> None:
    hand = Hand(algorithm, kid=f"the {algorithm}")
    client = await a_signer(shared, hand, assertion_algorithm=algorithm)
    assert (await call(shared, "/oauth2/token", signed(shared, client, hand))).status_code == 200
    other = next(each for each in ALGORITHMS if each != algorithm)
    client = await a_signer(shared, hand, assertion_algorithm=other)
    check_oauth_error(await call(shared, "/oauth2/token", signed(shared, client, hand)), 401, "invalid_client")


@pytest.mark.parametrize("path", DOORS)
async def test_every_failure_looks_the_same(shared: House, client: Client, path: str) -> None:  # CLA-07
    by_secret = await shared.client()
    now, client_id = shared.clock.unix(), client.client_id
    forms = {
        "another's key": proof(Hand().assertion(client_id, ISSUER, now)),
        "an unknown client": proof(HAND.assertion("cli_unknown", ISSUER, now)),
        "a client with a secret": proof(HAND.assertion(by_secret.client_id, ISSUER, now)),
        "a public client": proof(HAND.assertion("first-party", ISSUER, now)),
        "for another door: CLA-10": proof(HAND.assertion(client_id, f"{ISSUER}{path}", now)),
        "for others too": signed(shared, client, aud=[ISSUER, "https://other.example"]),
        "too long": signed(shared, client, exp=now + 3600),
        "over": signed(shared, client, exp=now - 31),
        "without jti": signed(shared, client, jti=None),
        "another client_id": signed(shared, client) | {"client_id": by_secret.client_id},
        "no type": {"client_assertion": signed(shared, client)["client_assertion"]},
        "the client_id alone": {"client_id": client_id},
        "a secret": {"client_id": client_id, "client_secret": "as_x"},
        "nonsense": {**signed(shared, client), "client_assertion": "x"},
    }
    answers = {name: await call(shared, path, form) for name, form in forms.items()}
    check_equal(answers)
    check_oauth_error(answers["over"], 401, "invalid_client")


async def test_an_assertion_and_a_secret_are_two_methods(shared: House, client: Client) -> None:  # CLA-01
    basic = ("any", "secret")
    check_oauth_error(await call(shared, "/oauth2/token", signed(shared, client), auth=basic), 400, "invalid_request")
    both = signed(shared, client) | {"client_id": client.client_id, "client_secret": "as_x"}
    check_oauth_error(await call(shared, "/oauth2/token", both), 400, "invalid_request")


async def test_a_failed_attempt_uses_nothing_up(shared: House, client: Client) -> None:
    """Who has seen a jti cannot use it up before its owner does."""
    forged = Hand().assertion(client.client_id, ISSUER, shared.clock.unix(), jti="seen")
    check_oauth_error(await call(shared, "/oauth2/token", proof(forged)), 401, "invalid_client")
    assert (await call(shared, "/oauth2/token", signed(shared, client, jti="seen"))).status_code == 200


async def test_of_many_at_once_one_gets_through(shared: House, client: Client) -> None:  # CLA-12
    form = signed(shared, client)
    answers = await asyncio.gather(*(call(shared, "/oauth2/token", form) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 11


async def test_no_jti_is_kept_as_it_came(shared: House, client: Client) -> None:
    await call(shared, "/oauth2/token", signed(shared, client, jti="never-at-rest"))
    kept = await shared.sql("SELECT string_agg(used_assertions::text, '') FROM auth.used_assertions")
    assert kept
    assert "never-at-rest" not in kept


async def test_it_opens_nothing_that_takes_a_token(shared: House, client: Client) -> None:  # ATK-18
    assertion = signed(shared, client)["client_assertion"]
    answer = await shared.http.get("/api/v1/me", headers={"authorization": f"Bearer {assertion}"})
    assert answer.status_code == 401
    told = await call(shared, "/oauth2/introspect", signed(shared, client) | {"token": assertion})
    assert told.json() == {"active": False}


async def test_a_new_key_is_taken_at_once_and_an_old_one_is_out_a_second_later(house: House) -> None:
    client, other = await a_signer(house), Hand(kid="two")
    assert (await call(house, "/oauth2/token", signed(house, client))).status_code == 200
    await house.flows.clients.update(client.client_id, {"jwks": other.key_set()})
    assert (await call(house, "/oauth2/token", signed(house, client, other))).status_code == 200
    house.clock.advance(1)
    check_oauth_error(await call(house, "/oauth2/token", signed(house, client)), 401, "invalid_client")


async def test_a_client_goes_from_a_secret_to_a_key_and_back(house: House) -> None:
    client = await house.client(scope="read")
    secret = house.credentials[client.client_id]
    by_key: Any = {"auth_method": AuthMethod.PRIVATE_KEY_JWT, "jwks": HAND.key_set()}
    await house.flows.clients.update(client.client_id, by_key)
    house.clock.advance(1)
    form = DOORS["/oauth2/token"][0]
    check_oauth_error(
        await house.http.post("/oauth2/token", data=form, auth=(client.client_id, secret)), 401, "invalid_client"
    )
    assert (await call(house, "/oauth2/token", signed(house, client))).status_code == 200
    signer = await a_signer(house)
    assert signer.secret_digests == ()
    await house.flows.clients.update(signer.client_id, {"auth_method": None})
    rotated = await house.flows.clients.rotate_secret(signer.client_id, keep_old_for=timedelta(0))
    house.clock.advance(1)
    answer = await house.http.post("/oauth2/token", data=form, auth=(signer.client_id, rotated.secret))
    assert answer.status_code == 200


def an_address(hand: Hand) -> bytes:
    """What stands at a jwks_uri."""
    body = json.dumps(hand.key_set()).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize("is_allowed", [True, False])
async def test_keys_are_fetched_but_not_from_inside_unless_that_is_set(
    database_url: str, tmp_path: Path, is_allowed: bool
) -> None:  # CLA-14, ATK-05
    certificate = write_certificate(tmp_path)
    outward: dict[str, Any] = {"outbound_ca_file": str(certificate[0]), "outbound_loopback": is_allowed}
    async with (
        listening(certificate, saying(an_address(HAND))) as listener,
        house_on(settings_for(database_url, **outward)) as house,
    ):
        uri = f"https://127.0.0.1:{listener.port}/jwks"
        client = await a_signer(house, jwks=None, jwks_uri=uri)
        for _ in range(2):
            answer = await call(house, "/oauth2/token", signed(house, client))
            assert answer.status_code == (200 if is_allowed else 401)
    assert listener.connections == (1 if is_allowed else 0)


async def test_an_address_that_is_silent_is_no_verdict(database_url: str, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    outward: dict[str, Any] = {"outbound_ca_file": str(certificate[0]), "outbound_loopback": True}
    async with (
        listening(certificate, saying(b"")) as listener,
        house_on(settings_for(database_url, **outward)) as house,
    ):
        client = await a_signer(house, jwks=None, jwks_uri=f"https://127.0.0.1:{listener.port}/jwks")
        answer = await call(house, "/oauth2/token", signed(house, client))
        check_oauth_error(answer, 503, "temporarily_unavailable")


CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no keys": ({"jwks": None}, "/jwks"),
    "an empty key set": ({"jwks": {"keys": []}}, "/jwks"),
    "a private key": ({"jwks": {"keys": [HAND.jwk() | {"d": "x"}]}}, "/jwks"),
    "keys in two places": ({"jwks_uri": "https://client.example/jwks"}, "/jwks_uri"),
    "keys by http": ({"jwks": None, "jwks_uri": "http://client.example/jwks"}, "/jwks_uri"),
    "a secret to sign with": ({"assertion_algorithm": "HS256"}, "/token_endpoint_auth_signing_alg"),
    "nothing to sign with": ({"request_object_algorithm": "none"}, "/request_object_signing_alg"),
    "a public client": ({"public": True, "auth_method": None, "grant_types": ()}, "/jwks"),
    "a duty without keys": (
        {"auth_method": None, "jwks": None, "require_signed_request": True}, "/require_signed_request_object"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
async def test_a_registration_that_contradicts_itself_is_refused(shared: House, case: str) -> None:
    registration, pointer = CONTRADICTIONS[case]
    with pytest.raises(InvalidValue) as raised:
        await a_signer(shared, **registration)
    assert raised.value.pointer == pointer


def test_there_is_no_method_with_a_shared_secret_in_a_jwt() -> None:
    assert "client_secret_jwt" not in set(AuthMethod)
    assert ClientRegistration(name="x").assertion_algorithm is None

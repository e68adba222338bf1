"""POST /oauth2/introspect (spec: INT-*, ATK-24 to ATK-30). Hostile token texts have a file of their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest

from authsvc.embedded import Stores
from authsvc.models import Client, IntrospectionRight
from tests.house_of import ISSUER, House, bearer, house_on, settings_for
from tests.stores import fresh_database
from tests.web.answers import check_equal, check_not_stored, check_oauth_error
from tests.web.forging import claims_of, other_spelling

INTROSPECT = "/oauth2/introspect"
INACTIVE = b'{"active":false}'
ORDERS = "https://orders.example/api"
BILLING = "https://billing.example/api"


@pytest.fixture(scope="module", params=[True, False], ids=["at once", "with a task"])
def offers(request: pytest.FixtureRequest) -> bool:
    """The same whichever way it is answered."""
    return bool(request.param)


@pytest.fixture(scope="module")
def own_database_url(stores: Stores, migrated_template: str, offers: bool) -> Iterator[str]:
    with fresh_database(stores, migrated_template) as url:
        yield url


@pytest.fixture(scope="module")
async def shared(own_database_url: str, offers: bool) -> AsyncIterator[House]:
    async with house_on(settings_for(own_database_url), offers=offers) as house:
        yield house


async def ask(house: House, caller: Client, token: str, **more: str) -> httpx2.Response:
    return await house.http.post(INTROSPECT, data={"token": token} | more, auth=house.basic(caller))


async def is_active(house: House, caller: Client, token: str) -> bool:
    return bool((await house.introspect(caller, token))["active"])


# --- What is told


async def test_a_live_token_of_a_client_is_described(shared: House) -> None:  # INT-08, INT-12
    client = await shared.client(scope="read write", audiences=(ORDERS,))
    token = await shared.token(client, scope="read")
    answer = await ask(shared, client, token)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)
    now = int(shared.clock.unix())
    assert answer.json() == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "sub": client.client_id,
        "aud": ORDERS,
        "client_id": client.client_id,
        "exp": now + shared.settings.access_token_seconds,
        "iat": now,
        "jti": claims_of(token)["jti"],
        "scope": "read",
    }
    assert all(type(answer.json()[name]) is int for name in ("exp", "iat"))


async def test_a_live_token_of_a_user_is_described(shared: House) -> None:  # INT-08, AT-12
    sub = await shared.user("described@example.com")
    token = await shared.log_in("described@example.com", scope="email")
    gateway = await shared.client(introspection="any")
    told = await shared.introspect(gateway, token)
    now = int(shared.clock.unix())
    assert told == {
        "active": True,
        "token_type": "Bearer",
        "iss": ISSUER,
        "sub": sub,
        "aud": [f"{ISSUER}/resources", f"{ISSUER}/api/v1"],
        "client_id": "first-party",
        "exp": now + shared.settings.access_token_seconds,
        "iat": now,
        "jti": claims_of(token)["jti"],
        "scope": "email",
        "auth_time": now,
        "amr": ["pwd"],
    }
    # Under which numbers and which grant it was minted stays inside (design: the revocation contract).
    assert told.keys().isdisjoint({"gen", "grant_id", "sid", "kid", "email"})


async def test_an_inactive_token_is_told_with_that_one_word(shared: House) -> None:  # INT-03, INT-04
    answer = await ask(shared, await shared.client(), "garbage")
    assert (answer.status_code, answer.content) == (200, INACTIVE)
    assert answer.headers["content-type"] == "application/json"
    check_not_stored(answer)


async def test_nobody_can_tell_why_a_token_is_inactive(house: House) -> None:  # INT-03, INT-06, ATK-24, ATK-29
    """Garbage, expired, revoked, another client's, for another audience, of another issuer: the same bytes."""
    caller = await house.client(serves=(ORDERS,))
    other = await house.client(audiences=(BILLING,))
    revoked_client, disabled_client = await house.client(audiences=(ORDERS,)), await house.client(audiences=(ORDERS,))
    sub = await house.user()
    expired = await house.token(caller)
    house.clock.advance(house.settings.access_token_seconds)

    tokens = {
        "garbage": "garbage",
        "well-formed garbage": "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
        "expired": expired,
        "revoked": await house.token(caller),
        "of a revoked client": await house.token(revoked_client),
        "of a disabled client": await house.token(disabled_client),
        "of a user who is gone": await house.log_in(),
        "another client's, for another audience": await house.token(other),
        "another client's, and revoked": await house.token(other),
        "a user's, for another audience": await house.log_in(),
    }
    own = house.basic(caller)
    await house.http.post("/oauth2/revoke", data={"token": tokens["revoked"]}, auth=own)
    revoke_other = {"token": tokens["another client's, and revoked"]}
    await house.http.post("/oauth2/revoke", data=revoke_other, auth=house.basic(other))
    await house.flows.clients.revoke_tokens(revoked_client.client_id)
    await house.flows.clients.disable(disabled_client.client_id)
    await house.flows.users.delete(sub)

    answers = {name: await ask(house, caller, token) for name, token in tokens.items()}
    assert answers["garbage"].content == INACTIVE
    check_equal(answers)
    check_equal({name: await ask(house, caller, token) for name, token in tokens.items()} | answers)  # and again


# --- Who is told (INT-06)

OWN, AUDIENCE, ANY = IntrospectionRight.OWN, IntrospectionRight.AUDIENCE, IntrospectionRight.ANY


@pytest.mark.parametrize(
    ("right", "serves", "issued_to_caller", "sees"),
    [
        (OWN, (), True, True),
        (OWN, (), False, False),
        (OWN, (ORDERS,), True, True),
        (OWN, (ORDERS,), False, False),
        (AUDIENCE, (), True, True),
        (AUDIENCE, (), False, False),
        (AUDIENCE, (ORDERS,), True, True),
        (AUDIENCE, (ORDERS,), False, True),
        (AUDIENCE, (BILLING, ORDERS), False, True),
        (AUDIENCE, (BILLING,), True, True),
        (AUDIENCE, (BILLING,), False, False),
        (AUDIENCE, (f"{ORDERS}/",), False, False),
        (AUDIENCE, (ORDERS[:-1],), False, False),
        (AUDIENCE, (f"{ORDERS}/v2",), False, False),
        (AUDIENCE, ("https://ORDERS.example/api",), False, False),
        (AUDIENCE, (ISSUER,), False, False),
        (ANY, (), True, True),
        (ANY, (), False, True),
        (ANY, (BILLING,), False, True),
    ],
)
async def test_a_token_is_shown_by_right_audience_and_owner(
    shared: House, right: IntrospectionRight, serves: tuple[str, ...], issued_to_caller: bool, sees: bool
) -> None:
    caller = await shared.client(introspection=right, serves=serves, audiences=(ORDERS,))
    owner = caller if issued_to_caller else await shared.client(audiences=(ORDERS,))
    token = await shared.token(owner)
    assert await is_active(shared, caller, token) is sees
    if not sees:
        assert (await ask(shared, caller, token)).content == INACTIVE


@pytest.mark.parametrize(
    ("serves", "sees"),
    [((f"{ISSUER}/resources",), True), ((f"{ISSUER}/api/v1",), True), ((ISSUER,), False), ((ORDERS,), False)],
)
async def test_a_token_for_two_audiences_is_shown_to_each_of_them(
    shared: House, serves: tuple[str, ...], sees: bool
) -> None:
    email = f"two-{len(serves[0])}@example.com"
    await shared.user(email)
    assert await is_active(shared, await shared.client(serves=serves), await shared.log_in(email)) is sees


async def test_a_stranger_who_asks_first_spoils_nothing_for_the_owner(shared: House) -> None:
    """The answer is prepared once for each token; whether it is given is decided for each request."""
    owner, stranger = await shared.client(), await shared.client()
    token = await shared.token(owner)
    for _ in range(2):
        assert not await is_active(shared, stranger, token)
        assert await is_active(shared, owner, token)


async def test_a_public_client_may_not_ask(shared: House) -> None:  # INT-02
    public = await shared.client(public=True, introspection="any", serves=(ORDERS,))
    token = await shared.token(await shared.client(audiences=(ORDERS,)))
    answers = {
        client_id: await shared.http.post(INTROSPECT, data={"token": token, "client_id": client_id})
        for client_id in ("cli_unknown", public.client_id, "first-party")
    }
    check_oauth_error(answers[public.client_id], 401, "invalid_client")
    check_equal(answers)


async def test_a_users_token_is_no_right_to_ask_even_about_itself(shared: House) -> None:  # INT-02, ATK-23
    await shared.user("asks@example.com")
    token = await shared.log_in("asks@example.com")
    answer = await shared.http.post(INTROSPECT, data={"token": token}, headers=bearer(token))
    check_oauth_error(answer, 401, "invalid_client")


# --- How it is asked


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "banana", "", "' OR 1=1", "ü", "x" * 5000])
async def test_the_hint_changes_nothing(shared: House, hint: str) -> None:  # INT-07, ATK-26
    client = await shared.client()
    live, dead = await shared.token(client), "garbage"
    for token in (live, dead):
        answers = {"without": await ask(shared, client, token)}
        answers["with"] = await ask(shared, client, token, token_type_hint=hint)
        check_equal(answers)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "token",
        "token=",
        "Token=x",
        "token_type_hint=access_token",
        "token=x&token=x",
        "token=x&token=y",
        "token=&token=x",
        "token=x&token_type_hint=a&token_type_hint=a",
        "token=x&tok%65n=y",
        "token=%00",
        "token=a%00b",
        "token=x\0",
        "%00=x&token=x",
        "token=%FF",
        "token=%ED%A0%80",
        "token=%C0%AF",
        "token=x&foo=%FF",
        "&".join(["token=x", *(f"p{n}=1" for n in range(64))]),
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_malformed_question_is_refused(shared: House, body: str) -> None:  # INT-01, GEN-03 to GEN-06
    client_id, secret = shared.basic(await shared.client())
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await shared.http.post(INTROSPECT, content=body.encode(), headers=headers, auth=(client_id, secret))
    check_oauth_error(answer, 400, "invalid_request")


async def test_unknown_parameters_and_the_accept_header_change_nothing(shared: House) -> None:  # GEN-02
    client = await shared.client()
    token = await shared.token(client)
    answer = await ask(shared, client, token)
    check_equal({"plain": answer, "more": await ask(shared, client, token, foo="bar", scope="x", resource="y")})
    for accept in (
        "application/token-introspection+jwt;q=0",
        "application/jwt",
        "application/*",
        "text/html",
        "*/*;q=0",
    ):
        asked = await shared.http.post(
            INTROSPECT, data={"token": token}, auth=shared.basic(client), headers={"accept": accept}
        )
        check_equal({"plain": answer, accept: asked})


# --- When


@pytest.mark.parametrize("seconds", [30, 3600])
async def test_a_token_lives_to_the_last_instant_before_its_expiry(database_url: str, seconds: int) -> None:
    # ATK-17, JWT-10: no leeway for our own
    async with house_on(settings_for(database_url, access_token_seconds=seconds)) as house:
        client = await house.client()
        token = await house.token(client)
        assert (await house.introspect(client, token))["exp"] == int(house.clock.unix()) + seconds
        house.clock.advance(seconds - 0.001)
        assert await is_active(house, client, token)
        house.clock.advance(0.001)
        assert not await is_active(house, client, token)
        house.clock.advance(86_400)
        assert not await is_active(house, client, token)


async def test_a_token_minted_within_a_second_is_dated_to_its_beginning(house: House) -> None:  # AT-10
    house.clock.advance(0.75)
    client = await house.client()
    token = await house.token(client)
    told = await house.introspect(client, token)
    assert told["iat"] == int(house.clock.unix())
    assert told["exp"] - told["iat"] == house.settings.access_token_seconds


async def test_a_clock_that_steps_back_a_little_kills_no_fresh_token(house: House) -> None:  # FLT-44
    client = await house.client()
    token = await house.token(client)
    house.clock.advance(-5)
    assert await is_active(house, client, token)
    house.clock.advance(-1)
    assert not await is_active(house, client, token)
    house.clock.advance(6)
    assert await is_active(house, client, token)


# --- What is certain


async def test_once_revoked_here_it_is_dead_on_every_worker_at_the_next_question(house: House) -> None:
    # INT-13, C1, ATK-30: warm caches everywhere
    client = await house.client()
    async with house_on(house.settings, house.clock) as other:
        other.credentials = house.credentials
        for _ in range(25):
            token = await house.token(client)
            assert await is_active(house, client, token)
            assert await is_active(other, client, token)
            revoked = await house.http.post("/oauth2/revoke", data={"token": token}, auth=house.basic(client))
            assert revoked.status_code == 200
            told = await asyncio.gather(*(is_active(each, client, token) for each in (other, house, other)))
            assert told == [False, False, False]


async def test_every_spelling_of_a_token_dies_with_it(shared: House) -> None:
    client = await shared.client()
    for revoke_the_twin in (False, True):
        token = await shared.token(client)
        twin = other_spelling(token)
        assert twin != token
        assert await is_active(shared, client, twin)
        revoked = twin if revoke_the_twin else token
        await shared.http.post("/oauth2/revoke", data={"token": revoked}, auth=shared.basic(client))
        assert not await is_active(shared, client, token)
        assert not await is_active(shared, client, twin)


async def test_questions_asked_at_once_get_each_its_own_answer(shared: House) -> None:
    """Questions of one loop turn share a round trip: what is found must not get mixed up."""
    clients = [await shared.client() for _ in range(4)]
    tokens = [(client, await shared.token(client)) for client in clients for _ in range(15)]
    dead = {token for number, (_, token) in enumerate(tokens) if number % 3 == 0}
    for client, token in tokens:
        if token in dead:
            await shared.http.post("/oauth2/revoke", data={"token": token}, auth=shared.basic(client))

    async def check(client: Client, token: str) -> None:
        told: dict[str, Any] = await shared.introspect(client, token)
        if token in dead:
            assert told == {"active": False}
        else:
            assert (told["client_id"], told["jti"]) == (client.client_id, claims_of(token)["jti"])

    await asyncio.gather(*(check(client, token) for client, token in tokens * 3))

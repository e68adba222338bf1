"""POST /oauth2/revoke (spec: REV-*, ATK-30 to ATK-35). What else kills a token stands in test_marks.py."""

import asyncio
from datetime import UTC, datetime

import httpx2
import pytest

from authsvc.models import Client
from tests.house_of import House
from tests.web.answers import check_equal, check_not_stored, check_oauth_error
from tests.web.forging import claims_of

REVOKE = "/oauth2/revoke"


async def revoke(house: House, caller: Client, token: str, **more: str) -> httpx2.Response:
    return await house.http.post(REVOKE, data={"token": token} | more, auth=house.basic(caller))


async def marks(house: House) -> int:
    return int(await house.sql("SELECT count(*) FROM auth.token_blacklist WHERE mark NOT LIKE 'j:canary%'"))


async def is_active(house: House, caller: Client, token: str) -> bool:
    return bool((await house.introspect(caller, token))["active"])


def check_done(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.content) == (200, b"")  # REV-04
    assert "content-type" not in answer.headers
    check_not_stored(answer)


async def test_a_revoked_token_is_dead_when_the_call_returns(shared: House) -> None:  # REV-01, REV-07, ATK-30
    client, gateway = await shared.client(), await shared.client(introspection="any")
    token, other = await shared.token(client), await shared.token(client)
    assert await is_active(shared, gateway, token)
    check_done(await revoke(shared, client, token))
    for caller in (client, gateway):
        assert await shared.introspect(caller, token) == {"active": False}
    assert await is_active(shared, client, other)  # REV-06: this token and no other


async def test_revoking_again_is_fine_and_writes_no_second_row(shared: House) -> None:  # ATK-32, FLT-43
    client = await shared.client()
    token = await shared.token(client)
    before = await marks(shared)
    answers = {str(n): await revoke(shared, client, token) for n in range(3)}
    check_equal(answers)
    check_done(answers["0"])
    assert await marks(shared) == before + 1
    assert not await is_active(shared, client, token)


async def test_revoked_ten_times_at_once_it_is_dead_and_stands_in_one_row(shared: House) -> None:  # FLT-43
    client = await shared.client()
    token = await shared.token(client)
    before = await marks(shared)
    for answer in await asyncio.gather(*(revoke(shared, client, token) for _ in range(10))):
        check_done(answer)
    assert await marks(shared) == before + 1
    assert not await is_active(shared, client, token)


async def test_the_row_is_kept_for_as_long_as_the_token_could_live(shared: House) -> None:  # C2, C4
    client = await shared.client()
    token = await shared.token(client)
    await revoke(shared, client, token)
    kept_until = await shared.sql(
        "SELECT expires_at FROM auth.token_blacklist WHERE mark = $1", f"j:{claims_of(token)['jti']}"
    )
    assert kept_until >= datetime.fromtimestamp(claims_of(token)["exp"], UTC)


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "..", " ", "ü", "x" * 60_000, "eyJhbGciOiJub25lIn0.e30."])
async def test_what_is_no_token_is_revoked_with_success_and_without_a_row(shared: House, token: str) -> None:
    client = await shared.client()  # REV-04, REV-09, ATK-32, ATK-35
    before = await marks(shared)
    check_done(await revoke(shared, client, token))
    assert await marks(shared) == before


async def test_an_expired_token_is_revoked_with_success_and_without_a_row(house: House) -> None:  # REV-04, ATK-32
    client = await house.client()
    token = await house.token(client)
    house.clock.advance(house.settings.access_token_seconds + 5)
    check_done(await revoke(house, client, token))
    assert await marks(house) == 0


async def test_done_looks_the_same_for_live_dead_and_unknown(shared: House) -> None:  # REV-04
    client = await shared.client()
    token = await shared.token(client)
    check_equal(
        {
            "live": await revoke(shared, client, token),
            "dead": await revoke(shared, client, token),
            "unknown": await revoke(shared, client, "garbage"),
        }
    )


async def test_another_clients_token_is_refused_and_stays_active(shared: House) -> None:  # REV-05, ATK-32
    owner, other = await shared.client(), await shared.client(introspection="any")
    token = await shared.token(owner)
    before = await marks(shared)
    check_oauth_error(await revoke(shared, other, token), 400, "invalid_request")
    assert await is_active(shared, owner, token)
    assert await marks(shared) == before


async def test_the_resource_server_of_a_token_may_not_revoke_it(shared: House) -> None:  # REV-05
    orders = "https://orders.example/api"
    owner, server = await shared.client(audiences=(orders,)), await shared.client(serves=(orders,))
    token = await shared.token(owner)
    assert await is_active(shared, server, token)
    check_oauth_error(await revoke(shared, server, token), 400, "invalid_request")
    assert await is_active(shared, server, token)


async def test_a_public_client_is_not_told_that_a_token_is_another_clients(shared: House) -> None:  # REV-05
    owner, public = await shared.client(), await shared.client(public=True)
    token = await shared.token(owner)
    answers = {
        text: await shared.http.post(REVOKE, data={"token": text, "client_id": public.client_id})
        for text in (token, "garbage")
    }
    check_done(answers[token])
    check_equal(answers)
    assert await is_active(shared, owner, token)


async def test_a_public_client_revokes_its_own_token(shared: House) -> None:  # REV-03
    await shared.user("public@example.com")
    token = await shared.log_in("public@example.com")
    gateway = await shared.client(introspection="any")
    assert await is_active(shared, gateway, token)
    check_done(await shared.http.post(REVOKE, data={"token": token, "client_id": "first-party"}))
    assert not await is_active(shared, gateway, token)
    # The token is dead, the session is not: a login is revoked by logging out.
    other = await shared.log_in("public@example.com")
    assert await is_active(shared, gateway, other)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "banana", "", "ü", "x" * 5000])
async def test_the_hint_changes_nothing(shared: House, hint: str) -> None:  # REV-02
    client = await shared.client()
    token = await shared.token(client)
    check_done(await revoke(shared, client, token, token_type_hint=hint))
    assert not await is_active(shared, client, token)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "token=",
        "token_type_hint=access_token",
        "token=x&token=x",
        "token=&token=x",
        "token=x&token_type_hint=a&token_type_hint=b",
        "token=%00",
        "token=x%00",
        "token=x\0",
        "token=%FF",
        "token=%ED%A0%80",
    ],
    ids=repr,
)
async def test_a_malformed_request_is_refused(shared: House, body: str) -> None:  # REV-02, GEN-03 to GEN-05
    headers = {"content-type": "application/x-www-form-urlencoded"}
    auth = shared.basic(await shared.client())
    answer = await shared.http.post(REVOKE, content=body.encode(), headers=headers, auth=auth)
    check_oauth_error(answer, 400, "invalid_request")


async def test_a_callback_parameter_makes_no_script_of_it(shared: House) -> None:  # REV-10
    client = await shared.client()
    check_done(await revoke(shared, client, await shared.token(client), callback="alert"))


async def test_a_disabled_client_can_revoke_nothing_and_need_not(house: House) -> None:
    client, gateway = await house.client(), await house.client(introspection="any")
    token = await house.token(client)
    await house.flows.clients.disable(client.client_id)
    house.clock.advance(1)
    check_oauth_error(await revoke(house, client, token), 401, "invalid_client")
    assert not await is_active(house, gateway, token)

"""Refresh tokens: one live child whatever happens, and reuse ends the family (spec: REF-*, ATK-70 to ATK-76)."""

import asyncio
from typing import Any

import pytest

from authsvc.models import GrantType
from tests.house_of import PASSWORD, FakeClock, House, bearer, house_on, settings_for
from tests.tables.rows import database_on, until_somebody_waits


async def _log_in(house: House, **more: str) -> dict[str, Any]:
    answer = await house.http.post("/api/v1/login", json={"email": "ada@example.com", "password": PASSWORD, **more})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def _refresh(house: House, token: str, client_id: str = "first-party", **more: str) -> Any:
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": client_id} | more
    return await house.http.post("/oauth2/token", data=form)


async def _is_live(house: House, access_token: str) -> bool:
    return (await house.http.get("/api/v1/me", headers=bearer(access_token))).status_code == 200


async def test_a_refresh_gives_a_new_pair_and_the_old_token_is_spent(house: House) -> None:
    await house.user()
    first = await _log_in(house)
    answer = await _refresh(house, first["refresh_token"])
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert await _is_live(house, second["access_token"])
    third = (await _refresh(house, second["refresh_token"])).json()
    assert (await _refresh(house, third["refresh_token"])).status_code == 200


async def test_a_lost_answer_is_given_again_while_the_child_is_unused(house: House) -> None:  # ATK-72
    await house.user()
    first = await _log_in(house)
    child = (await _refresh(house, first["refresh_token"])).json()["refresh_token"]
    house.clock.advance(30)
    assert (await _refresh(house, first["refresh_token"])).json()["refresh_token"] == child


@pytest.mark.parametrize("how", ["child used", "too late"])
async def test_reuse_ends_the_family_with_its_access_tokens(house: House, how: str) -> None:
    await house.user()
    first = await _log_in(house)
    latest = (await _refresh(house, first["refresh_token"])).json()
    if how == "child used":
        latest = (await _refresh(house, latest["refresh_token"])).json()
    else:
        house.clock.advance(31)
    assert await _is_live(house, latest["access_token"])
    answer = await _refresh(house, first["refresh_token"])
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert (await _refresh(house, latest["refresh_token"])).json()["error"] == "invalid_grant"
    assert not await _is_live(house, latest["access_token"])


async def test_a_refresh_that_a_hanging_store_held_up_is_no_theft(house: House) -> None:
    """Its client asked again, got on, and used the child: the late one is refused, and nobody is logged out."""
    await house.user()
    first = await _log_in(house)
    async with database_on(house.settings.database_url) as db, db.transaction() as tx:
        await tx.execute("SELECT 1 FROM auth.grants FOR UPDATE")
        held_up = asyncio.create_task(_refresh(house, first["refresh_token"]))
        await until_somebody_waits(db)
        house.clock.advance(1)
        await tx.execute("UPDATE auth.grants SET place = place + 2, rotated_at = $1", house.clock.now())
    assert (await held_up).json()["error"] == "invalid_grant"
    assert await _is_live(house, first["access_token"])


async def test_fifty_at_once_on_two_nodes_get_one_and_the_same_child(house: House) -> None:
    await house.user()
    first = await _log_in(house)
    async with house_on(house.settings, house.clock) as other:
        answers = await asyncio.gather(*(_refresh((house, other)[n % 2], first["refresh_token"]) for n in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await _refresh(house, answers[0].json()["refresh_token"])).status_code == 200


async def test_another_client_can_neither_use_nor_hurt_a_token(house: House) -> None:  # ATK-73
    await house.user()
    first = await _log_in(house)
    other = await house.client(public=True, first_party=True)
    assert (await _refresh(house, first["refresh_token"], other.client_id)).json()["error"] == "invalid_grant"
    assert (await _refresh(house, first["refresh_token"])).status_code == 200


async def test_scope_narrows_for_one_answer_and_never_widens(house: House) -> None:  # ATK-74
    await house.user()
    ui = await house.client(public=True, first_party=True, scope="a b c")
    first = await _log_in(house, client_id=ui.client_id, scope="a b")
    narrow = (await _refresh(house, first["refresh_token"], ui.client_id, scope="a")).json()
    assert narrow["scope"] == "a"
    assert (await _refresh(house, narrow["refresh_token"], ui.client_id, scope="a c")).json()[
        "error"
    ] == "invalid_scope"
    assert (await _refresh(house, narrow["refresh_token"], ui.client_id)).json()["scope"] == "a b"


async def test_a_resource_outside_the_grant_is_refused_and_consumes_nothing(house: House) -> None:  # ATK-74
    await house.user()
    first = await _log_in(house)
    answer = await _refresh(house, first["refresh_token"], resource="https://elsewhere.example/")
    assert answer.json()["error"] == "invalid_target"
    answer = await _refresh(house, first["refresh_token"], resource=house.settings.api_audience)
    assert await _is_live(house, answer.json()["access_token"])


@pytest.mark.parametrize(("seconds", "status"), [(1_209_599, 200), (1_209_600, 400)])
async def test_an_idle_token_dies_on_the_second(house: House, seconds: int, status: int) -> None:
    await house.user()
    first = await _log_in(house)
    house.clock.advance(seconds)
    assert (await _refresh(house, first["refresh_token"])).status_code == status


async def test_refreshing_for_ever_comes_to_an_end(database_url: str) -> None:
    clock = FakeClock()
    settings = settings_for(database_url, refresh_idle_seconds=1000, refresh_absolute_seconds=3000)
    async with house_on(settings, clock) as house:
        await house.user()
        token = (await _log_in(house))["refresh_token"]
        for _ in range(3):
            clock.advance(900)
            token = (await _refresh(house, token)).json()["refresh_token"]
        clock.advance(300)
        assert (await _refresh(house, token)).json()["error"] == "invalid_grant"


async def test_no_token_outlives_its_session(database_url: str) -> None:
    clock = FakeClock()
    async with house_on(settings_for(database_url, session_seconds=300), clock) as house:
        await house.user()
        first = await _log_in(house)
        assert first["expires_in"] == 300
        clock.advance(299)
        assert await _is_live(house, first["access_token"])
        assert (await _refresh(house, first["refresh_token"])).json()["expires_in"] == 1
        clock.advance(1)
        assert not await _is_live(house, first["access_token"])


async def test_a_rotated_token_stays_spent_over_a_restart_and_a_clock_set_back(house: House) -> None:  # ATK-75
    await house.user()
    first = await _log_in(house)
    second = (await _refresh(house, first["refresh_token"])).json()
    await _refresh(house, second["refresh_token"])
    house.clock.advance(-86_400)
    async with house_on(house.settings, house.clock) as restarted:
        assert (await _refresh(restarted, first["refresh_token"])).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "act",
    ["log_out", "log_out_everywhere", "disable", "delete", "client", "everything", "revoke", "password elsewhere"],
)
async def test_whatever_ends_the_session_ends_its_refresh_token(house: House, act: str) -> None:
    sub = await house.user()
    first = await _log_in(house)
    other = await _log_in(house)
    flows, header = house.flows, bearer(first["access_token"])
    match act:
        case "log_out":
            await house.http.post("/api/v1/logout", headers=header)
        case "log_out_everywhere":
            await house.http.post("/api/v1/me/logout-everywhere", headers=header)
        case "disable":
            await flows.users.disable(sub)
            await flows.users.enable(sub)
        case "delete":
            await flows.users.delete(sub)
        case "client":
            await flows.clients.revoke_tokens("first-party")
        case "everything":
            await flows.revocation.revoke_everything()
        case "revoke":
            form = {"token": first["refresh_token"], "client_id": "first-party"}
            assert (await house.http.post("/oauth2/revoke", data=form)).status_code == 200
            assert not await _is_live(house, first["access_token"])
        case "password elsewhere":
            body = {"current_password": PASSWORD, "new_password": PASSWORD + " anew"}
            changed = await house.http.post("/api/v1/me/password", json=body, headers=bearer(other["access_token"]))
            assert changed.status_code == 200
            assert (await _refresh(house, other["refresh_token"])).status_code == 200
    assert (await _refresh(house, first["refresh_token"])).json()["error"] == "invalid_grant"


async def test_only_its_own_client_is_told_of_a_refresh_token(house: House) -> None:
    await house.user()
    ui = await house.client(first_party=True, grant_types=(GrantType.REFRESH_TOKEN,), scope="a")
    token = (await _log_in(house, client_id=ui.client_id))["refresh_token"]
    gateway = await house.client(introspection="any")
    assert (await house.introspect(ui, token))["active"] is True
    assert await house.introspect(gateway, token) == {"active": False}
    form = {"grant_type": "refresh_token", "refresh_token": token}
    await house.http.post("/oauth2/token", data=form, auth=house.basic(ui))
    assert await house.introspect(ui, token) == {"active": False}


@pytest.mark.parametrize("text", ["asr_", "asr_AAAA", "asr_" + "A" * 80, "asr_é", "nothing", "asr_" + "A" * 5000])
async def test_garbage_is_nobodys_token(house: House, text: str) -> None:
    assert (await _refresh(house, text)).json()["error"] == "invalid_grant"


async def test_every_spelling_but_one_is_refused(house: House) -> None:
    await house.user()
    token = (await _log_in(house))["refresh_token"]
    for altered in (token + "A", token[:-1], token + "=", token.upper(), token[:30] + "A" + token[31:]):
        if altered != token:
            assert (await _refresh(house, altered)).json()["error"] == "invalid_grant"
    assert (await _refresh(house, token)).status_code == 200


async def test_a_client_without_the_grant_gets_no_refresh_token(house: House) -> None:
    await house.user()
    ui = await house.client(public=True, first_party=True, grant_types=(GrantType.REFRESH_TOKEN,))
    assert "refresh_token" in await _log_in(house, client_id=ui.client_id)
    machine = await house.client(first_party=True)
    assert "refresh_token" not in await _log_in(house, client_id=machine.client_id)

"""What users have allowed clients, and take back: its tokens are dead everywhere, its codes are redeemed by nobody, and
the next request asks anew (C1, C5)."""

import asyncio
from typing import Any

import pytest

from authsvc.errors import InvalidGrant, Unavailable
from authsvc.flows.authorization import ConsentWanted
from authsvc.flows.browser_sessions import OpenedSession
from authsvc.models import Connection
from authsvc.protocol.authorization_response import AuthorizationResponse
from authsvc.protocol.forms import Form
from authsvc.protocol.token_request import TokenResponse
from tests.flows.test_code_grant import CALLBACK, CHALLENGE, a_client, issue, log_in, redeem
from tests.flows.workers import Caller, Worker, active_everywhere, sql, with_and_without_redis

ASKED = {
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid offline_access read",
    "prompt": "",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


async def ask(worker: Worker, who: Caller, opened: OpenedSession, *, allowed: bool = False, **changes: str) -> Any:
    form = Form({name: [value] for name, value in (ASKED | {"client_id": who.client_id} | changes).items()})
    authorization = worker.flows.authorization
    return await authorization.decide(await authorization.begin(form), opened.session, allowed=allowed)


async def code_of(worker: Worker, who: Caller, opened: OpenedSession, **changes: Any) -> str:
    response = await ask(worker, who, opened, **changes)
    assert isinstance(response, AuthorizationResponse)
    return dict(response.fields)["code"]


async def connections_of(worker: Worker, opened: OpenedSession) -> list[Connection]:
    return await worker.flows.connections.list_all(opened.session)


@pytest.fixture
async def opened(worker: Worker) -> OpenedSession:
    await worker.register()
    return await log_in(worker)


async def test_a_client_is_connected_by_consent_or_by_what_outlives_sessions(
    worker: Worker, opened: OpenedSession
) -> None:
    assert await connections_of(worker, opened) == []
    asking = await a_client(worker, name="b asks", consent="remember")
    vouched = await a_client(worker, name="A vouched", consent="never")
    passing = await a_client(worker, name="passing by", consent="never")
    began = worker.clock.now()
    await code_of(worker, asking, opened, allowed=True)
    worker.clock.advance(60)
    await redeem(worker, vouched, await code_of(worker, vouched, opened))
    await redeem(worker, passing, await code_of(worker, passing, opened, scope="read"))
    found = await connections_of(worker, opened)
    assert [each.client.client_id for each in found] == [vouched.client_id, asking.client_id]
    assert {each.scope for each in found} == {("openid", "read", "offline_access")}
    assert {each.since for each in found} == {began}


async def test_what_is_shown_is_what_is_allowed_claims_too(worker: Worker, opened: OpenedSession) -> None:
    who = await a_client(worker, scope="openid email read")
    await code_of(worker, who, opened, allowed=True, scope="openid", claims='{"userinfo": {"email": null}}')
    (only,) = await connections_of(worker, opened)
    assert only.scope == ("openid", "email")


@with_and_without_redis
async def test_what_was_allowed_is_taken_back_everywhere(workers: list[Worker]) -> None:
    here, there = workers
    await here.register()
    await here.register("bob@example.com")
    opened, bobs = await log_in(here), await log_in(here, "bob@example.com")
    who, other, observer = await a_client(here), await a_client(here), await here.client()
    offline = await redeem(here, who, await code_of(here, who, opened, allowed=True))
    online = await redeem(here, who, await code_of(here, who, opened, scope="openid read"))
    waiting = await code_of(there, who, opened)
    kept = [
        await redeem(here, other, await code_of(here, other, opened, allowed=True)),
        await redeem(here, who, await code_of(here, who, bobs, allowed=True)),
    ]
    for each in (offline, online, *kept):
        assert await active_everywhere(workers, observer, each.access_token)

    await there.flows.connections.end(opened.session, who.client_id)
    for each in (offline, online):
        assert not await active_everywhere(workers, observer, each.access_token)
    with pytest.raises(InvalidGrant):
        await here.refresh(who, str(offline.refresh_token))
    with pytest.raises(InvalidGrant):
        await redeem(here, who, waiting)
    for each in kept:
        assert await active_everywhere(workers, observer, each.access_token)
    assert isinstance(await ask(here, who, opened), ConsentWanted)
    assert [each.client.client_id for each in await connections_of(here, opened)] == [other.client_id]
    assert await here.flows.browser_sessions.find(opened.cookie) is not None
    query = "SELECT details::text FROM audit.security_events WHERE event = 'consent_withdrawn'"
    assert await sql(here.settings.database_url, query) == '{"grants": 2}'


async def test_taking_back_what_was_never_given_changes_nothing(worker: Worker, opened: OpenedSession) -> None:
    who = await a_client(worker)
    for client_id in (who.client_id, "", "nobody", "first-party"):
        await worker.flows.connections.end(opened.session, client_id)
    assert await worker.flows.browser_sessions.find(opened.cookie) is not None
    query = "SELECT count(*) FROM audit.security_events WHERE event = 'consent_withdrawn'"
    assert await sql(worker.settings.database_url, query) == 0


async def test_who_was_told_to_try_again_is_heard_again(
    worker: Worker, opened: OpenedSession, monkeypatch: pytest.MonkeyPatch
) -> None:  # C5
    who = await a_client(worker)
    await redeem(worker, who, await code_of(worker, who, opened, allowed=True))
    publication = worker.flows.account._revocations._publication
    known: set[str] = set()

    async def fail(marks: object) -> None:
        raise Unavailable

    async def note(marks: dict[str, int]) -> None:
        known.update(marks)

    monkeypatch.setattr(publication, "publish", fail)
    with pytest.raises(Unavailable):
        await worker.flows.connections.end(opened.session, who.client_id)
    monkeypatch.setattr(publication, "publish", note)
    await worker.flows.connections.end(opened.session, who.client_id)
    grant_id = await sql(worker.settings.database_url, "SELECT grant_id FROM auth.grants")
    assert known == {f"f:{grant_id}"}


# --- Races


@with_and_without_redis
async def test_a_code_that_is_redeemed_while_its_consent_is_taken_back_gives_nothing_that_lives(
    workers: list[Worker],
) -> None:
    here, there = workers
    await here.register()
    opened, observer, who = await log_in(here), await here.client(), await a_client(here)
    for turn in range(8):
        code = await issue(here, who, opened)

        async def withdraw(turn: int = turn) -> None:
            for _ in range(turn):
                await asyncio.sleep(0.0005)
            await there.flows.connections.end(opened.session, who.client_id)

        redeemed, _ = await asyncio.gather(redeem(here, who, code), withdraw(), return_exceptions=True)
        if isinstance(redeemed, TokenResponse):
            assert not await active_everywhere(workers, observer, redeemed.access_token)
            with pytest.raises(InvalidGrant):
                await there.refresh(who, str(redeemed.refresh_token))
        else:
            assert isinstance(redeemed, InvalidGrant)
        with pytest.raises(InvalidGrant):
            await redeem(here, who, code)


async def test_no_code_is_written_on_a_consent_that_is_taken_back_meanwhile(workers: list[Worker]) -> None:
    """Whichever is first: what was asked before it returned is dead, or was asked about anew."""
    here, there = workers
    await here.register()
    opened, who = await log_in(here), await a_client(here)
    for turn in range(8):
        await code_of(here, who, opened, allowed=True)

        async def withdraw(turn: int = turn) -> None:
            for _ in range(turn):
                await asyncio.sleep(0.0005)
            await there.flows.connections.end(opened.session, who.client_id)

        outcome, _ = await asyncio.gather(ask(here, who, opened), withdraw())
        if isinstance(outcome, AuthorizationResponse):
            with pytest.raises(InvalidGrant):
                await redeem(here, who, dict(outcome.fields)["code"])
        assert isinstance(await ask(here, who, opened), ConsentWanted)

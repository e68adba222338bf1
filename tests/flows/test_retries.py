"""A revocation that was committed and could not be made known: its caller was told to try again, and who does is not
answered from PostgreSQL alone, whatever that says by then (C5; FLT-20)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc import wiring
from authsvc.entropy import SystemEntropy
from authsvc.errors import InvalidGrant, InvalidToken, InvalidValue, NotFound, Unavailable
from authsvc.flows import warm_up
from authsvc.metrics import Metrics
from authsvc.wiring import Outside, open_flows
from tests.caches.filled import be_patient
from tests.drawn_keys import draw_key
from tests.flows.workers import Caller, Worker, cheap, kid_of, sql, worker_on

PUBLIC = Caller("first-party", None)
NEW = "another long password"


@asynccontextmanager
async def command(like: Worker) -> AsyncIterator[Worker]:
    """One that keeps no lease, and so asks PostgreSQL; what it revokes it writes to Redis."""
    outside, metrics = Outside(like.clock, SystemEntropy(), draw_key), Metrics(CollectorRegistry())
    async with open_flows(like.settings, metrics, outside, keeps_fresh=False, with_jobs=False) as flows:
        yield Worker(flows, like.clock, like.settings)


@dataclass
class Scene:
    here: Worker
    """Asks PostgreSQL."""
    there: Worker
    """Asks Redis."""
    owner: Caller


@pytest.fixture
async def scene(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    be_patient(monkeypatch)
    monkeypatch.setattr(wiring, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(wiring, "WARM_UP_SECONDS", 0.05)
    monkeypatch.setattr(warm_up, "SENT_AGAIN", timedelta(0))  # or it would be made known without a retry
    async with worker_on(cheap(database_url, redis_url=redis_url)) as there, command(there) as here:
        await there.until_redis_answers()
        yield Scene(here, there, await there.client())


async def in_vain(worker: Worker, act: Callable[[], Awaitable[Any]]) -> None:
    """It is committed, and that is all."""

    async def fail(marks: Mapping[str, int]) -> None:
        raise Unavailable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.flows.account._revocations._publication, "publish", fail)
        with pytest.raises(Unavailable):
            await act()


_numbers = count()


@dataclass
class People:
    """Whom it happens to, made for one case."""

    sub: str
    client: Caller
    users: str
    clients: str
    refresh_token: str
    used: str
    """The refresh token that was live before that one."""


async def people(worker: Worker) -> People:
    client, email = await worker.client(), f"user{next(_numbers)}@example.com"
    sub = await worker.register(email)
    used = str((await worker.open_session(email)).refresh_token)
    _, refresh_token = await worker.refresh(PUBLIC, used)
    token, _ = await worker.refresh(PUBLIC, refresh_token)  # so the one before that has no excuse any more
    return People(sub, client, token, await worker.mint(client), refresh_token, used)


Act = Callable[[Worker, People], Awaitable[Any]]
CASES: dict[str, tuple[str, Act, type[Exception] | None]] = {
    "a token": ("clients", lambda w, p: w.revoke(p.client, p.clients), None),
    "a token, by an operator": ("clients", lambda w, p: w.flows.revocation.revoke_as_operator(p.clients), None),
    "a family": ("users", lambda w, p: w.revoke(PUBLIC, p.refresh_token), None),
    "a family, by reuse": ("users", lambda w, p: w.refresh(PUBLIC, p.used), InvalidGrant),
    "a session": ("users", lambda w, p: w.log_out(p.users), InvalidToken),
    "all sessions": ("users", lambda w, p: w.log_out_everywhere(p.users), InvalidToken),
    "the tokens of a user": ("users", lambda w, p: w.flows.users.revoke_tokens(p.sub), None),
    "a user, by disabling": ("users", lambda w, p: w.flows.users.disable(p.sub), None),
    "a user, by deletion": ("users", lambda w, p: w.flows.users.delete(p.sub), None),
    "the tokens of a client": ("clients", lambda w, p: w.flows.clients.revoke_tokens(p.client.client_id), None),
    "a client, by disabling": ("clients", lambda w, p: w.flows.clients.disable(p.client.client_id), None),
    "a client, by deletion": ("clients", lambda w, p: w.flows.clients.delete(p.client.client_id), None),
    "a key": ("users", lambda w, p: w.flows.keys.kill(kid_of(p.users)), NotFound),
    "everything": ("users", lambda w, p: w.flows.revocation.revoke_everything(), None),
}


async def test_who_tries_again_is_answered_when_it_is_known_everywhere(scene: Scene) -> None:
    here, there = scene.here, scene.there
    for case, (whose, act, refusal) in CASES.items():
        who = await people(there)
        token = getattr(who, whose)
        await in_vain(here, lambda: act(here, who))  # noqa: B023
        assert await there.is_active(scene.owner, token), f"{case}: Redis does not know, and is believed"
        if refusal is None:
            await act(here, who)
        else:
            with pytest.raises(refusal):
                await act(here, who)
        assert not await there.is_active(scene.owner, token), case


@pytest.mark.parametrize("dies_here", [True, False])
async def test_who_changes_a_password_again_is_refused_when_the_other_sessions_are_known_to_have_ended(
    scene: Scene, dies_here: bool
) -> None:
    """Where PostgreSQL is asked the token is dead; where Redis is, the password that is not current any more."""
    here, there = scene.here, scene.there
    await there.register()
    mine, other = await there.log_in(), await there.log_in()
    await in_vain(here, lambda: here.change_password(mine, NEW))
    assert await there.is_active(scene.owner, other)
    with pytest.raises(InvalidToken if dies_here else InvalidValue):
        await (here if dies_here else there).change_password(mine, NEW)
    assert not await there.is_active(scene.owner, other)


async def test_a_token_of_a_key_that_was_killed_in_vain_is_none_to_an_operator_when_that_is_known(scene: Scene) -> None:
    token = await scene.there.mint(scene.owner)
    await in_vain(scene.here, lambda: scene.here.flows.keys.kill(kid_of(token)))
    assert await scene.there.is_active(scene.owner, token)
    async with command(scene.there) as later:  # which has never known the key
        assert await later.flows.revocation.revoke_as_operator(token) is None
    assert not await scene.there.is_active(scene.owner, token)


async def test_who_is_to_be_deleted_stays_until_it_is_known_that_they_are_out(scene: Scene) -> None:
    who = await people(scene.there)
    for table, column, name in (("users", "sub", who.sub), ("clients", "client_id", who.client.client_id)):
        flow = getattr(scene.here.flows, table)
        await in_vain(scene.here, lambda: flow.delete(name))  # noqa: B023
        is_disabled = f"SELECT disabled_at IS NOT NULL FROM auth.{table} WHERE {column} = $1"
        assert await sql(scene.here.settings.database_url, is_disabled, name) is True
        await flow.delete(name)
        assert await sql(scene.here.settings.database_url, is_disabled, name) is None


async def test_who_is_enabled_while_being_deleted_is_put_out_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, disable = scene.here.flows.users, scene.here.flows.users.disable
    minted: list[str] = []

    async def disable_and_see_it_undone(sub: str) -> None:
        await disable(sub)
        if not minted:
            await users.enable(sub)
            minted.append(await scene.there.log_in())

    monkeypatch.setattr(users, "disable", disable_and_see_it_undone)
    await users.delete(await scene.there.register())
    assert not await scene.there.is_active(scene.owner, minted[0])

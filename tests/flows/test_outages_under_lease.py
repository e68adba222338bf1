"""PostgreSQL is away for less than a lease, and Redis is not: introspection goes on without one error, and what was
revoked is revoked (C1, C4; FLT-34, FLT-37). When the lease is over it is told so, and all is well when it is back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from authsvc import wiring
from authsvc.errors import InvalidClient, Unavailable
from authsvc.flows.lease import Lease
from tests.caches.filled import be_patient
from tests.flows.test_outages import _comes_back, cut, held
from tests.flows.workers import Caller, Worker, cheap, worker_on
from tests.house_of import FakeClock
from tests.tables.line import Line, line_to

T = 5.0
STEP = 0.7
"""So far the clock moves between questions: longer than a copy is good for by itself, at every second of them."""


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)
    monkeypatch.setattr(wiring, "LEASE_SECONDS", 0.02)
    monkeypatch.setattr(wiring, "WARM_UP_SECONDS", 0.02)


@dataclass
class Two:
    """A worker on a line of its own, one beside it that nothing happens to, and the line."""

    here: Worker
    there: Worker
    line: Line
    clock: FakeClock

    @property
    def lease(self) -> Lease:
        return self.here.flows.introspection._client_auth._copies._lease

    async def renewed(self) -> None:
        """The worker on the line has looked at the mode at this very time."""
        async with asyncio.timeout(20):
            while (lease := self.lease.current()) is None or lease.ends < self.clock.boottime() + T:
                await asyncio.sleep(0.005)


@pytest.fixture
async def two(database_url: str, redis_url: str) -> AsyncIterator[Two]:
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(cheap(line.url, redis_url=redis_url, database_timeout_ms=2_000, token_cache=0), clock) as here,
        worker_on(cheap(database_url, redis_url=redis_url), clock) as there,
    ):
        await here.until_redis_answers()
        await there.until_redis_answers()
        yield Two(here, there, line, clock)


@asynccontextmanager
async def outage_of(two: Two, outage: Callable[[Line], AbstractAsyncContextManager[None]]) -> AsyncIterator[None]:
    """It begins just after the lease was renewed, long after everything else was read."""
    two.clock.advance(60)
    await two.here.flows.keys.refresh()
    await two.renewed()
    async with outage(two.line):
        yield


@pytest.mark.parametrize("outage", [cut, held])
async def test_introspection_goes_on_for_as_long_as_the_lease_and_what_is_revoked_meanwhile_is_dead(
    two: Two, outage: Callable[[Line], AbstractAsyncContextManager[None]]
) -> None:
    here, there, clock = two.here, two.there, two.clock
    owner = await there.client()
    live, revoked, dying = [await there.mint(owner) for _ in range(3)]
    await there.revoke(owner, revoked)
    assert await here.is_active(owner, live)

    async with outage_of(two, outage):
        started = clock.boottime()
        while clock.boottime() < started + T:
            answers = await asyncio.gather(*(here.is_active(owner, each) for each in (live, revoked) * 50))
            assert answers == [True, False] * 50
            assert await here.is_active(owner, dying)
            await there.revoke(owner, dying)
            assert not await here.is_active(owner, dying), "from the moment that the revoke has answered"
            dying = await there.mint(owner)
            clock.advance(STEP)
        asked = (here.is_active(owner, token) for token in (live, revoked))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 2

    assert await _comes_back(here, owner, live)
    assert not await here.is_active(owner, revoked)
    await here.until_redis_answers()
    assert not await here.is_active(owner, revoked)


async def test_a_secret_that_does_not_match_is_neither_taken_nor_refused(two: Two) -> None:
    """It may be one that is newer than the copy: who cannot ask does not know."""
    here, there = two.here, two.there
    owner = await there.client()
    token = await there.mint(owner)
    assert await here.is_active(owner, token)
    async with outage_of(two, cut):
        two.clock.advance(2)
        for who in (Caller(owner.client_id, "as_wrong"), Caller("cli_nobody", "as_nobody")):
            with pytest.raises(Unavailable):
                await here.is_active(who, token)
        assert await here.is_active(owner, token)
    assert await _comes_back(here, owner, token)
    with pytest.raises(InvalidClient):
        await here.is_active(Caller(owner.client_id, "as_wrong"), token)


async def test_who_was_disabled_is_out_at_the_next_look_and_in_an_outage_when_the_lease_ends(two: Two) -> None:
    """But its tokens are dead at once, everywhere, and it is given no more."""
    here, there = two.here, two.there
    owner, asker = await there.client(), await there.client()
    assert await here.is_active(owner, await there.mint(owner))
    await there.flows.clients.disable(owner.client_id)
    two.clock.advance(1)
    await two.renewed()
    with pytest.raises(InvalidClient):
        await here.authenticate(owner)

    await there.flows.clients.enable(owner.client_id)
    token = await there.mint(owner)
    assert await here.is_active(owner, token)
    assert await here.is_active(asker, token)
    async with outage_of(two, cut):
        assert await here.mint(owner), "all that it takes is at hand"
        await there.flows.clients.disable(owner.client_id)
        two.clock.advance(T - 0.01)
        assert not await here.is_active(owner, token)
        assert not await here.is_active(asker, token)
        with pytest.raises(Unavailable):
            await here.mint(owner)
        two.clock.advance(0.01)
        with pytest.raises(Unavailable):
            await here.is_active(owner, token)
    with pytest.raises(InvalidClient):
        async with asyncio.timeout(30):
            while True:
                try:
                    await here.authenticate(owner)
                except Unavailable:
                    await asyncio.sleep(0.01)


async def test_nothing_that_waits_for_postgresql_holds_introspection_up(database_url: str, redis_url: str) -> None:
    """Wrong secrets, logins and revocations wait on every connection there is, for as long as they like."""
    clock = FakeClock()
    async with (
        line_to(database_url) as line,
        worker_on(cheap(line.url, redis_url=redis_url, database_timeout_ms=30_000, token_cache=0), clock) as here,
    ):
        await here.until_redis_answers()
        owner = await here.client()
        token, other = await here.mint(owner), await here.mint(owner)
        await here.register()
        assert await here.is_active(owner, token)
        async with outage_of(Two(here, here, line, clock), held):
            clock.advance(2)
            waiting = [
                asyncio.create_task(act)
                for act in (
                    *(here.authenticate(Caller(owner.client_id, "as_wrong")) for _ in range(20)),
                    *(here.revoke(owner, other) for _ in range(20)),
                    *(here.log_in() for _ in range(20)),
                )
            ]
            await asyncio.sleep(0)
            assert await asyncio.gather(*(here.is_active(owner, token) for _ in range(500))) == [True] * 500
            assert not any(each.done() for each in waiting)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes[:20]} == {InvalidClient}
        assert not [outcome for outcome in outcomes[20:] if isinstance(outcome, BaseException)]

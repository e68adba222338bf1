"""Secrets change while clients go on calling: the new one opens at once, the old one until its time is over."""

import asyncio
from datetime import timedelta
from itertools import cycle, islice

import pytest

from authsvc.errors import InvalidClient, InvalidValue, NotFound
from authsvc.tables import clients
from tests.flows.workers import Caller, Worker, cheap, workers_on

DAY = timedelta(days=1)
AT_ONCE = timedelta(0)


async def rotate(worker: Worker, who: Caller, keep_old_for: timedelta = DAY) -> Caller:
    rotated = await worker.flows.clients.rotate_secret(who.client_id, keep_old_for=keep_old_for)
    assert rotated.secret not in repr(rotated)
    assert rotated.old_expires_at == (worker.clock.now() + keep_old_for if keep_old_for else None)
    return Caller(who.client_id, rotated.secret)


async def opens(workers: list[Worker], who: Caller) -> bool:
    """Whether the credentials are taken; the workers must not differ."""
    told = set()
    for worker in workers:
        try:
            await worker.authenticate(who)
            told.add(True)
        except InvalidClient:
            told.add(False)
    assert len(told) == 1, "the workers do not agree"
    return told.pop()


async def test_both_secrets_open_until_the_time_of_the_old_one_is_over(workers: list[Worker]) -> None:
    here, there = workers
    old = await here.client()
    assert await opens(workers, old)
    new = await rotate(there, old, timedelta(hours=1))
    assert await opens(workers, new), "at once, though both workers hold copies that know nothing of it"
    assert await opens(workers, old)
    here.clock.advance(3599.5)
    assert await opens(workers, new)  # and with it a copy is kept that is not a second old when the hour is over
    assert await opens(workers, old)
    here.clock.advance(0.5)
    assert not await opens(workers, old)
    assert await opens(workers, new)


async def test_without_an_overlap_the_old_secret_opens_nothing_a_second_later(workers: list[Worker]) -> None:  # ATK-81
    here, there = workers
    old = await here.client()
    assert await opens(workers, old)
    new = await rotate(there, old, AT_ONCE)
    assert await opens(workers, new)
    here.clock.advance(1)
    assert not await opens(workers, old)
    assert await opens(workers, new)


async def test_an_overlap_is_ended_early(workers: list[Worker]) -> None:
    here, there = workers
    old = await here.client()
    new = await rotate(here, old)
    assert await opens(workers, old)
    await there.flows.clients.drop_old_secret(old.client_id)
    here.clock.advance(1)
    assert not await opens(workers, old)
    assert await opens(workers, new)


async def test_a_second_rotation_ends_the_overlap_of_the_first(workers: list[Worker]) -> None:
    here, there = workers
    first = await here.client()
    second = await rotate(here, first)
    third = await rotate(there, second)
    here.clock.advance(1)
    assert [await opens(workers, each) for each in (first, second, third)] == [False, True, True]
    client = await here.flows.clients.get(first.client_id)
    assert client.secret_created_at == here.clock.now() - timedelta(seconds=1)


async def test_a_client_without_a_secret_gets_none(worker: Worker) -> None:
    public = await worker.client(public=True, grant_types=())
    for stranger in (public, Caller("cli_nobody", None), Caller("first-party", None)):
        with pytest.raises(NotFound):
            await rotate(worker, stranger)
        with pytest.raises(NotFound):
            await worker.flows.clients.drop_old_secret(stranger.client_id)


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=30, seconds=1)])
async def test_an_overlap_has_an_end(worker: Worker, overlap: timedelta) -> None:
    owner = await worker.client()
    with pytest.raises(InvalidValue):
        await rotate(worker, owner, overlap)
    assert await worker.authenticate(owner)


async def test_a_client_that_was_asked_for_before_it_was_made_gets_in(worker: Worker) -> None:
    """What is remembered of a stranger is no reason to refuse whoever is made under that name."""
    caller = await worker.client()
    client = await worker.flows.clients.get(caller.client_id)
    await worker.flows.clients.delete(caller.client_id)
    worker.clock.advance(1)
    with pytest.raises(InvalidClient):
        await worker.authenticate(caller)
    await clients.insert_client(worker.flows.clients._db, client)
    assert await worker.authenticate(caller)


async def test_nobody_is_refused_while_secrets_are_rotated(database_url: str) -> None:
    """Two nodes, fifty callers: each calls with the newest secret that it has heard of, and with the one before."""
    async with workers_on(cheap(database_url)) as workers:
        here, there = workers
        known = [await here.client()]
        known.append(await rotate(here, known[0]))
        ending: list[Caller] = []
        over = asyncio.Event()
        calls = 0

        async def call(worker: Worker, back: int) -> None:
            nonlocal calls
            while not over.is_set():
                secret = known[-1 - back]
                try:
                    await worker.authenticate(secret)
                except InvalidClient:
                    assert secret in ending, "a live secret was refused"
                calls += 1
                await asyncio.sleep(0)

        callers = [
            asyncio.create_task(call(worker, back))
            for worker, back in islice(cycle([(here, 0), (there, 0), (here, 1), (there, 1)]), 50)
        ]
        for turn in range(10):
            before = calls
            ending.append(known[-2])
            known.append(await rotate(workers[turn % 2], known[-1]))
            here.clock.advance(0.3)
            while calls < before + 200 and not any(caller.done() for caller in callers):
                await asyncio.sleep(0.001)
        over.set()
        await asyncio.gather(*callers)
        assert calls > 2000

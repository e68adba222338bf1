"""The revocation contract with Redis lost, cut off and filled anew (C1, C4; FLT-04, FLT-10, FLT-11, FLT-42)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import redis
from prometheus_client import CollectorRegistry

from authsvc import wiring
from authsvc.caches import redis as caches
from authsvc.caches import revocations
from authsvc.entropy import SystemEntropy
from authsvc.flows import publication
from authsvc.metrics import Metrics
from authsvc.wiring import Outside, open_flows
from tests.caches.filled import be_patient
from tests.drawn_keys import draw_key
from tests.flows.nodes import RunningClock
from tests.flows.test_revocation_races import storm
from tests.flows.workers import (
    Caller,
    Worker,
    active_everywhere,
    cheap,
    claims_of,
    kid_of,
    sql,
    worker_on,
)
from tests.tables.line import Line, redis_line_to

LEASE = 0.5


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """All that takes seconds takes a tenth of it."""
    be_patient(monkeypatch)
    monkeypatch.setattr(wiring, "LEASE_SECONDS", 0.05)
    monkeypatch.setattr(wiring, "WARM_UP_SECONDS", 0.05)
    monkeypatch.setattr(publication, "FIRST_BACK_OFF_SECONDS", 0.05)
    monkeypatch.setattr(publication, "LONGEST_BACK_OFF_SECONDS", 0.2)
    monkeypatch.setattr(publication, "LOOK_SECONDS", 0.01)
    asyncio.run(sql(database_url, "UPDATE auth.cache_mode SET lease_seconds = $1", LEASE))


@asynccontextmanager
async def workers_at(database_url: str, *redis_urls: str) -> AsyncIterator[list[Worker]]:
    """A worker for each of these, all of whom Redis answers."""
    clock = RunningClock()
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(worker_on(cheap(database_url, redis_url=url), clock)) for url in redis_urls
        ]
        for worker in workers:
            await worker.until_redis_answers()
        yield workers


@pytest.fixture
async def workers(database_url: str, redis_url: str) -> AsyncIterator[list[Worker]]:
    async with workers_at(database_url, redis_url, redis_url) as workers:
        yield workers


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    async with redis_line_to(redis_url) as line:
        yield line


def lose_everything(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()


def by_redis(workers: list[Worker]) -> float:
    return sum(worker.answered_by("redis") for worker in workers)


async def epoch_of(database_url: str) -> int:
    return int(await sql(database_url, "SELECT epoch FROM auth.cache_mode"))


# --- Redis loses everything


async def test_a_revocation_of_each_kind_holds_when_redis_loses_everything_before_and_after_it(
    workers: list[Worker], redis_url: str
) -> None:
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    owner = await here.client()

    async def refill() -> None:
        for worker in workers:
            await worker.until_redis_answers()

    async def owners() -> str:
        return await there.mint(owner)

    async def users() -> str:
        return await there.log_in()

    kinds: list[tuple[str, Callable[[], object], Callable[[str], object]]] = [
        ("token", owners, lambda token: here.revoke(owner, token)),
        ("session", users, lambda token: here.log_out(token)),
        ("grant", users, lambda token: here.revoke(Caller("first-party", None), token)),
        ("user", users, lambda token: here.flows.users.revoke_tokens(sub)),
        ("everywhere", users, lambda token: here.log_out_everywhere(token)),
        ("client", owners, lambda token: here.flows.clients.revoke_tokens(owner.client_id)),
        ("key", owners, lambda token: here.flows.keys.kill(kid_of(token))),
        ("everything", owners, lambda token: here.flows.revocation.revoke_everything()),
    ]
    dead: list[str] = []
    for kind, mint, revoke in kinds:
        token = await mint()  # type: ignore[misc]
        assert await active_everywhere(workers, asker, token), kind
        lose_everything(redis_url)
        await revoke(token)  # type: ignore[misc]
        dead.append(token)
        assert not await active_everywhere(workers, asker, token), kind
        lose_everything(redis_url)
        assert not await active_everywhere(workers, asker, token), kind
        await refill()
        before = by_redis(workers)
        for each in dead:
            assert not await active_everywhere(workers, asker, each), kind
        fresh = await here.mint(owner)
        assert await active_everywhere(workers, asker, fresh), "what is minted afterwards lives"
        assert by_redis(workers) > before


@pytest.mark.parametrize("who", ["user", "client"])
async def test_tokens_minted_while_somebody_is_revoked_and_redis_loses_everything_are_dead_or_of_the_new_number(
    workers: list[Worker], redis_url: str, who: str
) -> None:
    asker, owner = await workers[0].client(), await workers[0].client()
    sub = await workers[0].register()
    turns = 0

    async def mint(worker: Worker) -> str:
        token = await (worker.log_in() if who == "user" else worker.mint(owner))
        await asyncio.sleep(0.02)
        return token

    async def revoke(worker: Worker) -> None:
        nonlocal turns
        turns += 1
        if turns % 2:
            lose_everything(redis_url)
        if who == "user":
            await worker.flows.users.revoke_tokens(sub)
        else:
            await worker.flows.clients.revoke_tokens(owner.client_id)

    before = by_redis(workers)
    await storm(workers, asker, mint, revoke, lambda token: int(claims_of(token)["gen"][who[0]]), rounds=6)
    for worker in workers:
        await worker.until_redis_answers()
    assert by_redis(workers) > before + 100


async def test_a_token_minted_while_its_user_is_logged_out_everywhere_is_dead_and_one_minted_after_is_alive(
    workers: list[Worker], database_url: str
) -> None:
    """The login has read its numbers, and is held up when it is about to write; the user is logged out meanwhile."""
    here, there = workers
    asker = await here.client()
    sub = await here.register()
    minted: list[str] = []
    for _ in range(10):
        logins = [asyncio.create_task(worker.log_in()) for worker in workers for _ in range(3)]
        await here.flows.users.revoke_tokens(sub)
        number = await sql(database_url, "SELECT generation FROM auth.token_blacklist WHERE mark = $1", f"u:{sub}")
        after = await there.log_in()
        assert await active_everywhere(workers, asker, after)
        for login in logins:
            token = await login
            minted.append(token)
            alive = claims_of(token)["gen"].get("u", 0) >= number
            assert await active_everywhere(workers, asker, token) == alive
    assert by_redis(workers) > 100
    assert [worker.answered_by("doubt") for worker in workers] == [0, 0]


# --- One of them cannot reach it


async def test_a_worker_that_alone_cannot_reach_redis_asks_postgresql_and_is_right(
    database_url: str, redis_url: str, line: Line
) -> None:  # FLT-11
    async with workers_at(database_url, redis_url, line.url) as workers:
        here, there = workers
        owner = await here.client()
        await line.cut()
        epoch = await epoch_of(database_url)
        before = there.answered_by("postgresql")
        for _ in range(20):
            token = await here.mint(owner)
            assert await active_everywhere(workers, owner, token)
            await here.revoke(owner, token)
            assert not await active_everywhere(workers, owner, token)
        assert there.answered_by("postgresql") > before
        assert await epoch_of(database_url) == epoch, "who only reads puts nothing out of use"


async def test_a_worker_that_revokes_and_cannot_reach_redis_puts_it_out_of_use_until_it_is_dead_everywhere(
    database_url: str, redis_url: str, line: Line
) -> None:  # FLT-10
    async with workers_at(database_url, redis_url, line.url) as workers:
        here, there = workers
        owner = await here.client()
        token = await here.mint(owner)
        assert await active_everywhere(workers, owner, token)
        await line.cut()
        for turn in range(4):
            loop = asyncio.get_running_loop()
            started = loop.time()
            await there.revoke(owner, token)
            assert loop.time() - started < LEASE * 1.1 + 5
            assert not await active_everywhere(workers, owner, token)
            token = await there.mint(owner)
            if turn < 3:
                await here.until_redis_answers()
        assert await active_everywhere(workers, owner, token)


async def test_when_redis_dies_under_full_load_postgresql_carries_all_of_it(
    database_url: str, redis_url: str, line: Line
) -> None:
    """FLT-16. Three hundred ask without a pause; each of them is told the truth before, while and after Redis goes."""
    async with workers_at(database_url, line.url) as (worker,):
        owner = await worker.client()
        live, dead = [[await worker.mint(owner) for _ in range(10)] for _ in range(2)]
        for token in dead:
            await worker.revoke(owner, token)
        answered = [0] * 300
        is_over = False

        async def ask_on(number: int) -> None:
            while not is_over:
                token = (live, dead)[number % 2][number // 2 % 10]
                assert await worker.is_active(owner, token) == (token in live)
                answered[number] += 1

        async def all_are_answered(times: int) -> None:
            goals = [count + times for count in answered]
            async with asyncio.timeout(60):
                while any(count < goal for count, goal in zip(answered, goals, strict=True)):
                    await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as crowd:
            for number in range(len(answered)):
                crowd.create_task(ask_on(number))
            await all_are_answered(2)
            before, asked = worker.answered_by("redis"), worker.answered_by("postgresql")
            await line.cut()
            await all_are_answered(3)
            is_over = True
        assert before > 0 and worker.answered_by("postgresql") > asked
        assert await worker.mint(owner), "no pool is exhausted"


async def test_a_redis_that_falls_silent_holds_up_no_answer_for_long(
    database_url: str, redis_url: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:  # FLT-07
    async with workers_at(database_url, redis_url, line.url) as workers:
        _, there = workers
        owner = await there.client()
        token = await there.mint(owner)
        monkeypatch.setattr(revocations, "READ_SECONDS", 0.05)
        monkeypatch.setattr(caches, "TIMEOUT_SECONDS", 0.1)
        line.hold()
        async with asyncio.timeout(30):
            assert all(await asyncio.gather(*(there.is_active(owner, token) for _ in range(200))))
        await there.revoke(owner, token)
        line.resume()
        assert not await active_everywhere(workers, owner, token)


# --- Who hangs up, and who is no server


async def test_a_caller_who_hangs_up_does_not_stop_what_was_committed_from_being_made_known(
    workers: list[Worker], redis_url: str, database_url: str
) -> None:
    here, _ = workers
    owner = await here.client()
    for _ in range(10):
        token = await here.mint(owner)
        assert await active_everywhere(workers, owner, token)
        before = await sql(database_url, "SELECT count(*) FROM auth.token_blacklist")
        call = asyncio.create_task(here.revoke(owner, token))
        while await sql(database_url, "SELECT count(*) FROM auth.token_blacklist") == before:
            await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        async with asyncio.timeout(30):
            while await active_everywhere_or_not_yet(workers, owner, token):
                await asyncio.sleep(0.01)


async def active_everywhere_or_not_yet(workers: list[Worker], owner: Caller, token: str) -> bool:
    """Whether anybody still says so: the caller was promised nothing."""
    return any(await asyncio.gather(*(worker.is_active(owner, token) for worker in workers)))


@pytest.mark.parametrize("has_redis", [True, False])
async def test_a_command_makes_a_revocation_known_before_it_ends(
    workers: list[Worker], database_url: str, redis_url: str, has_redis: bool
) -> None:
    """It keeps no lease and fills nothing. With no Redis at hand it puts it out of use, and waits."""
    owner = await workers[0].client()
    token = await workers[0].mint(owner)
    assert await active_everywhere(workers, owner, token)
    epoch = await epoch_of(database_url)
    settings = cheap(database_url, redis_url=redis_url if has_redis else None)
    outside = Outside(RunningClock(), SystemEntropy(), draw_key)
    metrics = Metrics(CollectorRegistry())
    async with open_flows(settings, metrics, outside, keeps_fresh=False, with_jobs=False) as flows:
        await flows.revocation.revoke_as_operator(token)
    assert not await active_everywhere(workers, owner, token)
    assert (await epoch_of(database_url) > epoch) == (not has_redis)

"""The L1 of a worker: what it remembers of tokens, for how long, and never that one is "not revoked"."""

import gc
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest

from authsvc.flows import recognition as recognition_module
from authsvc.flows.recognition import Recognition
from authsvc.protocol import access_token, jwt
from tests.flows.workers import Worker, active_everywhere, cheap, claims_of, count, sql, worker_on
from tests.house_of import FakeClock


def recognition_of(worker: Worker) -> Recognition:
    return worker.flows.access._recognition


def everything_in(root: object) -> Iterator[object]:
    """All that can be reached from here by way of data."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, type):
            continue
        seen.add(id(each))
        yield each
        todo.extend(gc.get_referents(each))
        if isinstance(each, msgspec.Struct):  # some say nothing to the collector
            todo.extend(msgspec.structs.astuple(each))


async def test_so_many_tokens_are_remembered_and_no_more(database_url: str) -> None:
    async with worker_on(cheap(database_url, token_cache=5)) as worker:
        owner = await worker.client()
        tokens = [await worker.mint(owner) for _ in range(20)]
        for token in tokens:
            assert await worker.is_active(owner, token)
            assert len(recognition_of(worker)._known) <= 5
        assert set(recognition_of(worker)._known) == {sha256(token.encode()).digest() for token in tokens[-5:]}
        for token in tokens:
            assert await worker.is_active(owner, token), "and the forgotten ones are recognised anew"


async def test_a_worker_may_remember_none(database_url: str) -> None:
    async with worker_on(cheap(database_url, token_cache=0)) as worker:
        owner = await worker.client()
        token = await worker.mint(owner)
        assert await worker.is_active(owner, token)
        assert recognition_of(worker)._known == {}
        await worker.revoke(owner, token)
        assert not await worker.is_active(owner, token)


async def test_garbage_is_not_remembered(worker: Worker) -> None:  # ATK-36
    owner = await worker.client()
    token = await worker.mint(owner)
    header, claims, signature = token.split(".")
    for text in (
        "x",
        "a.b.c",
        token + "=",
        f"{header}.{claims}.{signature[:-2]}",
        "\ud800",
        "\0",
        token[1:],
        token * 2,
    ):
        assert not await worker.is_active(owner, text)
    assert recognition_of(worker)._known == {}


async def test_no_token_text_is_in_memory(worker: Worker) -> None:
    """ATK-102: a dump of the process holds nothing that could be presented again."""
    asker = await worker.client()
    await worker.register()
    tokens = [await worker.mint(asker), await worker.log_in()]
    for token in tokens:
        assert await worker.is_active(asker, token)
    assert await worker.is_let_in(tokens[1])
    texts = {
        part if isinstance(part, bytes) else part.encode()
        for part in everything_in(recognition_of(worker)._known)
        if isinstance(part, (str, bytes))
    }
    assert any(claims_of(tokens[0])["jti"].encode() in text for text in texts), "it is looked at the right place"
    for token in tokens:
        header, claims, signature = (segment.encode() for segment in token.split("."))
        for text in texts:
            for segment in (token.encode(), header, claims, signature):
                assert segment not in text


async def test_a_token_that_was_revoked_stays_revoked(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    token = await here.mint(owner)
    assert await active_everywhere(workers, owner, token)
    await there.revoke(owner, token)
    assert not await here.is_active(owner, token)
    await sql(here.settings.database_url, "DELETE FROM auth.token_blacklist")
    assert not await here.is_active(owner, token), "it is remembered: this is final"


async def test_a_remembered_token_takes_less_than_a_kilobyte(worker: Worker) -> None:
    await worker.register()
    owner = await worker.client()
    tokens = [*[await worker.mint(owner) for _ in range(60)], *[await worker.log_in() for _ in range(20)]]
    recognition = recognition_of(worker)
    assert await recognition.recognise(await worker.mint(owner))
    tracemalloc.start()
    try:
        for token in tokens:
            assert await recognition.recognise(token)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(recognition._known) == 81
    assert taken / len(tokens) < 1_000


async def test_a_remembered_token_is_what_it_was(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition_module, "MAX_COMMON", 2)
    await worker.register()
    owners = [await worker.client(scope="read write"), await worker.client(), await worker.client()]
    tokens = [*[await worker.mint(owner) for owner in owners], await worker.log_in()]
    ring = worker.flows.keys.ring
    for token in tokens * 2:
        verified = jwt.verify(token, ring.verifiers, typ=access_token.TYP)
        assert isinstance(verified, jwt.Verified)
        known = await recognition_of(worker).recognise(token)
        assert known is not None
        assert known.token == access_token.parse(verified, worker.settings.issuer)
    assert len(recognition_of(worker)._common) <= 2


async def test_that_a_token_is_not_revoked_is_never_remembered(workers: list[Worker]) -> None:
    here, there = workers
    owner = await here.client()
    for _ in range(20):
        token = await here.mint(owner)
        for worker in workers:
            for _ in range(3):
                assert await worker.is_active(owner, token)
        await there.revoke(owner, token)
        assert not await here.is_active(owner, token)


async def test_a_remembered_token_expires_on_the_second(workers: list[Worker]) -> None:
    here, _ = workers
    owner = await here.client()
    token = await here.mint(owner)
    here.clock.advance(599.999)
    assert await active_everywhere(workers, owner, token)
    here.clock.advance(0.001)
    assert not await active_everywhere(workers, owner, token)
    here.clock.advance(-0.001)
    assert await active_everywhere(workers, owner, token)


# --- Clocks that do not agree (FLT-44)


@pytest.mark.parametrize("behind", [1, 5, 10, 3600])
async def test_a_node_whose_clock_is_behind_revokes_what_it_takes_for_not_yet_issued(
    database_url: str, behind: int
) -> None:
    """To answer 200 and do nothing would leave the token alive everywhere else."""
    clock, late = FakeClock(), FakeClock(FakeClock().at - timedelta(seconds=behind))
    async with worker_on(cheap(database_url), clock) as here, worker_on(cheap(database_url), late) as there:
        await here.flows.keys.refresh()
        owner = await here.client()
        tokens = [await here.mint(owner) for _ in range(2)]
        clock.advance(behind)
        late.advance(0)
        tokens.append(await here.mint(owner))
        await there.flows.keys.refresh()
        await there.revoke(owner, tokens[0])
        await there.flows.revocation.revoke_as_operator(tokens[1])
        await there.revoke(owner, tokens[2])
        for token in tokens:
            assert not await here.is_active(owner, token)


@pytest.mark.parametrize("ahead", [1, 4.5])
async def test_a_node_whose_clock_is_a_little_ahead_revokes_what_it_takes_for_just_expired(
    database_url: str, ahead: float
) -> None:
    clock, early = FakeClock(), FakeClock(FakeClock().at + timedelta(seconds=ahead))
    async with worker_on(cheap(database_url), clock) as here, worker_on(cheap(database_url), early) as there:
        owner = await here.client()
        token = await here.mint(owner)
        clock.advance(599.9)
        early.advance(599.9)
        assert await here.is_active(owner, token)
        assert not await there.is_active(owner, token)
        await there.revoke(owner, token)
        assert not await here.is_active(owner, token)


async def test_what_has_long_expired_and_what_is_none_of_ours_leaves_no_mark(worker: Worker) -> None:  # ATK-32
    owner = await worker.client()
    token = await worker.mint(owner)
    worker.clock.advance(605)
    for text in (token, "garbage", "a.b.c", token[:-4], ""):
        if text:
            await worker.revoke(owner, text)
        assert await worker.flows.revocation.revoke_as_operator(text) is None
    assert await count(worker.settings.database_url, "token_blacklist") == 0


# --- Dates that are wide of what fits somewhere (FLT-45)


@pytest.mark.parametrize(
    "date",
    [
        pytest.param(datetime(2038, 1, 19, 3, 14, 0, tzinfo=UTC), id="2^31 seconds"),
        pytest.param(datetime(2096, 2, 29, 23, 59, 0, tzinfo=UTC), id="leap day"),
        pytest.param(datetime(2106, 2, 7, 6, 28, 0, tzinfo=UTC), id="2^32 seconds"),
        pytest.param(datetime(9998, 12, 31, 23, 59, 0, tzinfo=UTC), id="year 9999"),
    ],
)
async def test_a_token_that_outlives_a_date_is_exact_on_both_sides_of_it(database_url: str, date: datetime) -> None:
    async with worker_on(cheap(database_url), FakeClock(at=date)) as worker:
        owner = await worker.client()
        live, dead = [await worker.mint(owner) for _ in range(2)]
        await worker.revoke(owner, dead)
        life = claims_of(live)["exp"] - int(date.timestamp())
        for seconds in (0, 60, life - 61):
            worker.clock.advance(seconds)
            assert await worker.is_active(owner, live)
            assert not await worker.is_active(owner, dead)
        worker.clock.advance(1)
        assert not await worker.is_active(owner, live)

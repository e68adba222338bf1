"""Redis is filled and looked after: nothing is trusted in doubt, nothing is missing, and whoever dies at it, or sleeps,
harms nobody (FLT-02, FLT-04, FLT-21, FLT-22)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from authsvc.caches.revocations import PREFIX, RevocationCache
from authsvc.caches.server import describe_server
from authsvc.errors import CacheAway
from authsvc.flows import publication, warm_up
from authsvc.flows.publication import back_off
from tests.caches.own_server import own_servers
from tests.flows.nodes import G, Node, R, ask, held, node_on, set_many
from tests.house_of import FakeClock
from tests.tables.line import redis_line_to

STEPS = ("sweep", "own", "load", "done")


# --- From nothing to trusted


async def test_redis_is_filled_with_every_mark_and_then_trusted(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "PAGE", 100)
    marks = await set_many(node, 1_050)
    mode = await node.fill()
    assert (mode.epoch, mode.settled, mode.setbacks) == (2, True, 0)
    assert await held(node) == marks
    assert await node.marks.find(["u:7", "u:none"]) == {"u:7": 7}
    assert node.answered_by("redis") == 1
    assert node.counted("cache_warm_up_seconds_count") == 1
    assert node.fences == 0


async def test_with_no_marks_there_is_nothing_to_load_and_redis_is_trusted(node: Node) -> None:
    await node.fill()
    assert await node.marks.find(["u:7"]) == {}
    assert node.answered_by("redis") == 1


async def test_a_redis_that_is_trusted_is_left_as_it_is(nodes: list[Node]) -> None:
    before = await nodes[0].fill()
    for node in nodes * 3:
        await node.warm_up.run()
    assert await nodes[0].mode() == before


async def test_what_earlier_warm_ups_left_is_removed(node: Node, redis_url: str) -> None:
    for _ in range(3):
        await node.fill()
        await node.publication.fence(await node.mode())
        node.clock.advance(60)
    await node.fill()
    assert len(ask(redis_url, "KEYS", f"{PREFIX}*")) == 1


async def test_a_redis_that_is_full_of_an_earlier_set_takes_the_next(
    node: Node, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the old one kept until the new one is there, a Redis with room for one set would refuse for good."""
    monkeypatch.setattr(warm_up, "PAGE", 1_000)  # for the server keeps room for what it was last sent, for a while
    await set_many(node, 50_000)
    await node.fill()
    await node.publication.fence(await node.mode())
    ask(redis_url, "CONFIG", "SET", "maxmemory", ask(redis_url, "INFO", "memory")["used_memory"] + 2_000_000)
    try:
        async with asyncio.timeout(60):
            while (await node.mode()).state is not R:
                await node.warm_up.run()
                node.clock.advance(60)
                await asyncio.sleep(0.01)  # what is removed is freed by a thread that has no hurry
    finally:
        ask(redis_url, "CONFIG", "SET", "maxmemory", 0)


async def test_a_redis_that_answers_and_takes_nothing_more_is_put_out_of_use(node: Node, redis_url: str) -> None:
    """Else what was committed by a worker that died at that moment would never be seen there."""
    await node.fill()
    await node.commit("j:1")
    ask(redis_url, "CONFIG", "SET", "maxmemory", "100kb")
    try:
        assert await node.marks.find(["j:2"]) == {}
        assert node.answered_by("redis") == 1
        await node.warm_up.run()
        assert (await node.mode()).state is G
    finally:
        ask(redis_url, "CONFIG", "SET", "maxmemory", 0)


async def test_a_redis_that_may_not_be_used_is_left_alone_and_that_is_said_once(
    database_url: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    ask(redis_url, "ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "-function", "-fcall")
    try:
        async with node_on(database_url, f"{redis_url}?username=worker&password=secret", FakeClock()) as node:
            for _ in range(5):
                await node.warm_up.run()
            mode = await node.mode()
            assert (mode.state, mode.epoch) == (G, 1)
            assert len([each for each in caplog.records if each.name == "authsvc.flows.warm_up"]) == 1
    finally:
        ask(redis_url, "ACL", "DELUSER", "worker")


async def test_a_redis_that_is_away_changes_nothing(database_url: str, redis_url: str) -> None:  # FLT-28
    async with redis_line_to(redis_url) as line, node_on(database_url, line.url, FakeClock()) as node:
        await line.cut()
        for _ in range(3):
            await node.warm_up.run()
        assert (await node.mode()).epoch == 1
        await line.restore()
        node.clock.advance(60)
        before = await node.fill()
        await line.cut()
        for _ in range(10):
            await node.warm_up.run()
        assert await node.mode() == before, "who has nothing to write to it does not put it out of use for the others"


# --- Doubt


class Doubtful(RevocationCache):
    """At one step it refuses, does not answer, or does what it is told and its answer is lost."""

    def __init__(self, node: Node, step: str, how: str) -> None:
        assert node.cache is not None
        super().__init__(node.cache._cache)
        self._step = step
        self._how = how

    async def _at(self, step: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if step != self._step:
            return await act()
        if self._how == "refuses":
            return False
        if self._how == "the answer is lost":
            await act()
        raise CacheAway

    async def sweep(self, deployment: str, nonce: str) -> None:
        await self._at("sweep", lambda: super(Doubtful, self).sweep(deployment, nonce))

    async def own(self, deployment: str, nonce: str) -> bool:
        return bool(await self._at("own", lambda: super(Doubtful, self).own(deployment, nonce)))

    async def load(self, deployment: str, nonce: str, text: str) -> bool:
        return bool(await self._at("load", lambda: super(Doubtful, self).load(deployment, nonce, text)))

    async def done(self, deployment: str, nonce: str) -> bool:
        return bool(await self._at("done", lambda: super(Doubtful, self).done(deployment, nonce)))


@pytest.mark.parametrize("how", ["refuses", "is silent", "the answer is lost"])
@pytest.mark.parametrize("step", STEPS[1:])
async def test_in_any_doubt_a_warm_up_is_given_up_and_begun_anew(node: Node, step: str, how: str) -> None:
    marks = await set_many(node, 10)
    plain = node.cache
    node.use(Doubtful(node, step, how))
    await node.warm_up.run()
    given_up = await node.mode()
    assert (given_up.state, given_up.epoch, given_up.setbacks, given_up.settled) == (G, 3, 1, True)
    await node.lease.renew()
    assert node.lease.current() is None
    node.use(plain)
    mode = await node.fill()
    assert mode.nonce != given_up.nonce
    assert await held(node) == marks


async def test_a_warm_up_that_goes_wrong_is_tried_less_and_less_often(node: Node, clock: FakeClock) -> None:
    """At once, after 1, 2, 4 ... 32 seconds, then every minute: by whoever looks, the wait is in the row."""
    node.use(Doubtful(node, "done", "refuses"))
    waits = []
    for _ in range(10):
        await node.warm_up.run()
        epoch, waited = (await node.mode()).epoch, 0.0
        while (await node.mode()).epoch == epoch:
            await node.warm_up.run()
            if (await node.mode()).epoch == epoch:
                clock.advance(0.5)
                waited += 0.5
        waits.append(waited)
    assert waits[-1] == 60
    assert waits == sorted(waits)


@pytest.mark.parametrize("wrong", [-3600, 3600])
async def test_redis_is_left_alone_neither_longer_nor_shorter_because_of_a_wrong_clock(
    nodes: list[Node], clock: FakeClock, wrong: float
) -> None:  # FLT-44
    here, there = nodes[:2]
    await here.db.execute("UPDATE auth.cache_mode SET setbacks = 3")
    right = clock.at
    clock.at += timedelta(seconds=wrong)
    await here.publication.fence(await here.mode())
    clock.at = right
    await there.warm_up.run()
    clock.advance(back_off(3).total_seconds() - 0.001)
    await there.warm_up.run()
    assert (await here.mode()).state is G
    clock.advance(0.001)
    await there.warm_up.run()
    assert (await here.mode()).state is R


async def test_what_went_wrong_is_forgotten_when_redis_has_held_for_a_minute(node: Node, clock: FakeClock) -> None:
    plain = node.cache
    node.use(Doubtful(node, "own", "refuses"))
    for _ in range(5):
        clock.advance(60)
        await node.warm_up.run()
    node.use(plain)
    clock.advance(60)
    assert (await node.fill()).setbacks == 5
    clock.advance(60)
    await node.warm_up.run()
    assert (await node.mode()).setbacks == 5
    clock.advance(1)
    await node.warm_up.run()
    assert (await node.mode()).setbacks == 0


# --- While it is trusted


@pytest.mark.parametrize("command", ["FLUSHALL", "FUNCTION FLUSH"])
async def test_a_redis_that_lost_its_marks_is_put_out_of_use_and_filled_anew(
    nodes: list[Node], redis_url: str, command: str
) -> None:  # FLT-02, FLT-04
    here, there = nodes[:2]
    marks = await set_many(here, 100)
    before = await here.fill()
    await there.lease.renew()
    ask(redis_url, command)
    assert await there.reader.find(["u:7"]) == {"u:7": 7}, "nobody is told less than PostgreSQL knows"
    assert (there.answered_by("redis"), there.answered_by("doubt"), there.answered_by("postgresql")) == (0, 1, 1)
    mode = await there.fill()
    assert (mode.state, mode.epoch, there.fences) == (R, before.epoch + 2, 1), "and both in one run"
    assert not mode.settled, "leases of before may live"
    assert await held(here) == marks


async def test_a_cluster_cannot_be_filled_which_is_said_once_and_postgresql_answers(
    database_url: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """No slot is this server's, nor any key."""
    caplog.set_level("WARNING")
    with own_servers(1, "--cluster-enabled", "yes") as (server,):
        assert (await describe_server(server.url, seconds=30)).is_of_cluster
        async with node_on(database_url, server.url, clock) as node:
            marks = await set_many(node, 10)
            for _ in range(3):
                await node.warm_up.run()
                await node.lease.renew()
                assert (await node.mode()).state is G
                assert await node.marks.find([*marks, "j:1"]) == marks
                clock.advance(publication.LONGEST_BACK_OFF_SECONDS)
            assert (node.answered_by("redis"), node.answered_by("postgresql")) == (0, 3)
    said = [each for each in caplog.records if each.name == "authsvc.flows.warm_up"]
    assert [each.getMessage() for each in said] == ["Redis cannot be filled: PostgreSQL answers alone"]


async def test_what_was_committed_lately_is_told_to_redis_again(node: Node, clock: FakeClock) -> None:
    """FLT-20: whoever committed it died before it was told."""
    await node.fill()
    await node.commit("j:1")
    await node.commit("u:1", 100)
    assert await held(node) == {}
    clock.advance(29)
    await node.warm_up.run()
    assert await held(node) == {"j:1": 1, "u:1": 100}


async def test_what_redis_is_known_to_hold_is_not_told_again_unless_it_grows(node: Node, redis_url: str) -> None:
    await node.fill()
    for number in range(3):
        await node.commit(f"j:{number}")
    told = [await _told(node, redis_url) for _ in range(3)]
    await node.commit("u:1", 100)
    told += [await _told(node, redis_url) for _ in range(2)]
    await node.commit("u:1", 101)
    told += [await _told(node, redis_url) for _ in range(2)]
    assert told == [3, 0, 0, 1, 0, 1, 0]
    assert await held(node) == {"j:0": 1, "j:1": 1, "j:2": 1, "u:1": 101}


async def test_nothing_counts_as_told_under_the_nonce_of_the_next_warm_up(
    node: Node, clock: FakeClock, redis_url: str
) -> None:
    await node.fill()
    await node.commit("j:1")
    assert [await _told(node, redis_url) for _ in range(2)] == [1, 0]
    assert await node.publication.fence(await node.mode()) is not None
    clock.advance(publication.back_off(1).total_seconds())
    await node.fill()
    assert [await _told(node, redis_url) for _ in range(2)] == [1, 0]


async def _told(node: Node, redis_url: str) -> int:
    """How many marks Redis is told of in one look after it: it looks at the number that it has for each."""

    def looks() -> int:
        return int(ask(redis_url, "INFO", "commandstats").get("cmdstat_hget", {"calls": 0})["calls"])

    before = looks()
    await node.warm_up.run()
    return looks() - before


async def test_a_crowd_of_late_marks_is_told_in_portions(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "PUT_AT_ONCE", 7)
    await node.fill()
    for number in range(50):
        await node.commit(f"j:{number}")
    await node.warm_up.run()
    assert await held(node) == {f"j:{number}": 1 for number in range(50)}

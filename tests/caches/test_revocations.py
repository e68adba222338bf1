"""The marks in Redis: who may ask and tell, what is kept, and what one that lost anything says (FLT-04, FLT-14)."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping

import pytest
import redis

from authsvc.caches import revocations
from authsvc.caches.revocations import LIBRARY, MOST_MARKS, PREFIX, RevocationCache
from authsvc.errors import CacheAway
from tests.caches.filled import KEY, MARKS, NONCE, US, be_patient, cache_on, fill, packed, refuses
from tests.tables.line import redis_line_to

Server = redis.Redis


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


@pytest.fixture
def server(redis_url: str) -> Iterator[Server]:
    with redis.Redis.from_url(redis_url) as server:
        yield server


class BothWays(RevocationCache):
    """Asked in one way and in the other: no test sees a difference."""

    async def get(self, deployment: str, nonce: str, marks: Collection[str]) -> Mapping[str, int] | None:
        found = await super().get(deployment, nonce, marks)
        told: asyncio.Future[Mapping[str, int] | None] = asyncio.get_running_loop().create_future()
        if self.begin(deployment, nonce, marks, told.set_result):
            assert not told.done(), "never at once"
            assert await told == found
        else:
            assert len(marks) > MOST_MARKS
        return found


@pytest.fixture
async def cache(redis_url: str) -> AsyncIterator[RevocationCache]:
    async with cache_on(redis_url, BothWays) as cache:
        yield cache


def tell(server: Server, *command: str) -> None:
    server.execute_command(*command)  # type: ignore[no-untyped-call]


# --- What a warm-up does, step by step


async def test_what_was_loaded_is_found_and_nothing_else(cache: RevocationCache) -> None:
    await fill(cache)
    assert await cache.get(US, NONCE, ["j:1", "j:2", "u:1", "u:2", "*"]) == MARKS
    assert await cache.get(US, NONCE, ["j:2"]) == {}
    assert await cache.get(US, NONCE, []) == {}


async def test_a_redis_that_nobody_owns_refuses_whether_it_knows_the_library_or_not(cache: RevocationCache) -> None:
    assert await refuses(cache)
    assert not await cache.load(US, NONCE, packed())
    assert not await cache.done(US, NONCE)
    await cache._install()
    assert await refuses(cache)
    assert not await cache.load(US, NONCE, packed())
    assert not await cache.done(US, NONCE)


async def test_what_redis_takes_for_the_time_is_of_no_account(cache: RevocationCache, server: Server) -> None:
    """FLT-15. Nothing that it holds comes to an end by itself, and the library never asks what time it is."""
    await fill(cache)
    assert await cache.put(US, NONCE, {"j:9": 1})
    assert {server.ttl(key) for key in server.keys(f"{PREFIX}*")} == {-1}
    assert not re.search("TIME|EXPIRE|EX'|PX", LIBRARY, re.IGNORECASE)


async def test_while_it_is_filled_it_takes_marks_and_tells_none(cache: RevocationCache) -> None:
    assert await cache.own(US, NONCE)
    assert await cache.put(US, NONCE, {"j:9": 1})
    assert await cache.get(US, NONCE, ["j:9"]) is None
    assert await cache.load(US, NONCE, packed())
    assert await cache.get(US, NONCE, ["j:1"]) is None
    assert await cache.done(US, NONCE)
    assert await cache.get(US, NONCE, ["j:1", "j:9"]) == {"j:1": 1, "j:9": 1}


@pytest.mark.parametrize("many", [1, 999, 1000, 1001, 2000, 2500])
async def test_a_page_of_any_length_is_loaded_whole_and_takes_back_nothing_that_came_before(
    cache: RevocationCache, many: int
) -> None:
    page = {f"u:{number}": number for number in range(1, many + 1)}
    newer = {f"u:{number}": number + 1 for number in range(1, many + 1, 7)}
    older = {f"u:{number}": number - 1 for number in range(2, many + 1, 7)}
    assert await cache.own(US, NONCE)
    assert await cache.put(US, NONCE, newer | older)
    assert await cache.load(US, NONCE, packed(page.items()))
    assert await cache.done(US, NONCE)
    assert await cache.get(US, NONCE, page) == page | newer


async def test_a_nonce_owns_once_and_completes_once(cache: RevocationCache) -> None:
    """What arrives a second time, late, empties nothing and completes nothing."""
    assert await cache.own(US, NONCE)
    assert not await cache.own(US, NONCE)
    assert await cache.load(US, NONCE, packed())
    assert await cache.done(US, NONCE)
    assert not await cache.own(US, NONCE)
    assert not await cache.done(US, NONCE)
    assert not await cache.load(US, NONCE, packed([("j:7", 1)])), "it is full"
    assert await cache.get(US, NONCE, ["j:1", "j:7"]) == {"j:1": 1}


async def test_the_next_warm_up_begins_with_nothing_and_ends_the_one_before(cache: RevocationCache) -> None:
    await fill(cache)
    assert await cache.own(US, "second")
    assert await refuses(cache)
    assert not await cache.done(US, NONCE)
    assert await cache.done(US, "second")
    assert await cache.get(US, "second", MARKS) == {}


async def test_a_warm_up_that_comes_late_only_makes_everybody_doubt(cache: RevocationCache) -> None:
    await fill(cache, nonce="second")
    assert await cache.own(US, NONCE)
    assert await refuses(cache, nonce="second")
    assert await cache.get(US, NONCE, ["j:1"]) is None


# --- Numbers


@pytest.mark.parametrize(("held", "told"), [(5, 4), (5, 5), (4, 5), (9, 10), (10, 9), (2**53 - 1, 2**53)])
async def test_of_two_numbers_the_larger_stays_whoever_brings_it(cache: RevocationCache, held: int, told: int) -> None:
    assert await cache.own(US, NONCE)
    assert await cache.put(US, NONCE, {"u:1": held, "u:2": held})
    assert await cache.load(US, NONCE, packed([("u:1", told), ("u:3", told)]))
    assert await cache.put(US, NONCE, {"u:2": told, "u:3": held})
    assert await cache.done(US, NONCE)
    larger = max(held, told)
    assert await cache.get(US, NONCE, ["u:1", "u:2", "u:3"]) == {"u:1": larger, "u:2": larger, "u:3": larger}


async def test_as_many_marks_as_a_batch_may_have_are_asked_and_told_at_once(cache: RevocationCache) -> None:
    marks = {f"j:{number}": number for number in range(1, MOST_MARKS + 1)}
    await fill(cache, ())
    assert await cache.put(US, NONCE, marks)
    assert await cache.get(US, NONCE, marks) == marks
    assert await cache.get(US, NONCE, [*marks, "j:0"]) is None, "more than Lua can hold: PostgreSQL is asked"


async def test_pages_of_ten_thousand_are_loaded_whole(cache: RevocationCache, server: Server) -> None:
    marks = [(f"u:usr_{number}", 1_700_000_000 + number) for number in range(30_000)]
    assert await cache.own(US, NONCE)
    for start in range(0, len(marks), 10_000):
        assert await cache.load(US, NONCE, packed(marks[start : start + 10_000]))
    assert await cache.load(US, NONCE, "")
    assert await cache.done(US, NONCE)
    assert server.hlen(KEY) == 30_001
    some = dict(marks[::101])
    assert await cache.get(US, NONCE, some) == some


async def test_marks_of_all_kinds_of_characters_come_back_as_they_are(cache: RevocationCache) -> None:
    marks = {"*": 7, "u:ünï": 8, "c:a b": 9, "j:%d+": 10, "k:" + "x" * 500: 11, "s:#": 12}
    await fill(cache, marks.items())
    assert await cache.get(US, NONCE, marks) == marks


# --- Others on the same server


async def test_two_deployments_on_one_server_do_not_notice_each_other(cache: RevocationCache) -> None:
    await fill(cache)
    await fill(cache, {"j:2": 1}.items(), us="others", nonce="theirs")
    assert await cache.get(US, NONCE, ["j:1", "j:2"]) == {"j:1": 1}
    assert await cache.get("others", "theirs", ["j:1", "j:2"]) == {"j:2": 1}
    assert await refuses(cache, nonce="theirs")
    assert await refuses(cache, us="others", nonce=NONCE)


async def test_a_sweep_takes_what_earlier_warm_ups_of_this_deployment_left_and_nothing_else(
    cache: RevocationCache, server: Server
) -> None:
    for number in range(25):
        await fill(cache, nonce=f"old{number}")
    await fill(cache)
    await fill(cache, us="others", nonce="theirs")
    server.set("authsvc:lim:x", 1)
    server.set(f"{PREFIX}{US}", 1)
    await cache.sweep(US, NONCE)
    left = {KEY, f"{PREFIX}others:theirs", "authsvc:lim:x", f"{PREFIX}{US}"}
    assert {key.decode() for key in server.keys("*")} == left  # type: ignore[union-attr]
    assert await cache.get(US, NONCE, MARKS) == MARKS


async def test_what_is_forgotten_is_gone_unless_it_was_set_anew(cache: RevocationCache) -> None:
    await fill(cache)
    await cache.forget(US, NONCE, {"j:1": 1, "j:never": 1, "u:1": MARKS["u:1"] - 1})
    assert await cache.get(US, NONCE, MARKS) == {"u:1": MARKS["u:1"]}
    await cache.forget(US, "another", {"u:1": MARKS["u:1"]})
    assert await cache.get(US, NONCE, MARKS) == {"u:1": MARKS["u:1"]}
    await cache.forget(US, NONCE, {f"j:{number}": 1 for number in range(5_000)} | {"u:1": MARKS["u:1"]})
    assert await cache.get(US, NONCE, MARKS) == {}


# --- What is lost


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "FLUSHDB", f"DEL {KEY}", f"UNLINK {KEY}", f"HDEL {KEY} #", f"PEXPIRE {KEY} 0", "SWAPDB 0 1",
     f"RENAME {KEY} x", f"SET {KEY} x", f"HSET {KEY} # 0", "FUNCTION FLUSH"],
)  # fmt: skip
async def test_a_redis_that_has_lost_the_marker_or_more_refuses(
    cache: RevocationCache, server: Server, command: str
) -> None:  # FLT-04, FLT-09
    await fill(cache)
    assert not await refuses(cache)
    tell(server, command)
    assert await cache.get(US, NONCE, ["j:1"]) is None
    if command.endswith("# 0"):
        return  # as while it was filled
    assert not await cache.put(US, NONCE, {"j:9": 1}), "what it is told afterwards is not known to be kept"
    assert not await cache.done(US, NONCE), "nor is it completed blindly"


@pytest.mark.parametrize("command", ["FLUSHALL", "FUNCTION FLUSH"])
async def test_a_redis_that_lost_all_is_filled_anew_under_a_new_nonce(
    cache: RevocationCache, server: Server, command: str
) -> None:
    await fill(cache)
    tell(server, command)
    await fill(cache, nonce="second")
    assert await cache.get(US, "second", MARKS) == MARKS
    assert await refuses(cache)


async def test_a_number_that_is_none_is_doubt(cache: RevocationCache, server: Server) -> None:  # FLT-09
    await fill(cache)
    server.hset(KEY, "j:1", "no number")
    assert await cache.get(US, NONCE, ["j:1"]) is None
    assert not await cache.put(US, NONCE, {"j:1": 2})


async def test_the_library_is_loaded_again_without_replacing_it(cache: RevocationCache, server: Server) -> None:
    await fill(cache)
    await cache._install()
    with pytest.raises(redis.ResponseError, match="already exists"):
        server.function_load(LIBRARY)
    server.function_load("#!lua name=others\nredis.register_function('others', function() return 1 end)")
    server.script_flush()
    assert await cache.get(US, NONCE, MARKS) == MARKS
    server.function_load(LIBRARY, replace=True)
    assert await refuses(cache), "replaced, it has forgotten whose it is"


# --- Who may not, and who is not there


async def test_a_server_that_has_functions_and_lets_us_use_them_is_able(cache: RevocationCache) -> None:
    assert await cache.is_able()


@pytest.mark.parametrize("denied", ["-function", "-@scripting", "-@all +ping"])
async def test_a_user_who_may_use_no_functions_is_not_able(redis_url: str, server: Server, denied: str) -> None:
    server.acl_setuser("worker", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    tell(server, "ACL SETUSER worker", *denied.split())
    try:
        async with cache_on(f"{redis_url}?username=worker&password=secret") as cache:
            assert not await cache.is_able()
            assert not await cache.own(US, NONCE)
    finally:
        server.acl_deluser("worker")


async def test_a_user_with_the_fewest_rights_can_do_all_of_it(redis_url: str, server: Server) -> None:
    rights = "-@all +fcall +hmget +hset +hget +hexists +hdel +del +unlink +scan +function|load +function|list"
    server.acl_setuser("worker", enabled=True, passwords=["+secret"], keys=[f"{PREFIX}*"])
    tell(server, "ACL SETUSER worker", *rights.split())
    try:
        async with cache_on(f"{redis_url}?username=worker&password=secret") as cache:
            assert await cache.is_able()
            await fill(cache, nonce="old")
            await fill(cache)
            await cache.sweep(US, NONCE)
            await cache.forget(US, NONCE, {"j:1": 1})
            assert await cache.get(US, NONCE, MARKS) == {"u:1": MARKS["u:1"]}
            assert server.keys("*") == [KEY.encode()]
    finally:
        server.acl_deluser("worker")


async def test_a_question_begins_only_on_a_connection_that_is_there_and_its_end_is_told(redis_url: str) -> None:
    told: list[Mapping[str, int] | None] = []
    async with redis_line_to(redis_url) as line, cache_on(line.url) as cache:
        assert not cache.begin(US, NONCE, ["j:1"], told.append)
        await fill(cache)
        assert await cache.get(US, NONCE, ["j:1"]) == {"j:1": 1}
        line.hold()
        assert cache.begin(US, NONCE, ["j:1"], told.append)
        await line.cut()
        await until(lambda: told == [None])
        assert not cache.begin(US, NONCE, ["j:1"], told.append), "the connection is gone"
        with pytest.raises(CacheAway):
            await cache.get(US, NONCE, ["j:1"])


async def test_a_question_that_is_not_answered_in_time_is_in_vain(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Mapping[str, int] | None] = []
    async with redis_line_to(redis_url) as line, cache_on(line.url) as cache:
        await fill(cache)
        monkeypatch.setattr(revocations, "READ_SECONDS", 0.05)
        await cache.get(US, NONCE, ["j:1"])
        line.hold()
        for _ in range(3):
            assert cache.begin(US, NONCE, ["j:1"], told.append)
        await until(lambda: told == [None] * 3)
        assert not cache.begin(US, NONCE, ["j:1"], told.append), "it has failed often enough"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_a_redis_that_is_away_is_no_refusal(redis_url: str) -> None:
    async with redis_line_to(redis_url) as line, cache_on(line.url) as cache:
        await fill(cache)
        await line.cut()
        for ask in (
            cache.get(US, NONCE, ["j:1"]),
            cache.put(US, NONCE, {"j:2": 1}),
            cache.own(US, "second"),
            cache.load(US, NONCE, packed()),
            cache.done(US, NONCE),
            cache.is_able(),
            cache.sweep(US, NONCE),
        ):
            with pytest.raises(CacheAway):
                await ask

"""Questions on one connection: each gets its own answer or none, and Redis is waited for only while it is slow."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError, ResponseError

from authsvc.caches.connections import pool_of
from authsvc.caches.patience import LOOKS
from authsvc.caches.pipelined import PipelinedConnection, head, pack
from tests.tables.line import Line, redis_line_to

SECONDS = 0.2


def question(*words: str | int) -> bytes:
    return head(len(words)) + pack(*words)


def echo(*words: str | int) -> bytes:
    return question("EVAL", "return ARGV", 0, *words)


@pytest.fixture
async def line(redis_url: str) -> AsyncIterator[Line]:
    async with redis_line_to(redis_url) as line:
        yield line


@pytest.fixture
async def pool(line: Line) -> AsyncIterator[ConnectionPool]:
    pool = pool_of(line.url)
    yield pool
    await pool.disconnect()


@pytest.fixture
async def patient(pool: ConnectionPool) -> AsyncIterator[PipelinedConnection]:
    connection = await PipelinedConnection.open(pool, 30)
    yield connection
    connection.close()


@pytest.fixture
async def impatient(pool: ConnectionPool) -> AsyncIterator[PipelinedConnection]:
    connection = await PipelinedConnection.open(pool, SECONDS)
    yield connection
    connection.close()


async def test_each_question_gets_its_own_answer(patient: PipelinedConnection, line: Line) -> None:
    asking = [patient.ask(echo(number, "ü" * number)) for number in range(100)]
    assert await asyncio.gather(*asking) == [
        [b"%d" % number, "ü".encode() * number] if number else [b"0", b""] for number in range(100)
    ]
    assert line.opened == 1


async def test_a_refusal_is_the_answer_to_its_question_alone(patient: PipelinedConnection) -> None:
    before, refused, after = patient.ask(echo(1)), patient.ask(question("FCALL", "none", 0)), patient.ask(echo(2))
    with pytest.raises(ResponseError):
        await refused
    assert (await before, await after) == ([b"1"], [b"2"])
    assert patient.is_open


async def test_who_gives_up_waiting_takes_nobody_elses_answer(patient: PipelinedConnection, line: Line) -> None:
    line.hold()
    first, second = patient.ask(echo(1)), patient.ask(echo(2))
    first.cancel()
    line.resume()
    assert await second == [b"2"]
    assert await patient.ask(echo(3)) == [b"3"]


async def test_one_that_is_lost_fails_all_who_wait_and_all_who_come(patient: PipelinedConnection, line: Line) -> None:
    line.hold()
    asking = [patient.ask(echo(number)) for number in range(3)]
    line.break_connections()
    for answer in asking:
        with pytest.raises(ConnectionError):
            await answer
    assert not patient.is_open
    with pytest.raises(ConnectionError):
        await patient.ask(echo(1))


async def test_one_that_is_lost_while_nobody_asks_is_not_open_any_more(
    patient: PipelinedConnection, line: Line
) -> None:
    line.break_connections()
    async with asyncio.timeout(30):
        while patient.is_open:
            await asyncio.sleep(0)


async def test_silence_ends_it_when_the_time_is_over_and_not_before(impatient: PipelinedConnection, line: Line) -> None:
    """And everybody who waits on it: an answer that comes late is for nobody."""
    assert await impatient.ask(echo(1)) == [b"1"]
    line.hold()
    started = time.monotonic()
    first, second = impatient.ask(echo(1)), impatient.ask(echo(2))
    for answer in (first, second):
        with pytest.raises(TimeoutError):
            await answer
    assert time.monotonic() - started > SECONDS * (LOOKS - 1) / LOOKS
    assert not impatient.is_open


async def test_who_asks_later_has_time_of_his_own(impatient: PipelinedConnection, line: Line) -> None:
    """While another one waits, whose time began before."""
    first = impatient.ask(question("EVAL", "return ARGV", 0, "x"))
    assert await first == [b"x"]
    for _ in range(4 * LOOKS):
        assert await impatient.ask(echo(1)) == [b"1"]
        await asyncio.sleep(SECONDS / LOOKS / 2)
    assert impatient.is_open


@pytest.mark.parametrize("looks_before", range(LOOKS))
async def test_what_came_while_the_process_stood_still_is_in_time(
    impatient: PipelinedConnection, looks_before: int
) -> None:
    """However long, and whenever."""
    answer = impatient.ask(question("EVAL", "return ARGV", 0, "x" * 100_000))
    while impatient._looks < looks_before and not answer.done():
        await asyncio.sleep(0)
    again = impatient.ask(echo(1))
    time.sleep(SECONDS * 2)
    assert await answer == [b"x" * 100_000]
    assert await again == [b"1"]


async def test_standing_still_does_not_make_it_wait_for_ever(impatient: PipelinedConnection, line: Line) -> None:
    line.hold()
    answer, times = impatient.ask(echo(1)), 0
    while not answer.done():
        time.sleep(SECONDS)
        await asyncio.sleep(0.001)
        times += 1
        assert times < 20 * LOOKS
    with pytest.raises(TimeoutError):
        await answer


async def test_nothing_is_left_to_look_at_when_nobody_waits(impatient: PipelinedConnection) -> None:
    await impatient.ask(echo(1))
    async with asyncio.timeout(30):
        while impatient._next is not None:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("nonsense", [b"*0\r\n", b"+OK\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_server_that_talks_out_of_turn_is_left(patient: PipelinedConnection, nonsense: bytes) -> None:
    """Nothing it says from then on can be an answer."""
    patient.data_received(nonsense)
    assert not patient.is_open
    with pytest.raises(ConnectionError):
        await patient.ask(echo(1))


async def test_who_may_not_come_in_is_told_so_and_leaves_nothing_open(redis_url: str) -> None:
    async with redis_line_to(redis_url) as line:
        pool = pool_of(f"{line.url}?username=nobody&password=wrong")
        with pytest.raises(RedisError):
            await PipelinedConnection.open(pool, 30)
        async with asyncio.timeout(30):
            while line._ends:
                await asyncio.sleep(0.01)

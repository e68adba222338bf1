"""The wire does what it is told to, and nothing when it is told nothing."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import CHUNK, Wire, wire_to

SOON = 0.2
"""Seconds in which nothing has come that is not going to."""


class Echo:
    """Sends back what it hears, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self.news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            self.heard += data
            self.news.set()
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Echo, Wire]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    async with server, wire_to(server.sockets[0].getsockname()[1], random.Random(1)) as wire:
        yield echo, wire


@asynccontextmanager
async def connected(wire: Wire) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say(line: tuple[asyncio.StreamReader, asyncio.StreamWriter], words: bytes) -> bytes:
    line[1].write(words)
    return await line[0].readexactly(len(words))


async def hears_nothing(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(SOON):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def is_reset(reader: asyncio.StreamReader) -> bool:
    try:
        async with asyncio.timeout(30):
            return await reader.read(1) == b""
    except ConnectionResetError:
        return True


async def test_it_passes_on_whatever_is_said() -> None:
    async with echoing() as (_, wire), connected(wire) as line:
        words = random.Random(2).randbytes(1_000_000)
        line[1].write(words)
        assert await line[0].readexactly(len(words)) == words


async def test_the_end_is_passed_on() -> None:
    async with echoing() as (_, wire), connected(wire) as line:
        assert await say(line, b"a") == b"a"
        line[1].write_eof()
        assert await is_reset(line[0])


async def test_it_can_be_slow_and_fast_again() -> None:
    async with echoing() as (_, wire), connected(wire) as line:
        wire.slow(0.3)
        began = time.monotonic()
        assert await say(line, b"a") == b"a"
        assert time.monotonic() - began >= 0.3
        wire.heal()
        assert await say(line, b"b") == b"b"


async def test_torn_connections_are_reset_and_new_ones_are_made() -> None:
    async with echoing() as (_, wire), connected(wire) as line:
        await say(line, b"a")
        wire.tear()
        assert await is_reset(line[0])
        async with connected(wire) as another:
            assert await say(another, b"b") == b"b"


async def test_while_it_is_cut_nobody_gets_through() -> None:
    async with echoing() as (echo, wire), connected(wire) as line:
        await say(line, b"a")
        wire.cut()
        assert await is_reset(line[0])
        async with connected(wire) as another:
            assert await is_reset(another[0])
        wire.heal()
        async with connected(wire) as another:
            assert await say(another, b"b") == b"b"
        assert echo.heard == b"ab"


async def test_some_can_be_cut_off_and_others_not() -> None:
    async with echoing() as (_, wire), connected(wire) as line, connected(wire) as spared:
        await say(line, b"a")
        await say(spared, b"b")
        port = spared[1].get_extra_info("sockname")[1]
        wire.refuse(lambda caller: caller != port)
        assert await is_reset(line[0])
        assert await say(spared, b"c") == b"c"
        async with connected(wire) as another:
            assert await is_reset(another[0])
        wire.heal()
        async with connected(wire) as another:
            assert await say(another, b"d") == b"d"


async def test_a_black_hole_tells_nothing_and_delivers_late() -> None:
    async with echoing() as (echo, wire), connected(wire) as line:
        await say(line, b"a")
        wire.swallow()
        line[1].write(b"b")
        async with connected(wire) as another:
            another[1].write(b"c")
            assert await hears_nothing(line[0]) and await hears_nothing(another[0])
            assert echo.heard == b"a"
            wire.heal()
            assert await line[0].readexactly(1) == b"b"
            assert await another[0].readexactly(1) == b"c"


async def test_half_open_questions_arrive_and_answers_do_not() -> None:
    async with echoing() as (echo, wire), connected(wire) as line:
        await say(line, b"a")
        wire.deafen()
        echo.news.clear()
        line[1].write(b"b")
        await asyncio.wait_for(echo.news.wait(), 5)
        assert echo.heard == b"ab"
        assert await hears_nothing(line[0])
        wire.heal()
        assert await line[0].readexactly(1) == b"b"


async def test_connections_can_be_torn_by_chance() -> None:
    async with echoing() as (_, wire):
        wire.tear_chance = 1.0
        async with connected(wire) as line:
            line[1].write(b"a")
            assert await is_reset(line[0])


async def test_who_says_a_word_is_told_of_before_it_is_passed_on() -> None:
    async with echoing() as (echo, wire), connected(wire) as line:
        seen: list[tuple[int, bytes]] = []
        wire.watch(b"word", lambda port: seen.append((port, echo.heard)))
        await say(line, b"a")
        await say(line, b"a word")
        await say(line, b"the word again")
        assert seen == [(line[1].get_extra_info("sockname")[1], b"a")]


async def test_without_a_server_the_caller_is_reset() -> None:
    async with echoing() as (_, wire):
        wire.target = 1
        async with connected(wire) as line:
            assert await is_reset(line[0])


async def test_nothing_is_left_of_it() -> None:
    async with echoing() as (_, wire):
        async with connected(wire) as line:
            await say(line, b"a")
        port = wire.port
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) <= 3

"""The deadline over a question to Redis: kept when Redis is slow, and not when this process is."""

import asyncio
import time

import pytest

from authsvc.caches.patience import LOOKS, Patience

SECONDS = 0.1


async def test_who_is_done_in_time_is_not_disturbed() -> None:
    async with Patience(30):
        await asyncio.sleep(0)


async def test_what_never_ends_is_given_up_when_the_time_is_over_and_not_before() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with Patience(SECONDS):
            await asyncio.Event().wait()
    assert time.monotonic() - started >= SECONDS * 0.9


async def test_nothing_is_left_behind_that_would_end_something_else() -> None:
    for _ in range(3):
        async with Patience(SECONDS / 10):
            pass
        with pytest.raises(KeyError):
            async with Patience(SECONDS / 10):
                raise KeyError
    await asyncio.sleep(SECONDS / 2)


async def test_who_is_cancelled_is_cancelled() -> None:
    async def wait() -> None:
        async with Patience(30):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("times", [1, 5])
async def test_what_came_while_the_process_stood_still_is_in_time(times: int) -> None:
    """However long, and whenever: it needs two turns of the loop to be taken note of, as an answer in a socket does."""
    loop = asyncio.get_running_loop()
    for turn in range(times):
        answer = loop.create_future()
        async with Patience(SECONDS):
            await asyncio.sleep(SECONDS * turn / times)
            time.sleep(SECONDS * 2)
            loop.call_soon(loop.call_soon, answer.set_result, True)
            assert await answer


async def test_a_process_that_stands_still_again_and_again_gives_up_too() -> None:
    async def stall() -> None:
        while True:
            time.sleep(SECONDS)
            await asyncio.sleep(0)

    stalls = asyncio.create_task(stall())
    with pytest.raises(TimeoutError):
        async with Patience(SECONDS):
            await asyncio.Event().wait()
    stalls.cancel()


async def test_it_can_be_given_anew() -> None:
    async with Patience(SECONDS) as patience:
        whole = [patience.is_whole]
        await asyncio.sleep(SECONDS * 2 / LOOKS)
        whole.append(patience.is_whole)
        patience.renew()
        assert [*whole, patience.is_whole] == [True, False, True]

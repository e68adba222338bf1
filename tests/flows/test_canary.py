"""What is revoked for the trial's sake is seen by every worker, and one that does not see it says so."""

import logging
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from authsvc.entropy import SystemEntropy
from authsvc.flows import Flows
from authsvc.metrics import Metrics
from authsvc.wiring import Outside, open_flows
from tests.drawn_keys import draw_key
from tests.flows.workers import cheap, sql
from tests.house_of import FakeClock

Counted = tuple[Flows, CollectorRegistry]


async def opened(stack: AsyncExitStack, database_url: str) -> Counted:
    """A worker that looks when it is told to."""
    registry, outside = CollectorRegistry(), Outside(FakeClock(), SystemEntropy(), draw_key)
    opening = open_flows(cheap(database_url), Metrics(registry), outside, keeps_fresh=False, with_jobs=False)
    flows = await stack.enter_async_context(opening)
    return flows, registry


def looks(worker: Counted, outcome: str) -> float:
    return worker[1].get_sample_value("authsvc_revocation_canaries_total", {"outcome": outcome}) or 0.0


async def test_every_worker_sees_it_and_looks_once(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        workers = [await opened(stack, database_url) for _ in range(2)]
        for number in (1, 2):
            await workers[0][0].canary.release()
            for worker in workers:
                await worker[0].canary.look()
                await worker[0].canary.look()
                assert (looks(worker, "seen"), looks(worker, "missed")) == (number, 0)
        assert workers[0][1].get_sample_value("authsvc_revocation_visible_seconds_count") == 2


async def test_without_one_there_is_nothing_to_look_for(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        worker = await opened(stack, database_url)
        await sql(database_url, "UPDATE auth.cache_mode SET canary = NULL")
        await worker[0].canary.look()
        assert looks(worker, "seen") == looks(worker, "missed") == 0


async def test_a_worker_that_does_not_see_it_says_so(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as stack:
        worker = await opened(stack, database_url)
        await sql(database_url, "UPDATE auth.cache_mode SET canary = 'j:canary_nobody_revoked'")
        with caplog.at_level(logging.ERROR):
            await worker[0].canary.look()
        assert looks(worker, "missed") == 1
        assert "a revocation is not seen by this worker" in caplog.text

"""`python -m tests.benchmarks.outage [MARKS]`: Redis falls silent under load, and later is killed and comes back empty.

How introspection was answered meanwhile, by two workers of `authsvc serve`; and how long after the server was back
PostgreSQL was asked for the last time, so that every worker answers through Redis again. On stores of its own.
"""

import asyncio
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from time import perf_counter

import click
import httpx2
from prometheus_client.parser import text_string_to_metric_families

from authsvc.migrate import migrate
from tests.caches.own_server import OwnServer, own_servers
from tests.flows.nodes import node_on, set_many
from tests.house_of import FakeClock
from tests.journeys.service import Service, serving
from tests.stores import running_stores

CALLERS = 8
PAUSE_SECONDS = 0.02
"""Between two questions of a caller: what is measured is the outage, not how much the machine can do."""
SILENT_SECONDS = 3.0
AWAY_SECONDS = 5.0
CALM_SECONDS = 3.0
"""When PostgreSQL was not asked for so long, Redis is back."""
LONGEST_SECONDS = 60.0
LOOK_SECONDS = 0.05


@dataclass
class Seen:
    """What callers were answered, and how many milliseconds it took, in each phase."""

    phase: str = "before"
    statuses: Counter[str] = field(default_factory=Counter)
    took: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    is_over: bool = False


async def ask_on(service: Service, auth: tuple[str, str], token: str, seen: Seen) -> None:
    # Each on a connection of its own, so that both workers have some.
    async with httpx2.AsyncClient(base_url=service.base, auth=auth, timeout=30) as http:
        while not seen.is_over:
            phase, began = seen.phase, perf_counter()
            answer = await http.post("/oauth2/introspect", data={"token": token})
            right = answer.status_code == 200 and answer.json()["active"] is True
            seen.statuses[f"{phase}: {'active' if right else answer.status_code}"] += 1
            seen.took[phase].append(1000 * (perf_counter() - began))
            await asyncio.sleep(PAUSE_SECONDS)


async def asked(service: Service, path: str) -> float:
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"{service.management}/metrics")).text
    families = text_string_to_metric_families(text)
    samples = (sample for family in families for sample in family.samples)
    return sum(
        each.value for each in samples if each.name == "authsvc_mark_questions_total" and each.labels["path"] == path
    )


async def until_back(service: Service) -> float:
    """When PostgreSQL was asked for the last time."""
    began = last = perf_counter()
    before = -1.0
    while perf_counter() - last < CALM_SECONDS and perf_counter() - began < LONGEST_SECONDS:
        now, count = perf_counter(), await asked(service, "postgresql")
        if count != before:
            before, last = count, now
        await asyncio.sleep(LOOK_SECONDS)
    return last


async def measure(service: Service, server: OwnServer, marks: int) -> None:
    owner, watcher = service.client(), service.client("--introspect", "any")
    token, seen = service.token(owner), Seen()
    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(ask_on(service, watcher, token, seen))
        await until_back(service)
        seen.phase = "silent"
        resume = server.freeze()
        await asyncio.sleep(SILENT_SECONDS)
        resume()
        seen.phase = "heard again"
        await until_back(service)
        seen.phase = "away"
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(AWAY_SECONDS)
        await asyncio.to_thread(server.start)
        seen.phase, back = "coming back", perf_counter()
        last = await until_back(service)
        seen.phase = "after"
        await asyncio.sleep(1)
        seen.is_over = True
    click.echo(f"{marks} marks: PostgreSQL was asked for the last time {last - back:.2f} s after Redis was back")
    for what, count in sorted(seen.statuses.items()):
        click.echo(f"{count:8} {what}")
    for phase, took in seen.took.items():
        cuts = quantiles(took, n=100)
        click.echo(f"{phase}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms, longest {max(took):.1f} ms")
    filled = [line for line in service.log_lines() if line["message"].startswith("Redis holds every revocation")]
    click.echo(f"warm-ups took {[line['seconds'] for line in filled]} s")


async def set_up(database_url: str, redis_url: str, marks: int) -> None:
    await migrate(database_url)
    async with node_on(database_url, redis_url, FakeClock()) as node:
        await set_many(node, marks)
        await node.db.execute("ANALYZE auth.token_blacklist")


def main() -> None:
    marks = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with running_stores() as stores, own_servers() as (server,), tempfile.TemporaryDirectory() as directory:
        asyncio.run(set_up(stores.database_url, stores.redis_url, marks))
        cache = {"AUTHSVC_REDIS_URL": server.url}
        with serving(stores.database_url, Path(directory) / "log", "--workers", "2", **cache) as service:
            asyncio.run(measure(service, server, marks))


if __name__ == "__main__":
    main()

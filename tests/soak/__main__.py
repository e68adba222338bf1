"""`python -m tests.soak`: the service and its workers under mixed load, with a verdict on their memory.

Exit status 1 when something grew or went wrong.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import msgspec

from tests.house_of import PASSWORD
from tests.journeys.service import Service, children_of, serving
from tests.soak.acts import ACTS, World
from tests.soak.memory import MIB, Sample, Trend, look, trend_of
from tests.stores import running_stores

USERS = 20
GROWTH_MIB_PER_HOUR = 3.0
"""More than this is growth: what is fragmented and what a metric's file gains lies well below it."""
SETTINGS = {
    "AUTHSVC_TOKEN_CACHE": "2000",  # full long before the measuring begins, so that what grows is no cache
    # Everybody comes from one address here.
    "AUTHSVC_LOGIN_ATTEMPTS": "0",
    "AUTHSVC_LOGIN_ATTEMPTS_PER_ACCOUNT": "0",
    "AUTHSVC_LOGIN_ATTEMPTS_PER_ADDRESS": "0",
    "AUTHSVC_CLIENT_FAILURES": "0",
}


class Result(msgspec.Struct, frozen=True):
    seed: int
    seconds: float
    statuses: dict[str, int]
    told: dict[str, int]
    faults: list[str]
    trends: dict[str, Trend]
    courses: dict[str, list[tuple[int, float]]]
    """Seconds and MiB, of each process."""
    errors_logged: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--callers", type=int, default=8, help="how many act at once")
    parser.add_argument("--token-seconds", type=int, default=600, help="how long an access token lives")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--json", type=Path, help="write the result here too")
    given = parser.parse_args()
    with running_stores(durable=False) as stores, tempfile.TemporaryDirectory(prefix="authsvc-soak-") as directory:
        log = Path(directory) / "log"
        cache = {
            "AUTHSVC_REDIS_URL": stores.redis_url,
            "AUTHSVC_ACCESS_TOKEN_SECONDS": str(given.token_seconds),
        }
        with serving(stores.database_url, log, "--migrate", "--workers", str(given.workers), **SETTINGS, **cache) as it:
            result = asyncio.run(_soak(it, given.seed, given.minutes * 60, given.callers))
    sys.stdout.write(_told(result) + "\n")
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return 1 if result.faults or _growing(result) or result.errors_logged else 0


async def _soak(service: Service, seed: int, seconds: float, callers: int) -> Result:
    chance = random.Random(seed)
    owner = service.client()
    watcher = service.client("--introspect", "any")
    async with httpx2.AsyncClient(base_url=service.base, timeout=30) as http:
        world = World(http, int(service.base.rpartition(":")[2]), owner, watcher, chance)
        for number in range(USERS):
            email = f"user{number}@example.com"
            await world.post("register", "/api/v1/users", 201, json={"email": email, "password": PASSWORD})
            world.users.append(email)
        began = time.monotonic()
        names = {service.process.pid: "supervisor"} | {pid: f"child {pid}" for pid in children_of(service.process.pid)}
        samples: list[Sample] = []
        acting = [asyncio.create_task(_act(world, began + seconds)) for _ in range(callers)]
        while not all(each.done() for each in acting):
            samples += look(list(names), time.monotonic() - began)
            await asyncio.wait(acting, timeout=max(0.5, seconds / 400))
        await asyncio.gather(*acting)
    seen = {name: mine for pid, name in names.items() if (mine := [each for each in samples if each.pid == pid])}
    trends = {name: trend_of(mine, warm_after=seconds / 3) for name, mine in seen.items()}
    courses = {name: [(round(each.at), round(each.rss / MIB, 2)) for each in mine] for name, mine in seen.items()}
    if children_of(service.process.pid) != set(names) - {service.process.pid}:
        world.fault("a process died, or was replaced")
    errors = [each for each in service.log_lines() if each["level"] in ("error", "critical")]
    world.faults += [f"logged: {each['message']}" for each in errors[:5]]
    return Result(
        seed,
        seconds,
        dict(sorted(world.statuses.items())),
        dict(world.told),
        world.faults,
        trends,
        courses,
        len(errors),
    )


async def _act(world: World, ends: float) -> None:
    acts, weights = list(ACTS), list(ACTS.values())
    while time.monotonic() < ends:
        (act,) = world.chance.choices(acts, weights)
        try:
            await act(world)
        except httpx2.HTTPError as error:
            world.fault(f"{act.__name__}: {type(error).__name__}")


def _growing(result: Result) -> list[str]:
    return [name for name, trend in result.trends.items() if trend.slope_mib_per_hour > GROWTH_MIB_PER_HOUR]


def _told(result: Result) -> str:
    requests = sum(result.statuses.values())
    lines = [f"seed {result.seed}: {requests} requests in {result.seconds / 60:.1f} minutes", ""]
    lines += [
        "| process | MiB at a third | MiB at the end | MiB an hour | descriptors, at most |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {each.first_mib:.1f} | {each.last_mib:.1f} | {each.slope_mib_per_hour:+.2f} "
        f"| {each.most_descriptors} |"
        for name, each in result.trends.items()
    ]
    lines += ["", *(f"{count:9} {what}" for what, count in result.statuses.items())]
    lines += [f"{count:9} unrevoked tokens told {what}" for what, count in sorted(result.told.items())]
    lines += [f"FAULT {fault}" for fault in result.faults]
    lines += [f"GROWS {name}" for name in _growing(result)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.faults`: schedules of faults against two nodes under load, and what the checker says of it.

Exit status 1 when a promise was broken.
"""

import argparse
import asyncio
import random
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

import msgspec
import uvloop

from tests.faults.acts import clients_of
from tests.faults.catalog import CATALOG
from tests.faults.history import Revoking
from tests.faults.schedule import CALLERS, TWO_AT_ONCE, Outcome, run_schedule
from tests.faults.stage import open_stage
from tests.stores import passable_directory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each schedule")
    parser.add_argument("--schedules", type=int, default=5)
    parser.add_argument("--callers", type=int, default=CALLERS, help="who act at the same time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--lease", type=float, default=1.0, help="seconds; the service's own is 5")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="faults with this in their name or id; none: none"
    )
    parser.add_argument(
        "--without",
        metavar="RULE",
        help="do without a rule of the protocol (tests/faults/lamed.py), until a schedule shows it",
    )
    parser.add_argument("--patience", type=float, default=1.0, help="times as much of it as usual, with Redis")
    parser.add_argument("--json", type=Path, help="write the outcomes here too")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)  # noqa: T201
    outcomes: list[Outcome] = []
    with suppress(asyncio.CancelledError, KeyboardInterrupt):  # what was done until then is summed up
        uvloop.run(_run(given, outcomes))
    print(summed_up(outcomes))  # noqa: T201
    return 1 if any(outcome.violations for outcome in outcomes) else 0


async def _run(given: argparse.Namespace, outcomes: list[Outcome]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    faults = [
        fault
        for fault in CATALOG.values()
        if not given.only or any(part in f"{fault.id} {fault.name}" for part in given.only)
    ]
    unsure: list[Revoking] = []
    with passable_directory() as directory:
        stage_like = {"lease_seconds": given.lease, "without": given.without, "patience": given.patience}
        async with open_stage(directory, given.seed, **stage_like) as stage:
            clients = await clients_of(stage)
            for number in range(given.schedules):
                seed = f"{given.seed}/{number}"
                outcome, unsure = await run_schedule(
                    stage, clients, seed, given.seconds, faults, unsure, callers=given.callers
                )
                outcomes.append(outcome)
                if given.json:
                    keep(outcomes, given.json)
                print(told(outcome), flush=True)  # noqa: T201
                if given.without and outcome.violations:
                    break


def keep(outcomes: list[Outcome], path: Path) -> None:
    """At once or not at all: others may be waiting for it."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)))
    part.replace(path)


def told(outcome: Outcome) -> str:
    faults = sum(outcome.thrown.values()) - outcome.thrown.get(TWO_AT_ONCE, 0)
    lines = [f"\nschedule {outcome.seed}: {outcome.seconds:.0f} s, {faults} faults"]
    lines += [f"{count:8} {what}" for what, count in outcome.answers.items()]
    lines += _figures([outcome])
    lines.append(
        "batches of marks by path, and fences: "
        + ", ".join(f"{count} {path}" for path, count in outcome.questions.items())
    )
    lines += [f"NOT CALM after {name}" for name in outcome.never_calm]
    lines += [f"LOGGED {error}" for error in outcome.errors_logged[:10]]
    lines += [f"VIOLATION {each}" for each in outcome.violations[:30]]
    return "\n".join(lines)


def summed_up(outcomes: Sequence[Outcome]) -> str:
    thrown = Counter[str]()
    for outcome in outcomes:
        thrown.update(outcome.thrown)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lines = [f"\nall {len(outcomes)} schedules: {seconds:.0f} s"]
    lines += [f"{count:5} {name}" for name, count in sorted(thrown.items())]
    return "\n".join(lines + _figures(outcomes))


def _figures(outcomes: Sequence[Outcome]) -> list[str]:
    checked = sum(outcome.checked for outcome in outcomes)
    times = {name: [ms for each in outcomes for ms in each.revocations[name]] for name in ("quiet", "doubt")}
    lines = [f"{checked} introspections checked, {sum(map(len, times.values()))} revocations acknowledged"]
    for name, values in times.items():
        figures = ", ".join(map(str, _quantiles(values)))
        lines.append(f"revocations, {name}: {len(values)}; p50, p99, longest in ms: {figures}")
    lines.append(f"{sum(len(outcome.violations) for outcome in outcomes)} violations")
    return lines


def _quantiles(values: list[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered[ceil(share * len(ordered)) - 1] for share in (0.5, 0.99, 1.0)] if ordered else []


if __name__ == "__main__":
    sys.exit(main())

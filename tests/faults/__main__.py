"""`python -m tests.faults`: schedules of faults against two nodes under load, and what the checker says of it.

Exit status 1 when a promise was broken.
"""

import argparse
import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import msgspec

from tests.faults.catalog import CATALOG
from tests.faults.history import Revoking
from tests.faults.schedule import TWO_AT_ONCE, Outcome, run_schedule
from tests.faults.stage import open_stage
from tests.stores import passable_directory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each schedule")
    parser.add_argument("--schedules", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--lease", type=float, default=1.0, help="seconds; the service's own is 5")
    parser.add_argument(
        "--only", action="append", metavar="TEXT", help="faults with this in their name or id; none: none"
    )
    parser.add_argument("--without", metavar="RULE", help="do without a rule of the protocol (tests/faults/lamed.py)")
    parser.add_argument("--json", type=Path, help="write the outcomes here too")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    print(f"seed {given.seed}", flush=True)  # noqa: T201
    outcomes = asyncio.run(_run(given))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(outcomes)))
    total = Counter[str]()
    for outcome in outcomes:
        total.update(outcome.thrown)
    print("\n".join(f"{count:5} {name}" for name, count in sorted(total.items())))  # noqa: T201
    return 1 if any(outcome.violations for outcome in outcomes) else 0


async def _run(given: argparse.Namespace) -> list[Outcome]:
    faults = [
        fault
        for fault in CATALOG.values()
        if not given.only or any(part in f"{fault.id} {fault.name}" for part in given.only)
    ]
    outcomes: list[Outcome] = []
    unsure: list[Revoking] = []
    with passable_directory() as directory:
        async with open_stage(directory, given.seed, lease_seconds=given.lease, lamed=given.without) as stage:
            for number in range(given.schedules):
                outcome, unsure = await run_schedule(stage, f"{given.seed}/{number}", given.seconds, faults, unsure)
                outcomes.append(outcome)
                print(told(outcome), flush=True)  # noqa: T201
    return outcomes


def told(outcome: Outcome) -> str:
    faults = sum(outcome.thrown.values()) - outcome.thrown.get(TWO_AT_ONCE, 0)
    lines = [f"\nschedule {outcome.seed}: {outcome.seconds:.0f} s, {faults} faults"]
    lines += [f"{count:8} {what}" for what, count in outcome.answers.items()]
    for name, (count, *times) in outcome.revocations.items():
        lines.append(f"revocations, {name}: {count:.0f}; p50, p99, longest in ms: {', '.join(map(str, times))}")
    lines.append(
        "batches of marks by path, and fences: "
        + ", ".join(f"{count} {path}" for path, count in outcome.questions.items())
    )
    lines += [f"NOT CALM after {name}" for name in outcome.never_calm]
    lines += [f"LOGGED {error}" for error in outcome.errors_logged[:10]]
    lines += [f"VIOLATION {each}" for each in outcome.violations[:30]]
    lines.append(f"{len(outcome.violations)} violations")
    return "\n".join(lines)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ended as by Ctrl-C, so that everything that was started is ended too."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

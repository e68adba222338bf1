"""What a run says: a table for people, the same in Markdown, everything in JSON."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from tests.benchmarks.case import DJANGO, OIDC_PROVIDER, RAW, REDIS, STAR_BODY, STAR_FORM
from tests.benchmarks.cpu import Cores
from tests.benchmarks.memory import remembered_bytes
from tests.benchmarks.peers.installation import pinned_versions
from tests.benchmarks.rounds import Outcome, Result
from tests.benchmarks.server import CHECKOUT
from tests.benchmarks.stage import Stage

LIBRARIES = ("uvicorn", "uvloop", "httptools", "starlette", "asyncpg", "msgspec", "prometheus-client")
IDLE_MB, TOKEN_BYTES = 75.0, 700.0
"""What a worker may hold before it is asked anything, and of a token that it remembers."""


class Fact(msgspec.Struct, frozen=True):
    """What is measured once in a run, beside the cases."""

    words: str
    measured: float
    unit: str
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        return self.at_most is None or self.measured <= self.at_most


class Run(msgspec.Struct, frozen=True):
    """One run, and what one has to know to read it."""

    at: str
    command: str
    commit: str
    processor: str
    python: str
    cores: int
    apart: bool
    """Whether the server had a core of its own."""
    busy: float
    """The load average of the machine when the run began: above 1, it was not alone."""
    generator: str
    rounds: int
    seconds: float
    libraries: dict[str, str]
    peers: dict[str, str]
    """Their versions, by name."""
    left_out: dict[str, str]
    """Peers that were not measured, and why."""
    answered_by: dict[str, dict[str, int]]
    """Of each service: how many questions for marks which store answered."""
    facts: list[Fact]
    results: list[Result]


def describe(
    results: Sequence[Result],
    stage: Stage,
    cores: Cores,
    *,
    command: str,
    busy: float,
    generator: str,
    rounds: int,
    seconds: float,
) -> Run:
    return Run(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=_said_by("git", "rev-parse", "--short", "HEAD"),
        processor=_processor(),
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        apart=cores.are_apart,
        busy=busy,
        generator=generator,
        rounds=rounds,
        seconds=seconds,
        libraries={name: version(name) for name in LIBRARIES},
        peers={name: _versions(name) for name in (OIDC_PROVIDER, DJANGO) if name in stage.servers},
        left_out=dict(stage.left_out),
        answered_by=stage.answered_by(),
        facts=_facts(stage),
        results=list(results),
    )


def _facts(stage: Stage) -> list[Fact]:
    held = {app: bytes_ / 1e6 for app, bytes_ in stage.idle_bytes.items()}
    remembered = remembered_bytes()
    facts = [Fact("memory of a worker before its first request (RSS)", held[REDIS], "MB", IDLE_MB)]
    if RAW in held:
        facts.append(Fact("the same of the ceiling raw", held[RAW], "MB"))
    return [
        *facts,
        Fact("memory of a remembered token of a client", remembered["client"], "bytes", TOKEN_BYTES),
        Fact("memory of a remembered token of a user", remembered["user"], "bytes", TOKEN_BYTES),
    ]


def _versions(name: str) -> str:
    versions = pinned_versions(name)
    if name == OIDC_PROVIDER:
        versions["node"] = _said_by("node", "--version").removeprefix("v")
    else:
        versions["Python"] = platform.python_version()
    return ", ".join(f"{library} {number}" for library, number in versions.items())


def _processor() -> str:
    names = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _said_by(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "unknown"
    return (
        subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    )


# --- The table

_SHOWN = (RAW, STAR_BODY, STAR_FORM)
_HEAD = (
    "case", "CPU us", "PG us", "Redis us", "req/s", "p50 ms", "p99 ms", *(f"/ {name}" for name in _SHOWN), "goals",
)  # fmt: skip


def _row(result: Result) -> tuple[str, ...]:
    figures = result.median
    ratios = (f"{result.cheaper[name]:.2f}" if name in result.cheaper else "" for name in _SHOWN)
    return (
        result.case, f"{figures.cpu_us:.1f}", f"{figures.postgres_us:.1f}", f"{figures.redis_us:.1f}",
        f"{figures.per_second:.0f}", f"{figures.p50_ms:.2f}", f"{figures.p99_ms:.2f}", *ratios,
        "; ".join(map(_words, result.goals)),
    )  # fmt: skip


def _words(outcome: Outcome) -> str:
    bound = f"<= {outcome.at_most:.2f}" if outcome.at_least is None else f">= {outcome.at_least:.2f}"
    return f"{outcome.words} {outcome.ratio:.2f}, goal {bound}: {'met' if outcome.is_met else 'missed'}"


def _said_of(fact: Fact) -> str:
    said = f"{fact.words}: {fact.measured:.0f} {fact.unit}"
    if fact.at_most is None:
        return said
    return f"{said}, goal <= {fact.at_most:.0f} {fact.unit}: {'met' if fact.is_met else 'missed'}"


def build_table(run: Run) -> str:
    """The table, what was measured once, and the goals that are not met."""
    rows = [_HEAD, *(_row(result) for result in run.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]

    def line(row: tuple[str, ...]) -> str:
        first, *middle, last = (
            cell.ljust(width) if column in {0, len(_HEAD) - 1} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join((first, *middle, last)).rstrip()

    return "\n".join([*map(line, rows), "", *map(_said_of, run.facts), "", *build_verdict(run)])


def build_verdict(run: Run) -> list[str]:
    """How many goals are met, and each one that is not."""
    goals = [(result.case, goal) for result in run.results for goal in result.goals]
    bounded = [fact for fact in run.facts if fact.at_most is not None]
    missed = [f"{case}: {_words(goal)}" for case, goal in goals if not goal.is_met]
    missed += [_said_of(fact) for fact in bounded if not fact.is_met]
    missed += [f"{name} was not measured: {reason}" for name, reason in run.left_out.items()]
    count = len(goals) + len(bounded) + len(run.left_out)
    return [f"{count - len(missed)} of {count} goals are met{'; not these:' if missed else ''}", *missed]


def build_markdown(run: Run) -> str:
    aligned = ["---", *("---:" for _ in _HEAD[1:-1]), "---"]
    rows = [_HEAD, tuple(aligned), *(_row(result) for result in run.results)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    first, *missed = build_verdict(run)
    facts = "".join(f"- {_said_of(fact)}\n" for fact in run.facts)
    return f"{table}\n{facts}\n{first}\n\n" + "".join(f"- {line}\n" for line in missed)


def build_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"

"""What a run says: a table for people, the same in Markdown, everything in JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import msgspec

from tests.benchmarks.cases import RAW, STAR_BODY, STAR_FORM
from tests.benchmarks.cpu import Cores
from tests.benchmarks.memory import remembered_bytes
from tests.benchmarks.rounds import Outcome, Result
from tests.benchmarks.stage import Stage

LIBRARIES = ("uvicorn", "uvloop", "httptools", "starlette", "asyncpg", "msgspec", "prometheus-client")


class Run(msgspec.Struct, frozen=True):
    """One run, and what one has to know to read it."""

    at: str
    python: str
    cores: int
    apart: bool
    """Whether the server had a core of its own."""
    generator: str
    rounds: int
    seconds: float
    libraries: dict[str, str]
    idle_mb: dict[str, float]
    """What each server held before it was asked anything."""
    token_bytes: dict[str, int]
    """What a worker keeps of a token that it remembers, by whose it is."""
    answered_by: dict[str, dict[str, int]]
    """Of each service: how many questions for marks which store answered."""
    results: list[Result]


def describe(
    results: Sequence[Result], stage: Stage, cores: Cores, *, generator: str, rounds: int, seconds: float
) -> Run:
    return Run(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        apart=cores.are_apart,
        generator=generator,
        rounds=rounds,
        seconds=seconds,
        libraries={name: version(name) for name in LIBRARIES},
        idle_mb={app: round(held / 1e6, 1) for app, held in stage.idle_bytes.items()},
        token_bytes=remembered_bytes(),
        answered_by=stage.answered_by(),
        results=list(results),
    )


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
    return f"{outcome.words} {outcome.ratio:.2f}, goal {outcome.goal:.2f}: {'met' if outcome.is_met else 'missed'}"


def build_table(run: Run) -> str:
    rows = [_HEAD, *(_row(result) for result in run.results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]

    def line(row: tuple[str, ...]) -> str:
        first, *middle, last = (
            cell.ljust(width) if column in {0, len(_HEAD) - 1} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join((first, *middle, last)).rstrip()

    return "\n".join(map(line, rows))


def build_markdown(run: Run) -> str:
    aligned = ["---", *("---:" for _ in _HEAD[1:-1]), "---"]
    rows = [_HEAD, tuple(aligned), *(_row(result) for result in run.results)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def build_json(run: Run) -> bytes:
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"

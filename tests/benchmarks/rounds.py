"""Rounds: every case for a few seconds, one after the other, and again. What disturbs the machine for a while then
disturbs a case and its ceiling alike, and the median leaves out the round that it hit."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from tests.benchmarks.cases import CEILINGS, Case, ceiling_of, with_ceilings
from tests.benchmarks.load import Put
from tests.benchmarks.stage import Stage
from tests.benchmarks.traffic import Connection

WARM_UP_SECONDS = 0.5
LOOKED_AT = 3
"""Answers of a case that are looked at again after its last round."""


class Figures(msgspec.Struct, frozen=True):
    """One case in one round, or the medians of its rounds."""

    cpu_us: float
    """CPU time of the server's processes for one request, in microseconds: user and system."""
    postgres_us: float
    """PostgreSQL's, for one request."""
    per_second: float
    p50_ms: float
    p99_ms: float


class Result(msgspec.Struct, frozen=True):
    case: str
    app: str
    connections: int
    median: Figures
    rounds: list[Figures]
    cheaper: dict[str, float]
    """By ceiling: its CPU time for one request divided by ours. Above 1, we are cheaper. The median of the rounds."""
    faster: dict[str, float]
    """By ceiling: our requests per second divided by its own."""
    goals: dict[str, float]


def measure(
    stage: Stage, put: Put, cases: Sequence[Case], *, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Result]:
    """The cases and their ceilings.

    Raises:
        WrongAnswer: a request was not answered as it must be, before, meanwhile or after.
    """
    everything = with_ceilings(tuple(cases))
    taken: dict[str, list[Figures]] = {case.name: [] for case in everything}
    say(f"{len(everything)} cases: about {len(everything) * (rounds * seconds + 1):.0f} s")
    for case in everything:
        # Every request of a case once: from here on its tokens are known to the service. Of a ceiling's one will do.
        _check(stage, case, most=1 if case.app in CEILINGS else len(stage.traffic[case.traffic].requests))
        _slice(stage, put, case, min(seconds, WARM_UP_SECONDS))
    for number in range(1, rounds + 1):
        for case in everything:
            taken[case.name].append(_slice(stage, put, case, seconds))
        say(f"round {number} of {rounds} is done")
    for case in everything:
        _check(stage, case, most=LOOKED_AT)
    return [_result(case, taken) for case in everything]


def _check(stage: Stage, case: Case, *, most: int) -> None:
    with Connection(stage.servers[case.app].port) as connection:
        connection.check(stage.traffic[case.traffic], case.name, most=most)


def _slice(stage: Stage, put: Put, case: Case, seconds: float) -> Figures:
    server, traffic = stage.servers[case.app], stage.traffic[case.traffic]
    cpu, postgres = server.cpu_seconds(), stage.postgres_seconds()
    outcome = put(server.port, traffic, case.connections, seconds)
    outcome.check(case.name)
    cpu, postgres = server.cpu_seconds() - cpu, stage.postgres_seconds() - postgres
    return Figures(
        cpu_us=1e6 * cpu / outcome.requests,
        postgres_us=1e6 * postgres / outcome.requests,
        per_second=outcome.requests / outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
    )


def _result(case: Case, taken: Mapping[str, list[Figures]]) -> Result:
    ours = taken[case.name]
    theirs = {app: taken[ceiling_of(case, app).name] for app in case.against}
    return Result(
        case=case.name,
        app=case.app,
        connections=case.connections,
        median=Figures(*(median(getattr(each, name) for each in ours) for name in Figures.__struct_fields__)),
        rounds=ours,
        cheaper={app: _median_ratio(theirs[app], ours, "cpu_us") for app in theirs},
        faster={app: _median_ratio(ours, theirs[app], "per_second") for app in theirs},
        goals=dict(case.goals),
    )


def _median_ratio(above: Sequence[Figures], below: Sequence[Figures], name: str) -> float:
    """Of the ratios within each round: both sides then saw the same machine."""
    ratios: list[float] = [getattr(a, name) / max(getattr(b, name), 1e-3) for a, b in zip(above, below, strict=True)]
    return median(ratios)

"""Rounds: every case for a few seconds, one after the other, and again. What disturbs the machine for a while then
disturbs a case and its ceiling alike, and the median leaves out the round that it hit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from threading import Thread

import msgspec

from tests.benchmarks.cases import CEILINGS, Case, Goal, ceiling_of, with_ceilings
from tests.benchmarks.generator import replay
from tests.benchmarks.load import Put
from tests.benchmarks.server import Server
from tests.benchmarks.stage import Stage
from tests.benchmarks.traffic import Connection, Traffic

WARM_UP_SECONDS = 0.5
LOOKED_AT = 3
"""Answers of a case that are looked at again after its last round."""
STORMERS = 8
"""Connections on which the other load of a case comes."""


class Figures(msgspec.Struct, frozen=True):
    """One case in one round, or the medians of its rounds."""

    cpu_us: float
    """CPU time of the server's processes for one request, in microseconds: user and system."""
    postgres_us: float
    """PostgreSQL's, for one request."""
    redis_us: float
    """And that of Redis."""
    per_second: float
    p50_ms: float
    p99_ms: float


class Outcome(msgspec.Struct, frozen=True):
    """What became of a goal."""

    words: str
    ratio: float
    """The median of the rounds."""
    goal: float
    is_met: bool


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
    goals: list[Outcome]


def measure(
    stage: Stage, put: Put, cases: Sequence[Case], *, rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Result]:
    """The cases and what they are held against.

    Raises:
        WrongAnswer: a request was not answered as it must be, before, meanwhile or after.
    """
    everything = with_ceilings(tuple(cases))
    taken: dict[str, list[Figures]] = {case.name: [] for case in everything}
    say(f"{len(everything)} cases: about {len(everything) * (rounds * seconds + 1):.0f} s")
    for case in everything:
        # Every request of a case once: from here on its tokens are known to the service. Of a ceiling's one will do.
        _check(stage, case, most=1 if case.app in CEILINGS else len(stage.traffic[case.traffic].requests))
        put(stage.servers[case.app].port, stage.traffic[case.traffic], case.connections, min(seconds, WARM_UP_SECONDS))
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
        if case.beside:
            connection.check(stage.traffic[case.beside], case.beside, most=1)


def _slice(stage: Stage, put: Put, case: Case, seconds: float) -> Figures:
    server, traffic = stage.servers[case.app], stage.traffic[case.traffic]
    cpu, (postgres, redis) = server.cpu_seconds(), stage.store_seconds()
    if case.beside:
        with _storm(server, stage.traffic[case.beside], seconds):
            outcome = put(server.port, traffic, case.connections, seconds)
    else:
        outcome = put(server.port, traffic, case.connections, seconds)
    outcome.check(case.name)
    cpu, (postgres_then, redis_then) = server.cpu_seconds() - cpu, stage.store_seconds()
    return Figures(
        cpu_us=1e6 * cpu / outcome.requests,
        postgres_us=1e6 * (postgres_then - postgres) / outcome.requests,
        redis_us=1e6 * (redis_then - redis) / outcome.requests,
        per_second=outcome.requests / outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
    )


@contextmanager
def _storm(server: Server, traffic: Traffic, seconds: float) -> Iterator[None]:
    """More than the server can do, of something else; that it turns most of it away is right."""
    storm = Thread(target=replay, args=(server.port, traffic, STORMERS, seconds))
    storm.start()
    try:
        yield
    finally:
        storm.join()


def _result(case: Case, taken: Mapping[str, list[Figures]]) -> Result:
    ours = taken[case.name]
    theirs = {app: taken[ceiling_of(case, app).name] for app in case.against}
    return Result(
        case=case.name,
        app=case.app,
        connections=case.connections,
        median=Figures(*(median(getattr(each, name) for each in ours) for name in Figures.__struct_fields__)),
        rounds=ours,
        cheaper={app: _median_ratio(_column(theirs[app], "cpu_us"), _column(ours, "cpu_us")) for app in theirs},
        faster={app: _median_ratio(_column(ours, "per_second"), _column(theirs[app], "per_second")) for app in theirs},
        goals=[_outcome(goal, ours, taken) for goal in case.goals],
    )


def _outcome(goal: Goal, ours: Sequence[Figures], taken: Mapping[str, list[Figures]]) -> Outcome:
    def columns(cases: Sequence[Case]) -> list[list[float]]:
        return [_column(taken[case.name], goal.figure) for case in cases]

    ours_column = _column(ours, goal.figure)
    added, taken_away = columns(goal.than), columns(goal.minus)
    measure = [
        sum(column[at] for column in added) - sum(column[at] for column in taken_away) for at in range(len(ours_column))
    ]
    if goal.at_least is not None:
        ratio = _median_ratio(measure, ours_column)
        return Outcome(goal.words, ratio, goal.at_least, ratio >= goal.at_least)
    most = goal.at_most or 0.0
    ratio = _median_ratio(ours_column, measure)
    return Outcome(goal.words, ratio, most, ratio <= most)


def _column(figures: Sequence[Figures], name: str) -> list[float]:
    return [getattr(each, name) for each in figures]


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Of the ratios within each round: both sides then saw the same machine."""
    return median(a / max(b, 1e-3) for a, b in zip(above, below, strict=True))

"""Rounds: every case for a few seconds, one after the other, and again. What disturbs the machine for a while then
disturbs a case and its ceiling alike, and the median leaves out the round that it hit."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import msgspec

from tests.benchmarks import generator
from tests.benchmarks.case import CEILINGS, Case, Goal, ceiling_of, with_ceilings
from tests.benchmarks.cases import STORMERS
from tests.benchmarks.generator import replay
from tests.benchmarks.load import Put
from tests.benchmarks.stage import Stage
from tests.benchmarks.traffic import Chains, Connection, Load

WARM_UP_SECONDS = 0.5
LOOKED_AT = 3
"""Answers of a case that are looked at again after its last round."""


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
    beside_per_second: float
    """Right answers of what the server had to do meanwhile."""
    questions: float
    """To a store for marks, for one request; 0 where no goal is about them."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a goal."""

    words: str
    ratio: float
    """The median of the rounds."""
    at_least: float | None
    at_most: float | None
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
    # A peer that could not be had is left out, with its goals. What a case is held against is always here.
    everything = [case for case in with_ceilings(tuple(cases)) if case.app in stage.servers]
    taken: dict[str, list[Figures]] = {case.name: [] for case in everything}
    say(f"{len(everything)} cases: about {len(everything) * (rounds * seconds + 1):.0f} s")
    for case in everything:
        warm_up(stage, put, case, seconds)
    for number in range(1, rounds + 1):
        for case in everything:
            taken[case.name].append(take(stage, put, case, seconds))
        say(f"round {number} of {rounds} is done")
    for case in everything:
        _check(stage, case, most=LOOKED_AT)
    return [_result(case, taken) for case in everything]


def warm_up(stage: Stage, put: Put, case: Case, seconds: float) -> None:
    """Every request of a case is looked at once, and then asked for a while. Raises WrongAnswer."""
    _check(stage, case, most=_to_look_at(stage, case))
    _put(stage, put, case, min(seconds, WARM_UP_SECONDS))


def _to_look_at(stage: Stage, case: Case) -> int:
    """Every request of a case: from here on its tokens are known to the service. Of a ceiling's one will do."""
    if case.app in CEILINGS:
        return 1
    load = _load_of(stage, case)
    return len(load.heads if isinstance(load, Chains) else load.requests)


def _load_of(stage: Stage, case: Case, kind: str = "") -> Load:
    return stage.loads[case.app][kind or case.traffic]


def _check(stage: Stage, case: Case, *, most: int) -> None:
    with Connection(stage.servers[case.app].port) as connection:
        connection.check(_load_of(stage, case), case.name, most=most)
        if case.beside:
            connection.check(_load_of(stage, case, case.beside), case.beside, most=1)


def _put(stage: Stage, put: Put, case: Case, seconds: float) -> generator.Outcome:
    port = stage.servers[case.app].port
    return put(port, _load_of(stage, case), case.connections, seconds, case.per_second)


def take(stage: Stage, put: Put, case: Case, seconds: float) -> Figures:
    """One case for so long. Raises WrongAnswer."""
    server = stage.servers[case.app]
    counts = any(goal.figure == "questions" for goal in case.goals)
    asked = stage.questions(case.app) if counts else 0
    cpu, (postgres, redis) = server.cpu_seconds(), stage.store_seconds()
    beside = 0.0
    if case.beside:
        # As much as the server can do, of something else; that it turns some of it away would be right.
        with ThreadPoolExecutor(1) as storm:
            other = storm.submit(replay, server.port, _load_of(stage, case, case.beside), STORMERS, seconds)
            outcome = _put(stage, put, case, seconds)
            beside = other.result().right_per_second
    else:
        outcome = _put(stage, put, case, seconds)
    outcome.check(case.name)
    cpu, (postgres_then, redis_then) = server.cpu_seconds() - cpu, stage.store_seconds()
    asked = stage.questions(case.app) - asked if counts else 0
    return Figures(
        cpu_us=1e6 * cpu / outcome.requests,
        postgres_us=1e6 * (postgres_then - postgres) / outcome.requests,
        redis_us=1e6 * (redis_then - redis) / outcome.requests,
        per_second=outcome.requests / outcome.seconds,
        p50_ms=outcome.p50_ms,
        p99_ms=outcome.p99_ms,
        beside_per_second=beside,
        questions=asked / outcome.requests,
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
        cheaper={app: _median_ratio(_column(theirs[app], "cpu_us"), _column(ours, "cpu_us")) for app in theirs},
        faster={app: _median_ratio(_column(ours, "per_second"), _column(theirs[app], "per_second")) for app in theirs},
        goals=[outcome_of(goal, ours, taken) for goal in case.goals],
    )


def outcome_of(goal: Goal, ours: Sequence[Figures], taken: Mapping[str, list[Figures]]) -> Outcome:
    """What became of a goal, round by round; `taken` has the rounds of every case, by its name."""

    def columns(cases: Sequence[Case]) -> list[list[float]]:
        return [_column(taken[case.name], goal.than_figure or goal.figure) for case in cases]

    this = _column(ours, goal.figure)
    added, taken_away = columns(goal.than), columns(goal.minus)
    those = [sum(column[at] for column in added) - sum(column[at] for column in taken_away) for at in range(len(this))]
    if not goal.than:
        ratio = median(this)
    elif goal.turned:
        ratio = _median_ratio(those, this)
    else:
        ratio = _median_ratio(this, those)
    is_met = ratio >= (goal.at_least or 0.0) and (goal.at_most is None or ratio <= goal.at_most)
    return Outcome(goal.words, ratio, goal.at_least, goal.at_most, is_met)


def _column(figures: Sequence[Figures], name: str) -> list[float]:
    return [getattr(each, name) for each in figures]


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Of the ratios within each round: both sides then saw the same machine."""
    return median(a / max(b, 1e-3) for a, b in zip(above, below, strict=True))

"""What the benchmark is made of: load that is paced or depends on answers, goals, what is told, large stores."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.benchmarks import large, page
from tests.benchmarks.case import PEERS, Case, Goal, with_ceilings
from tests.benchmarks.cases import CASES, LARGE_CASES
from tests.benchmarks.cpu import share_out
from tests.benchmarks.generator import replay
from tests.benchmarks.peers.installation import NotInstalled, install, is_installed, pinned_versions
from tests.benchmarks.plot import build_plot
from tests.benchmarks.report import Fact, Run, build_markdown, build_table
from tests.benchmarks.rounds import Figures, Result, outcome_of
from tests.benchmarks.server import Server, running
from tests.benchmarks.traffic import Chains, Connection, Traffic, get
from tests.stores import run_sql

LIVE = b'"active":true'


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("tests.benchmarks.ceilings:raw", share_out().server, environ={}) as server:
        with Connection(server.port) as connection:
            connection.check(Traffic([get("/")], LIVE), "raw", most=1)
        yield server


def test_a_paced_load_is_no_more_than_was_asked_for(server: Server) -> None:
    outcome = replay(server.port, Traffic([get("/")], LIVE), 4, 0.4, 100)
    outcome.check("raw")
    # What is due in that time; and of each connection what sums of floats take to be due before the end.
    assert 0 < outcome.requests <= 100 * 0.4 + 4


def test_a_chain_goes_on_from_the_last_answer_and_from_round_to_round(server: Server) -> None:
    asked: list[bytes] = []

    def follow(body: bytes) -> bytes:
        asked.append(get(f"/{len(asked)}"))
        return asked[-1]

    chains = Chains([get("/first")], follow, LIVE)
    for _ in range(2):
        before = len(asked)
        outcome = replay(server.port, chains, 1, 0.05)
        outcome.check("raw")
        assert len(asked) - before == outcome.requests
        assert chains.heads == [asked[-1]]


def test_what_a_goal_is_about_is_measured_before_it() -> None:
    everything = with_ceilings(CASES + LARGE_CASES)
    assert len({case.name for case in everything}) == len(everything)
    seen: set[str] = set()
    for case in everything:
        assert {each.name for goal in case.goals for each in goal.compared} <= seen
        seen.add(case.name)


OTHER = Case("other", "active")


def costs(*each: float) -> list[Figures]:
    return [Figures(cost, 0, 0, 0, 0, 0, 0, 0) for cost in each]


COSTS = {"other": costs(10.0, 20.0, 60.0)}


@pytest.mark.parametrize(
    ("goal", "ratio", "is_met"),
    [
        (Goal("this / other", (OTHER,), at_most=0.5), 0.5, True),
        (Goal("this / other", (OTHER,), at_least=3), 0.5, False),
        (Goal("other / this", (OTHER,), at_least=1.8, turned=True), 2.0, True),
        (Goal("this / (2 others - other)", (OTHER, OTHER), minus=(OTHER,), at_most=0.4), 0.5, False),
        (Goal("this", at_most=10), 10.0, True),
    ],
    ids=lambda value: value.words + str(value.at_least) if isinstance(value, Goal) else "",
)
def test_a_goal_goes_by_the_median_of_the_ratios_within_a_round(goal: Goal, ratio: float, is_met: bool) -> None:
    outcome = outcome_of(goal, costs(10.0, 10.0, 20.0), COSTS)
    assert outcome.ratio == pytest.approx(ratio)
    assert outcome.is_met is is_met


FIGURES = Figures(100.0, 1, 2, 3000, 4, 5, 0, 0)
GOALS = [Goal("this / other", (OTHER,), at_most=9.0), Goal("this / other", (OTHER,), at_most=1.0)]
RUN = Run(
    at="2026-11-22T10:00:00+00:00", command="make bench", commit="1234567", processor="a processor", python="3.11",
    cores=2, apart=True, busy=0.1, generator="wrk", rounds=3, seconds=3, libraries={"uvicorn": "1"},
    peers={"oidc-provider": "oidc-provider 1"}, left_out={"django-oauth-toolkit": "no network"}, answered_by={},
    facts=[Fact("memory", 80, "MB", 75), Fact("of others", 90, "MB")],
    results=[
        Result(
            case=case.name, app=case.app, connections=64, median=FIGURES, rounds=[FIGURES] * 3,
            cheaper={"raw": 0.5}, faster={"raw": 0.5},
            goals=[outcome_of(goal, [FIGURES] * 3, COSTS) for goal in GOALS],
        )
        for case in CASES[:1]
    ],
)  # fmt: skip


def test_the_table_ends_with_the_goals_that_are_not_met() -> None:
    name = CASES[0].name
    verdict = [
        "1 of 4 goals are met; not these:",
        f"{name}: this / other 5.00, goal <= 1.00: missed",
        "memory: 80 MB, goal <= 75 MB: missed",
        "django-oauth-toolkit was not measured: no network",
    ]
    assert build_table(RUN).splitlines()[-4:] == verdict
    assert build_markdown(RUN).splitlines()[-3:] == [f"- {line}" for line in verdict[1:]]


def test_the_plot_is_a_picture_of_every_case() -> None:
    plot = build_plot(RUN)
    assert plot.startswith("<svg") and plot.endswith("</svg>\n")
    assert CASES[0].name in plot
    assert plot.count("<circle") == 2 + len(RUN.results)


def test_a_run_takes_the_place_of_the_one_before_it_in_the_page() -> None:
    before = page.PAGE.read_text()
    after = page.replace_figures(before, page.build_figures(RUN))
    assert "commit 1234567" in after
    assert before.partition(page.BEGIN)[0] == after.partition(page.BEGIN)[0]
    assert before.partition(page.END)[2] == after.partition(page.END)[2]
    assert page.replace_figures(after, page.build_figures(RUN)) == after
    with pytest.raises(LookupError):
        page.replace_figures("# Performance\n", "")


@pytest.mark.parametrize("name", PEERS)
def test_the_page_names_the_versions_of_a_peer(name: str) -> None:
    text = page.PAGE.read_text()
    assert name in text
    assert all(version in text for version in pinned_versions(name).values())


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(NotInstalled, match=r"npm|/nowhere/python"):
        install(name, lambda _: None)
    assert not is_installed(name)


def test_large_stores_hold_what_they_say(database_url: str) -> None:
    said: list[str] = []
    size = replace(large.LARGE, users=50, marks=100, live_marks=10)
    large.fill(database_url, said.append, size)
    assert [line.split(" in ")[0] for line in said] == ["50 users", "50 sessions", "50 grants", "100 marks"]
    live = "SELECT count(*) FROM auth.token_blacklist WHERE expires_at > now()"
    assert run_sql(database_url, live) == 10
    purged = "SELECT count(*) FROM auth.token_blacklist WHERE expires_at < now() - interval '1 day'"
    assert run_sql(database_url, purged) == 0
    joined = (
        "SELECT count(*) FROM auth.grants JOIN auth.sessions USING (sid) JOIN auth.users ON users.sub = sessions.sub"
    )
    assert run_sql(database_url, joined) == 50

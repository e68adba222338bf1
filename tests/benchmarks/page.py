"""Puts a run into docs/performance.md: everything that is a figure of it, and the plot beside the page."""

from collections.abc import Sequence

from tests.benchmarks.case import POSTGRESQL, REDIS
from tests.benchmarks.cases import CASES
from tests.benchmarks.plot import build_plot
from tests.benchmarks.report import Run, build_markdown
from tests.benchmarks.rounds import Result
from tests.benchmarks.server import CHECKOUT

PAGE, PLOT = CHECKOUT / "docs/performance.md", CHECKOUT / "docs/performance.svg"
BEGIN, END = "<!-- begin: written by make bench -->\n", "<!-- end: written by make bench -->\n"
_SIZED_BY = {case.name for case in CASES if case.app in {REDIS, POSTGRESQL} or case.traffic == "login"}
"""The cases by which a deployment is sized."""


def write_docs(run: Run) -> None:
    """Raises LookupError: the page has no place for it."""
    PAGE.write_text(replace_figures(PAGE.read_text(encoding="utf-8"), build_figures(run)), encoding="utf-8")
    PLOT.write_text(build_plot(run), encoding="utf-8")


def replace_figures(page: str, figures: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise LookupError("the page has no place for the figures")
    return before + begin + figures + end + after


def build_figures(run: Run) -> str:
    libraries = ", ".join(f"{name} {number}" for name, number in run.libraries.items())
    peers = "".join(f"- {name}: {versions}\n" for name, versions in run.peers.items())
    apart = "the server alone on one" if run.apart else "shared by server and load"
    return (
        f"{run.at[:10]}, `{run.command}`, commit {run.commit}: {run.processor}, {run.cores} cores, {apart}; load "
        f"average at the start {run.busy:.2f}; {run.rounds} rounds of {run.seconds:g} s, {run.generator}; Python "
        f"{run.python}, {libraries}.\n\n{peers}\n![CPU time of one request, by case]({PLOT.name})\n\n"
        f"{build_markdown(run)}\nWhat one core gives, by division: requests a second for each core that the workers "
        f"use.\n\n{_build_sizes(run.results)}\n"
    )


def _build_sizes(results: Sequence[Result]) -> str:
    rows = [result for result in results if result.case in _SIZED_BY]
    lines = [f"| {result.case} | {_round(1e6 / max(result.median.cpu_us, 1.0)):,} |\n" for result in rows]
    return "".join(["| case | a second |\n", "|---|---:|\n", *lines])


def _round(number: float) -> int:
    """To two digits: no more of them would be the same tomorrow."""
    digits = len(str(int(number)))
    return int(round(number, 2 - digits)) if digits > 2 else int(number)

"""`python -m tests.benchmarks`: bounded in time, on the loopback alone, and gone when it ends."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click

from tests.benchmarks.case import PEERS, with_ceilings
from tests.benchmarks.cases import CASES, LARGE_CASES
from tests.benchmarks.cpu import share_out
from tests.benchmarks.load import find_generator
from tests.benchmarks.page import write_docs
from tests.benchmarks.plot import build_plot
from tests.benchmarks.report import build_json, build_markdown, build_table, describe
from tests.benchmarks.rounds import measure
from tests.benchmarks.stage import set_up
from tests.benchmarks.traffic import WrongAnswer


def say(line: str) -> None:
    """Beside the table, not in it."""
    click.echo(line, err=True)


FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="The medians are of these.")
@click.option(
    "--seconds", type=click.FloatRange(0.05, 60), default=3, show_default=True,
    help="Each case in each round. wrk knows whole seconds only.",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="CASE", help="The cases with these words in their name. Repeatable.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Measure other providers in the same rounds.")
@click.option(
    "--large", is_flag=True,
    help="The hot cases before large stores too, which are filled first: a million users, ten million revocations.",
)  # fmt: skip
@click.option("--generator", type=click.Choice(["auto", "wrk", "bundled"]), default="auto", show_default=True)
@click.option("--tokens", type=click.IntRange(2, 100_000), default=1000, show_default=True, help="Tokens in use.")
@click.option("--json", "json_file", type=FILE, help="Write everything here.")
@click.option("--markdown", type=FILE, help="Write the table here.")
@click.option("--plot", type=FILE, help="Write a drawing of it here, as SVG.")
@click.option("--write-docs", "writes_docs", is_flag=True, help="Put the run into docs/performance.md.")
def main(
    rounds: int,
    seconds: float,
    only: tuple[str, ...],
    peers: bool,
    large: bool,
    generator: str,
    tokens: int,
    json_file: Path | None,
    markdown: Path | None,
    plot: Path | None,
    writes_docs: bool,
) -> None:
    """Measure what the service costs against what the same server costs at least."""
    known = tuple(case for case in CASES + LARGE_CASES * large if peers or case.app not in PEERS)
    cases = tuple(case for case in known if not only or any(words in case.name for words in only))
    if not cases:
        raise click.UsageError("no case is called that; there are: " + "; ".join(case.name for case in known))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is taken down
    cores, busy = share_out(), os.getloadavg()[0]
    if not cores.are_apart:
        say("there is one core: server and load share it, and the latencies say little")
    try:
        name, put = find_generator(generator)
        with set_up(cores, with_ceilings(cases), tokens=tokens, say=say) as stage:
            say("the stores and the servers are up")
            results = measure(stage, put, cases, rounds=rounds, seconds=seconds, say=say)
            run = describe(
                results, stage, cores, command=_command(), busy=busy, generator=name, rounds=rounds, seconds=seconds
            )
    except (WrongAnswer, LookupError, OSError, subprocess.SubprocessError) as error:
        say(f"nothing was measured: {type(error).__name__}: {error}")
        sys.exit(1)
    click.echo(build_table(run))
    say(f"questions answered by: {run.answered_by}")
    if json_file is not None:
        json_file.write_bytes(build_json(run))
    if markdown is not None:
        markdown.write_text(build_markdown(run), encoding="utf-8")
    if plot is not None:
        plot.write_text(build_plot(run), encoding="utf-8")
    if writes_docs:
        write_docs(run)


def _command() -> str:
    """As it would be typed."""
    arguments = [each for each in sys.argv[1:] if each != "--write-docs"]
    return "make bench" + (f' ARGS="{shlex.join(arguments)}"' if arguments else "")


if __name__ == "__main__":
    main()

"""`python -m tests.benchmarks`: bounded in time, on the loopback alone, and gone when it ends."""

import signal
import subprocess
import sys
from pathlib import Path

import click

from tests.benchmarks.cases import CASES, with_ceilings
from tests.benchmarks.cpu import share_out
from tests.benchmarks.load import find_generator
from tests.benchmarks.report import build_json, build_markdown, build_table, describe
from tests.benchmarks.rounds import measure
from tests.benchmarks.stage import set_up
from tests.benchmarks.traffic import WrongAnswer


def say(line: str) -> None:
    """Beside the table, not in it."""
    click.echo(line, err=True)


@click.command()
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, help="The medians are of these.")
@click.option(
    "--seconds", type=click.FloatRange(0.05, 60), default=3, show_default=True,
    help="Each case in each round. wrk knows whole seconds only.",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="CASE", help="The cases with these words in their name. Repeatable.")
@click.option("--generator", type=click.Choice(["auto", "wrk", "bundled"]), default="auto", show_default=True)
@click.option("--tokens", type=click.IntRange(2, 100_000), default=1000, show_default=True, help="Tokens in use.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write everything here.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here.")
def main(
    rounds: int,
    seconds: float,
    only: tuple[str, ...],
    generator: str,
    tokens: int,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Measure what the service costs against what the same server costs at least."""
    cases = tuple(case for case in CASES if not only or any(words in case.name for words in only))
    if not cases:
        raise click.UsageError("no case is called that; there are: " + "; ".join(case.name for case in CASES))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is taken down
    cores = share_out()
    if not cores.are_apart:
        say("there is one core: server and load share it, and the latencies say little")
    try:
        name, put = find_generator(generator)
        with set_up(cores, with_ceilings(cases), tokens=tokens) as stage:
            say("the stores and the servers are up")
            results = measure(stage, put, cases, rounds=rounds, seconds=seconds, say=say)
            run = describe(results, stage, cores, generator=name, rounds=rounds, seconds=seconds)
    except (WrongAnswer, LookupError, OSError, subprocess.SubprocessError) as error:
        say(f"nothing was measured: {type(error).__name__}: {error}")
        sys.exit(1)
    click.echo(build_table(run))
    say(f"resident before the first request, MB: {run.idle_mb}; bytes of a remembered token: {run.token_bytes}")
    say(f"questions answered by: {run.answered_by}")
    if json_file is not None:
        json_file.write_bytes(build_json(run))
    if markdown is not None:
        markdown.write_text(build_markdown(run), encoding="utf-8")


if __name__ == "__main__":
    main()

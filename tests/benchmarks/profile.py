"""`python -m tests.benchmarks.profile [--seconds N] CASE...`: where the time of a worker goes, by case.

Looks 100 times a second at what the worker does, system calls and libraries too, with py-spy, which has to be installed
(`pip install py-spy`) and may have to be run as root. Samples of a worker that waits are left out.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click

from tests.benchmarks.case import SERVICES, TWO_WORKERS, Case
from tests.benchmarks.cases import CASES
from tests.benchmarks.cpu import share_out
from tests.benchmarks.load import Put, find_generator
from tests.benchmarks.rounds import take, warm_up
from tests.benchmarks.stage import Stage, set_up

RATE = 100
SYSTEM_CALL = re.compile(r"(epoll_p?wait|(?:read|write|send|recv|writev|getpid|futex|syscall)\b)[^;]*\(libc")
IDLE = "_queue_SimpleQueue_get"
OURS = re.compile(r"\((authsvc/[^:)]+)")
RUNS_THE_LOOP = "authsvc/worker.py"
KNOWN = {
    "uvloop and libuv": re.compile(r"uvloop|loop\.c:|uv_|\b(core|stream|linux|unix)\.c:|UVStream|Handle__"),
    "uvicorn and httptools": re.compile(r"uvicorn|httptools"),
    "asyncio": re.compile(r"asyncio|_asynciomodule"),
}


def where(frames: list[str]) -> str | None:
    """The innermost of our files, or what was at work instead. None: nothing was."""
    if any(frame.startswith(IDLE) for frame in frames):
        return None
    if SYSTEM_CALL.match(frames[-1]):
        return "system calls"
    for frame in reversed(frames):
        if (ours := OURS.search(frame)) and ours[1] != RUNS_THE_LOOP:
            return ours[1]
    return next((name for name, words in KNOWN.items() if any(map(words.search, reversed(frames)))), "the rest")


def add_up(stacks: Iterable[str]) -> Counter[str]:
    """How often each place was seen in `frame;frame;... count`."""
    seen = Counter[str]()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        if (place := where(stack.split(";"))) is not None:
            seen[place] += int(count)
    return seen


def build_table(seen: Counter[str], cpu_us: float, most: int = 16) -> str:
    """What is a hundredth of all, and more."""
    total = seen.total() or 1
    rows = [(place, count / total) for place, count in seen.most_common(most) if count * 100 >= total]
    lines = [f"| {place} | {100 * share:.0f} % | {cpu_us * share:.1f} |" for place, share in rows]
    return "\n".join(("| where | of the time | us |", "| --- | ---: | ---: |", *lines))


def record(stage: Stage, put: Put, case: Case, seconds: float) -> tuple[Counter[str], float]:
    with tempfile.TemporaryDirectory() as directory:
        stacks = Path(directory) / "stacks"
        command = [
            "py-spy", "record", "--native", "--format", "raw", "--rate", str(RATE), "--duration", str(int(seconds)),
            "--output", str(stacks), "--pid", str(stage.servers[case.app].pid),
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as spy:
            figures = take(stage, put, case, seconds + 1)
            said = spy.communicate()[1]
        if spy.returncode:
            raise click.ClickException(f"py-spy: {said.strip()}")
        return add_up(stacks.read_text().splitlines()), figures.cpu_us


@click.command()
@click.option("--seconds", type=click.IntRange(1, 60), default=10, show_default=True)
@click.argument("words", nargs=-1, required=True, metavar="CASE...")
def main(seconds: int, words: tuple[str, ...]) -> None:
    """Where the time of a worker goes, in the cases with these words in their name."""
    may_be = [case for case in CASES if case.app in SERVICES and case.app != TWO_WORKERS]
    cases = [case for case in may_be if any(each in case.name for each in words)]
    if not cases:
        raise click.UsageError("no case is called that; there are: " + "; ".join(case.name for case in may_be))
    _, put = find_generator("auto")
    with set_up(share_out(), cases, tokens=1000, say=lambda line: click.echo(line, err=True)) as stage:
        for case in cases:
            warm_up(stage, put, case, seconds)
            plain = take(stage, put, case, seconds).cpu_us
            seen, watched = record(stage, put, case, seconds)
            click.echo(
                f"{case.name}: {plain:.0f} us, {watched:.0f} while it was watched\n\n{build_table(seen, plain)}\n"
            )


if __name__ == "__main__":
    sys.exit(main())

"""Puts load on a server for some seconds: with wrk where it is installed, else with the generator beside this file."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.benchmarks.generator import SPARE_SECONDS, Outcome, replay
from tests.benchmarks.traffic import Load, Traffic

_HERE = Path(__file__).parent

Put = Callable[[int, Load, int, float, float | None], Outcome]
"""Port, load, connections, seconds; and how many requests a second, if not as many as go."""


def find_generator(name: str) -> tuple[str, Put]:
    """By its name: `wrk`, `bundled`, or `auto` for the better one that is here.

    Raises:
        LookupError: wrk is asked for and is not installed.
    """
    path = shutil.which("wrk")
    if name == "bundled" or (name == "auto" and path is None):
        return "bundled", replay
    if path is None:
        raise LookupError("wrk is not installed")
    wrk: str = path

    def put(port: int, load: Load, connections: int, seconds: float, per_second: float | None = None) -> Outcome:
        """wrk cannot pace what it sends, nor make a request from the answer before it."""
        if per_second is not None or not isinstance(load, Traffic):
            return replay(port, load, connections, seconds, per_second)
        return _put_wrk(wrk, port, load, connections, seconds)

    return "wrk", put


def _put_wrk(wrk: str, port: int, traffic: Traffic, connections: int, seconds: float) -> Outcome:
    """wrk knows whole seconds only, and looks at statuses only."""
    whole = max(1, round(seconds))
    with tempfile.NamedTemporaryFile(prefix="authsvc-benchmark-") as file:
        for request in traffic.requests:
            file.write(b"%d\n%s" % (len(request), request))
        file.flush()
        command = [
            wrk, "--threads=1", f"--connections={connections}", f"--duration={whole}s", "--timeout=5s",
            f"--script={_HERE / 'replay.lua'}", f"http://127.0.0.1:{port}/", "--", file.name,
        ]  # fmt: skip
        limit = whole + 2 * SPARE_SECONDS
        answer = subprocess.run(command, stdout=subprocess.PIPE, timeout=limit, check=True).stdout
    return msgspec.json.decode(answer.splitlines()[-1], type=Outcome)

"""A short schedule of faults breaks no promise, and nothing is left running. `make faults` takes longer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.faults.schedule import Outcome
from tests.journeys.service import children_of, is_alive, wait_until
from tests.stores import passable_directory

ROOT = Path(__file__).parents[2]
FAULTS = [sys.executable, "-m", "tests.faults"]
PROCESSES = 14
"""At least, of a stage that is up: two servers, PostgreSQL's own, two nodes with their workers and helpers."""


@pytest.mark.timeout(300)
def test_faults_break_no_promise(tmp_path: Path) -> None:
    told = tmp_path / "outcomes.json"
    command = [*FAULTS, "--seconds", "8", "--schedules", "2", "--seed", "20", "--json", str(told)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert told.exists(), done.stderr
    outcomes = msgspec.json.decode(told.read_bytes(), type=list[Outcome])
    assert [outcome.violations for outcome in outcomes] == [[], []], done.stdout
    assert done.returncode == 0, done.stdout
    assert [outcome.errors_logged for outcome in outcomes] == [[], []]
    for outcome in outcomes:
        assert outcome.answers["introspect active"] > 50 and outcome.answers["introspect inactive"] > 50
        assert outcome.answers["revoke token done"] > 5
        assert len(outcome.thrown) >= 2
        assert outcome.questions["redis"] > 100 and outcome.questions["postgresql"] > 100


@pytest.mark.timeout(300)
def test_nothing_is_left_of_a_stage_that_was_killed() -> None:
    with passable_directory() as directory:
        environ = os.environ | {"TMPDIR": str(directory)}
        command = [*FAULTS, "--seconds", "100", "--schedules", "1", "--seed", "1", "--only", "FLUSHALL"]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: len(children_of(process.pid)) >= PROCESSES, 60)
            started = children_of(process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_until(lambda: not any(map(is_alive, started)), 30)

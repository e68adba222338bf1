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
PROCESSES = 14
"""At least, of a stage that is up: two servers, PostgreSQL's own, two nodes with their workers and helpers."""


@pytest.mark.timeout(300)
def test_faults_break_no_promise_and_nothing_is_left_of_a_stage_that_was_killed(tmp_path: Path) -> None:
    """Killed in its second schedule: to start a stage takes longer than a schedule does."""
    told = tmp_path / "outcomes.json"
    options = ["--seconds", "6", "--schedules", "50", "--seed", "20", "--patience", "6", "--json", str(told)]
    with passable_directory() as directory, (tmp_path / "told").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults", *options],
            cwd=ROOT, env=os.environ | {"TMPDIR": str(directory)}, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            wait_until(lambda: told.exists() or process.poll() is not None, 280)
            assert process.poll() is None, (tmp_path / "told").read_text()
            started = children_of(process.pid)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert len(started) >= PROCESSES
        wait_until(lambda: not any(map(is_alive, started)), 30)
    (outcome,) = msgspec.json.decode(told.read_bytes(), type=list[Outcome])
    assert outcome.violations == []
    assert outcome.errors_logged == []
    assert outcome.answers["introspect active"] > 50 and outcome.answers["introspect inactive"] > 50
    assert outcome.answers["revoke under fire done"] > 5
    assert outcome.checked > 100
    assert outcome.thrown
    assert outcome.questions["redis"] > 50 and outcome.questions["postgresql"] > 50

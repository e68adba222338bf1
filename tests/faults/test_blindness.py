"""The faults see something: of a service that does without one rule they tell that a promise is broken.

One rule in every run; all of them, which takes minutes, with `AUTHSVC_FAULTS=deep`.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.faults.catalog import CATALOG
from tests.faults.lamed import RULES
from tests.faults.schedule import Outcome

ROOT = Path(__file__).parents[2]
IS_DEEP = os.environ.get("AUTHSVC_FAULTS") == "deep"


@dataclass(frozen=True)
class Sight:
    """What the want of a rule shows in: a fault, thrown in schedules of so many seconds, and the promise it breaks."""

    fault: str
    promise: str
    seconds: int = 5
    seed: int = 3


SIGHTS = {
    "an_unconfirmed_write_fences": Sight("one wire: cut", "C1"),
    "a_fence_waits": Sight("one wire: cut", "C1"),
    "a_lease_ends": Sight("one wire: cut", "C1"),
    "every_call_checks_the_owner": Sight("an old snapshot is loaded alive", "C1"),
    "a_reload_forgets_the_owner": Sight("an old snapshot is loaded alive", "C1"),
    "the_marker_follows_the_marks": Sight("FLUSHALL", "C1"),
    "not_revoked_is_never_remembered": Sight("Redis is 5 ms away", "C1"),
    "doubt_is_resolved_in_postgresql": Sight("FLUSHALL", "C4"),
    "a_commit_is_durable": Sight("PostgreSQL crashes", "durability"),
}
SCHEDULES = 12
"""At most: the first one that shows it is the last one, and with these seeds that was the first of all."""
PATIENCE = "6"
"""A machine that runs other tests at the same time is slow, and Redis is not to be away for that alone."""
SHALLOW = "a_lease_ends"


def test_every_rule_that_can_be_done_without_is_missed() -> None:
    assert SIGHTS.keys() == RULES.keys()
    assert {sight.fault for sight in SIGHTS.values()} <= CATALOG.keys()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("rule", SIGHTS)
def test_without_a_rule_a_promise_is_broken(rule: str, tmp_path: Path) -> None:
    if rule != SHALLOW and not IS_DEEP:
        pytest.skip("takes minutes: set AUTHSVC_FAULTS=deep")
    sight = SIGHTS[rule]
    told = tmp_path / "outcomes.json"
    options = ["--seconds", str(sight.seconds), "--seed", str(sight.seed), "--schedules", str(SCHEDULES)]
    options += ["--patience", PATIENCE, "--only", sight.fault, "--without", rule, "--json", str(told)]
    command = [sys.executable, "-m", "tests.faults", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=380, check=False)
    assert told.exists(), done.stderr
    outcomes = msgspec.json.decode(told.read_bytes(), type=list[Outcome])
    assert any(f" {sight.promise}: " in each for outcome in outcomes for each in outcome.violations), done.stdout
    assert done.returncode == 1

"""The faults see something: of a service that does without one rule they tell that a promise is broken.

One rule in every run; all of them, which takes minutes, with `AUTHSVC_FAULTS=deep`.
"""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.faults.catalog import CATALOG
from tests.faults.lamed import RULES
from tests.faults.schedule import Outcome

ROOT = Path(__file__).parents[2]
IS_DEEP = os.environ.get("AUTHSVC_FAULTS") == "deep"
SHALLOW = "an_unconfirmed_write_fences"
CAUGHT = {
    "an_unconfirmed_write_fences": ("one wire: cut", "C1"),
    "a_fence_waits": ("one wire: cut", "C1"),
    "a_lease_ends": ("one wire: cut", "C1"),
    "every_call_checks_the_owner": ("an old snapshot is loaded alive", "C1"),
    "a_reload_forgets_the_owner": ("an old snapshot is loaded alive", "C1"),
    "the_marker_follows_the_marks": ("FLUSHALL", "C1"),
    "not_revoked_is_never_remembered": ("Redis is 5 ms away", "C1"),
    "doubt_is_resolved_in_postgresql": ("FLUSHALL", "C4"),
    "a_commit_is_durable": ("PostgreSQL crashes", "durability"),
}
"""The fault that the want of each rule shows in, and the promise that it breaks."""


def test_every_rule_that_can_be_done_without_is_missed() -> None:
    assert CAUGHT.keys() == RULES.keys()
    assert {fault for fault, _ in CAUGHT.values()} <= CATALOG.keys()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", CAUGHT)
def test_without_a_rule_a_promise_is_broken(rule: str, tmp_path: Path) -> None:
    if rule != SHALLOW and not IS_DEEP:
        pytest.skip("takes minutes: set AUTHSVC_FAULTS=deep")
    fault, promise = CAUGHT[rule]
    told = tmp_path / "outcomes.json"
    options = ["--seconds", "12" if IS_DEEP else "4", "--schedules", "1", "--seed", "3"]
    command = [sys.executable, "-m", "tests.faults", *options, "--only", fault, "--without", rule, "--json", str(told)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert told.exists(), done.stderr
    (outcome,) = msgspec.json.decode(told.read_bytes(), type=list[Outcome])
    assert any(f" {promise}: " in violation for violation in outcome.violations), done.stdout
    assert done.returncode == 1

"""The benchmark runs, its answers are right, and nothing is left of it. How fast anything is, no test asserts."""

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from authsvc.flows.recognition import Recognition
from tests.benchmarks import unchecked
from tests.benchmarks.case import POSTGRESQL, RAW, REDIS, with_ceilings
from tests.benchmarks.cases import CASES
from tests.benchmarks.cpu import family, share_out
from tests.benchmarks.generator import Outcome, replay
from tests.benchmarks.load import find_generator
from tests.benchmarks.server import Server, running
from tests.benchmarks.traffic import Connection, Traffic, WrongAnswer, get, post

CHECKOUT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "tests.benchmarks"]
RIGHT = Traffic([get("/"), post("/oauth2/introspect", {"token": "a"}, ("client", "secret"))], b'"active":true')
WRONG = Traffic(RIGHT.requests, b'"active":false')


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running("tests.benchmarks.ceilings:raw", share_out().server, environ={}) as server:
        with Connection(server.port) as connection:
            connection.check(RIGHT, "raw", most=1)
        yield server


def test_a_round(tmp_path: Path) -> None:
    wanted = {
        "introspect active, on PostgreSQL, 64 connections",
        "introspect forged",
        "forward-auth active",
        "refresh, 16 connections",
        "mixed, 90 % introspection",
        "introspect active, 200 a second, beside logins",
        "JWKS, not modified",
    }
    cases = [case for case in CASES if case.name in wanted]
    options = ["--generator", "bundled", "--rounds", "1", "--seconds", "0.05", "--tokens", "8", "--no-peers"]
    options += [f"--only={case.name}" for case in cases]
    files = [f"--{kind}={tmp_path / kind}" for kind in ("json", "markdown", "plot")]
    done = subprocess.run([*COMMAND, *options, *files], cwd=CHECKOUT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr

    run: dict[str, Any] = msgspec.json.decode((tmp_path / "json").read_bytes())
    assert [result["case"] for result in run["results"]] == [case.name for case in with_ceilings(tuple(cases))]
    for result in run["results"]:
        assert result["median"]["per_second"] > 0
        assert len(result["rounds"]) == 1
    by_name = {result["case"]: result for result in run["results"]}
    for case in cases:
        assert set(by_name[case.name]["cheaper"]) == set(by_name[case.name]["faster"]) == set(case.against)
        assert [goal["words"] for goal in by_name[case.name]["goals"]] == [goal.words for goal in case.goals]
        assert case.name in done.stdout
    lines = (tmp_path / "markdown").read_text().splitlines()
    assert sum(line.startswith("|") for line in lines) == len(run["results"]) + 2
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    assert (tmp_path / "plot").read_text().startswith("<svg")

    remembered = [fact["measured"] for fact in run["facts"] if fact["unit"] == "bytes"]
    assert len(remembered) == 2
    assert all(500 < size < 1_000 for size in remembered)
    assert by_name["introspect active, 200 a second, beside logins"]["median"]["beside_per_second"] > 0

    answered_by = run["answered_by"]
    assert answered_by[POSTGRESQL]["redis"] == 0 < answered_by[POSTGRESQL]["postgresql"]
    assert answered_by[REDIS]["redis"] > 0  # where the tokens were minted


def test_what_is_left_unchecked_is_what_the_service_checks() -> None:
    # They are set from outside, by their names: no checker of types would miss them.
    for real, stand_in in ((Recognition.is_live, unchecked._is_live), (Recognition.ask, unchecked._ask)):
        wanted, given = inspect.signature(real).parameters, inspect.signature(stand_in).parameters
        assert list(wanted)[1:] == list(given)[1:]
        assert inspect.iscoroutinefunction(real) == inspect.iscoroutinefunction(stand_in)


def test_a_terminated_run_leaves_nothing_behind() -> None:
    run = subprocess.Popen(
        [*COMMAND, "--only=JWKS", "--seconds=60", "--tokens=2"],
        cwd=CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert run.stderr is not None
    assert any(b"are up" in line for line in run.stderr)  # the service may have something to say before
    started = {each.pid for each in family(run.pid)}
    assert len(started) > 4  # PostgreSQL, Valkey, the service, a ceiling
    run.send_signal(signal.SIGTERM)
    assert run.wait(30) == 128 + signal.SIGTERM
    run.stderr.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < deadline
        time.sleep(0.05)


GENERATORS = [
    "bundled",
    pytest.param("wrk", marks=pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")),
]


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_counts_what_was_answered(server: Server, name: str) -> None:
    found, put = find_generator(name)
    outcome = put(server.port, RIGHT, 4, 0.2, None)
    outcome.check("raw")
    assert found == name
    assert outcome.seconds >= 0.2
    assert 0 < outcome.p50_ms <= outcome.p99_ms


def test_a_wrong_answer_is_no_measurement(server: Server) -> None:
    outcome = replay(server.port, WRONG, 2, 0.05)
    assert outcome.failed["answer"] == outcome.requests
    with pytest.raises(WrongAnswer):
        outcome.check("raw")
    with Connection(server.port) as connection, pytest.raises(WrongAnswer):
        connection.check(WRONG, "raw", most=1)


def test_no_answer_is_no_measurement() -> None:
    with pytest.raises(WrongAnswer):
        Outcome(requests=0, seconds=1.0, p50_ms=0.0, p99_ms=0.0, failed={}).check(RAW)


def test_the_time_that_a_server_computes_is_counted(server: Server) -> None:
    before = server.cpu_seconds()
    outcome = replay(server.port, RIGHT, 16, 0.3)
    spent = server.cpu_seconds() - before
    assert 0 < spent / outcome.requests < 0.01
    assert [each.pid for each in family(server.pid)] == [server.pid]
    assert os.getpid() in {each.pid for each in family(os.getpid())}


def test_an_unknown_case_is_refused() -> None:
    done = subprocess.run(
        [*COMMAND, "--only=nothing like it"], cwd=CHECKOUT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert CASES[0].name in done.stderr

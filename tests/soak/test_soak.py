"""The soak finds what grows, and nothing where nothing does; a short one goes well."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.soak.acts import Token
from tests.soak.memory import MIB, Sample, look, trend_of

ROOT = Path(__file__).parents[2]


def samples(*mib: float) -> list[Sample]:
    return [Sample(at=36.0 * at, pid=1, rss=round(each * MIB), descriptors=5 + at % 3) for at, each in enumerate(mib)]


def test_what_grows_is_found() -> None:
    trend = trend_of(samples(*(50 + 0.1 * at for at in range(100))), warm_after=0)
    assert trend.slope_mib_per_hour == pytest.approx(10, rel=0.01)
    assert trend.last_mib > trend.first_mib + 8


def test_what_was_filled_before_is_no_growth() -> None:
    warming = [10.0 + at for at in range(40)]
    assert trend_of(samples(*warming, *[50.0] * 60), warm_after=40 * 36.0).slope_mib_per_hour == 0


def test_a_single_outlier_is_no_growth() -> None:
    assert trend_of(samples(*[50.0] * 99, 90.0), warm_after=0).slope_mib_per_hour == 0


def test_the_most_descriptors_are_told() -> None:
    assert trend_of(samples(1, 1, 1, 1), warm_after=0).most_descriptors == 7


def test_a_process_that_is_gone_has_no_sample() -> None:
    (mine,) = look([1 << 22, os.getpid()], 0.0)
    assert mine.rss > MIB and mine.descriptors > 2


@pytest.mark.parametrize(
    ("active", "asked", "answered", "wrong"),
    [
        (True, 0.0, 0.1, None),
        (False, 5.0, 6.0, "a live token is told to be dead, 6.0 s old"),
        (False, 588.0, 589.0, "a live token is told to be dead, 589.0 s old"),
        (False, 589.0, 591.0, None),
        (True, 609.0, 609.1, None),
        (True, 611.0, 612.0, "a token is told to be live 11.0 s after its end"),
        (False, 611.0, 612.0, None),
    ],
)
def test_a_token_lives_until_its_end(active: bool, asked: float, answered: float, wrong: str | None) -> None:
    assert Token("any", 0.0, 600.0).told_wrongly(active, asked, answered) == wrong


def test_a_short_soak_goes_well(tmp_path: Path) -> None:
    """Its growth is not looked at: everything warms up in the first minutes."""
    told = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "0.1", "--callers", "4", "--seed", "1", "--json", told],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert told.exists(), done.stderr
    result = msgspec.json.decode(told.read_bytes())
    assert result["faults"] == [] and result["errors_logged"] == 0
    assert result["statuses"]["introspect 200"] > 50
    assert len(result["trends"]) >= 4

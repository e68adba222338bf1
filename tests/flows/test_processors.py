"""How many processors a container may use (cgroup v2), from the files that the kernel shows."""

import os
from pathlib import Path

import pytest

from authsvc.adapters.processors import count_processors


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


def count(tmp_path: Path, own: str | None, **limits: str) -> int:
    """With these `cpu.max` by group; `_` stands for the slash in its name, and alone for the root."""
    for group, text in limits.items():
        folder = tmp_path / "cgroup" / group.strip("_").replace("_", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(text)
    file = tmp_path / "self"
    if own is not None:
        file.write_text(own)
    return count_processors(tmp_path / "cgroup", file)


@pytest.mark.parametrize(
    ("limit", "processors"),
    [
        ("max 100000\n", 16),
        ("200000 100000\n", 2),
        ("350000 100000\n", 3),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("6400000 100000\n", 16),
        ("100000 50000\n", 2),
        ("", 16),
        ("max", 16),
        ("200000 0\n", 16),
        ("-1 100000\n", 16),
        ("two 100000\n", 16),
    ],
)
def test_a_quota_counts_in_whole_processors(tmp_path: Path, limit: str, processors: int) -> None:
    assert count(tmp_path, "0::/\n", _=limit) == processors


def test_the_tightest_quota_on_the_way_to_the_root_counts(tmp_path: Path) -> None:
    own = "0::/pod/container\n"
    assert count(tmp_path, own, pod_container="400000 100000") == 4
    assert count(tmp_path, own, pod="300000 100000") == 3
    assert count(tmp_path, own, pod_other="100000 100000") == 3
    assert count(tmp_path, own, _="200000 100000") == 2


@pytest.mark.parametrize(
    "own", [None, "", "1:cpu:/pod\n4:memory:/pod\n", "0::/../../pod\n", "0::/gone\n"],
    ids=["no file", "empty", "cgroup v1", "outside of what is seen", "a group that is not there"],
)  # fmt: skip
def test_where_the_group_is_not_known_the_root_counts(tmp_path: Path, own: str | None) -> None:
    assert count(tmp_path, own, pod="100000 100000") == 16
    assert count(tmp_path, own, pod="100000 100000", _="300000 100000") == 3


def test_the_affinity_of_the_process_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert count(tmp_path, "0::/\n", _="400000 100000") == 2


def test_where_there_is_no_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    for processors, counted in [(6, 6), (None, 1)]:
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        assert count(tmp_path, None) == counted

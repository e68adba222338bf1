"""How many processors this process may use: in a container that is fewer than the machine has."""

import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def count_processors(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """At least 1. The smallest of: the machine, the affinity of this process, and the quotas of cgroup v2 (`cpu.max`)
    on the way from its group to the root; of a quota the whole processors count."""
    return max(1, min([_by_affinity(), *_quotas(root, own)]))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path, own: Path) -> list[int]:
    group = root / _own_group(own)
    folders = [group, *group.parents]
    return [quota for folder in folders[: folders.index(root) + 1] if (quota := _quota(folder / "cpu.max")) is not None]


def _own_group(own: Path) -> str:
    """The line of v2 is the one without controllers: `0::/user.slice/some.service`."""
    groups = [line.removeprefix("0::/") for line in _read(own).splitlines() if line.startswith("0::/")]
    return groups[0] if groups and ".." not in groups[0].split("/") else ""


def _quota(path: Path) -> int | None:
    """`max 100000` is no limit, `150000 100000` is one and a half processors."""
    match _read(path).split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) // int(period)
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

"""What the processes of a service hold, from the kernel's books, and whether it grows."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

MIB = 1 << 20
_PAGE = 4096


class Sample(msgspec.Struct, frozen=True):
    """One look at one process."""

    at: float
    """Seconds since the load began."""
    pid: int
    rss: int
    """Bytes."""
    descriptors: int


def look(pids: Sequence[int], at: float) -> list[Sample]:
    """A sample of each process that lives."""
    found = []
    for pid in pids:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:  # it has ended
            continue
        found.append(Sample(at, pid, pages * _PAGE, descriptors))
    return found


class Trend(msgspec.Struct, frozen=True):
    """How one process fared after it had warmed up."""

    pid: int
    first_mib: float
    last_mib: float
    """Each the median of a tenth of the samples."""
    slope_mib_per_hour: float
    """By Theil and Sen: the median of all slopes, which no single sample moves."""
    most_descriptors: int


def trend_of(samples: Sequence[Sample], *, warm_after: float) -> Trend:
    """Of the samples of one process, those from `warm_after` on."""
    warm = [each for each in samples if each.at >= warm_after] or list(samples)
    tenth = max(1, len(warm) // 10)
    slopes = [
        (later.rss - earlier.rss) / (later.at - earlier.at)
        for at, earlier in enumerate(warm)
        for later in warm[at + 1 :]
        if later.at > earlier.at
    ]
    return Trend(
        pid=warm[0].pid,
        first_mib=_median([each.rss for each in warm[:tenth]]) / MIB,
        last_mib=_median([each.rss for each in warm[-tenth:]]) / MIB,
        slope_mib_per_hour=_median(slopes or [0.0]) * 3600 / MIB,
        most_descriptors=max(each.descriptors for each in warm),
    )


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]

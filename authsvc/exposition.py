"""Several processes, one set of numbers.

With `PROMETHEUS_MULTIPROC_DIR` set before the library is imported, each process writes files of its own there, and
`exposition` adds them up. Such a process is spawned, never forked.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector


class _SharedValue:
    """Mixed into the library's value that lives in a memory-mapped file: the same file, the same promises, and a
    quarter of the cost.

    The library takes a lock, asks for the process id and packs bytes at each increment, and one introspection is five
    increments. Here an increment is one addition in the mapped memory. It needs no lock: CPython changes threads at
    calls and at loops, and there is neither between the reading and the writing. A mapping that the library has since
    replaced by a longer one shows the same pages of the same file.
    """

    _file: Any
    _key: str

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cells = memoryview(self._file._m).cast("d")
        self._at = self._file._positions[self._key] // self._cells.itemsize

    def inc(self, amount: float) -> None:
        self._cells[self._at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        self._cells[self._at] = value
        self._cells[self._at + 1] = timestamp or 0.0

    def get(self) -> float:
        return float(self._cells[self._at])


def adder(child: Counter | Gauge) -> Callable[[float], None]:
    """What adds to this one. The library looks first whether it has labels, each time."""
    add: Callable[[float], None] = child._value.inc
    return add


def observer(child: Histogram) -> Callable[[float], None]:
    """What has this one observe a value."""
    bounds, add_sum, adders = child._upper_bounds, child._sum.inc, [bucket.inc for bucket in child._buckets]

    def observe(value: float) -> None:
        add_sum(value)
        adders[bisect_left(bounds, value)](1)

    return observe


def share_cheaply() -> None:
    """Put `_SharedValue` in front of the library's own, where there are files at all."""
    library = values.ValueClass
    if library._multiprocess and not issubclass(library, _SharedValue):
        values.ValueClass = type("SharedValue", (_SharedValue, library), {})


def stay_out() -> None:
    """Nothing that this process counts from now on is shared: it looks at the others only."""
    values.ValueClass = values.MutexValue


def exposition(directory: str, accept: str = "") -> tuple[bytes, str]:
    """The sums over all processes that write to `directory`, and their content type (PRO-08)."""
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library trips over a version that is no number
        encode, content_type = choose_encoder("")
    registry = CollectorRegistry()
    registry.register(_Files(Path(directory)))
    return encode(registry), content_type


class _Files(Collector):
    """The library's sums, without the files that a process has just made, or left, empty: they stop it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._directory.glob("*.db") if _size(file)]
        return MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call,no-any-return]


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # the gauges of a process that has just died
        return 0

"""CPU time of processes, from the kernel's books, and who runs on which core."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat."""

    pid: int
    parent: int
    name: str
    seconds: float
    """User and system time of its own, and of the children that have ended."""


def family(root: int) -> list[Process]:
    """This process and all below it."""
    processes = _all()
    found: list[Process] = []
    wanted = {root}
    while fresh := [each for each in processes if each.pid in wanted]:
        found += fresh
        parents = {each.pid for each in fresh}
        wanted = {each.pid for each in processes if each.parent in parents}
    return found


def seconds_of(processes: list[Process]) -> float:
    return sum(each.seconds for each in processes)


def resident_bytes(pid: int) -> int:
    """The memory that a process holds, what it shares with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _all() -> list[Process]:
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                text = (directory / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has just ended
                continue
            # The name stands in brackets and may hold anything; proc(5) counts the fields behind it from 3.
            name, _, rest = text.partition("(")[2].rpartition(")")
            fields = rest.split()
            ticks = sum(int(field) for field in fields[11:15])
            found.append(Process(int(directory.name), int(fields[1]), name, ticks / _TICKS))
    return found


@dataclass(frozen=True, slots=True)
class Cores:
    """The server gets one core, all that puts load on it the others. Where there is but one, both share it."""

    server: frozenset[int]
    load: frozenset[int]

    @property
    def every(self) -> frozenset[int]:
        return self.server | self.load

    @property
    def are_apart(self) -> bool:
        return self.server.isdisjoint(self.load)


def share_out() -> Cores:
    """Of the cores that this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return Cores(frozenset(usable), frozenset(usable))
    return Cores(frozenset(usable[-1:]), frozenset(usable[:-1]))

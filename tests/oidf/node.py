"""Node, and the clients that judge us there: installed once, at the pinned versions, below the user's cache."""

import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

from tests.deploy.tools import missing

HERE = Path(__file__).parent / "validators"
SECONDS = 90
"""The longest that a registry may take."""


@cache
def installed() -> Path:
    """Where the scripts lie beside their libraries. Who comes first installs them; the others find all or nothing."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            missing(f"{program} is not installed: apt-get install nodejs npm")
    files = sorted(HERE.iterdir())
    digest = sha256(b"\0".join(file.name.encode() + b"\0" + file.read_bytes() for file in files)).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / f"authsvc-validators-{digest[:12]}"
    if not home.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _install(Path(mkdtemp(prefix="authsvc-validators-", dir=cache)), home)
    return home


def _install(place: Path, home: Path) -> None:
    try:
        shutil.copytree(HERE, place, dirs_exist_ok=True)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        try:
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, timeout=SECONDS, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            missing(f"npm ci did not end within {SECONDS} seconds")
        if done.returncode:
            missing(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
        try:
            place.rename(home)
        except OSError:
            assert home.exists()  # somebody else was faster
    finally:
        shutil.rmtree(place, ignore_errors=True)

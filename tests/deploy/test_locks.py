"""What goes into the image: `deploy/requirements.lock` is the runtime part of `requirements.lock`, and no more."""

import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.tools import DEPLOY, ROOT

RUNTIME, BUILD = DEPLOY / "requirements.lock", DEPLOY / "requirements-build.lock"
# Those of the supported Pythons, on what the image may be: Linux.
ENVIRONMENTS = [
    {"python_version": version, "python_full_version": full, "sys_platform": "linux", "platform_system": "Linux"}
    for version, full in (("3.11", "3.11.2"), ("3.13", "3.13.5"))
]


def pins(lock: Path) -> dict[str, str]:
    """Of each package the line that pins it, with its marker."""
    found = re.findall(r"^([a-z0-9-]+)(==[^\\\n]+)", lock.read_text(), re.MULTILINE)
    return {name: " ".join(rest.split()) for name, rest in found}


def needed(roots: list[str], environment: dict[str, str]) -> set[str]:
    """Every package that these need there, they themselves included; as the installed packages say."""
    found: set[str] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        requirement = todo.pop()
        for extra in ["", *requirement.extras]:
            name = canonicalize_name(requirement.name)
            if (key := f"{name}[{extra}]") in found:
                continue
            found.add(key)
            for text in _requires(name):
                child = Requirement(text)
                if child.marker is None or child.marker.evaluate(environment | {"extra": extra}):
                    todo.append(child)
    return {key.partition("[")[0] for key in found}


def _requires(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for another Python than this one
        return []


def _version(pin: str) -> str:
    return pin.partition(";")[0].strip()


@pytest.mark.parametrize("lock", [RUNTIME, BUILD], ids=lambda lock: lock.name)
def test_the_image_gets_the_versions_that_were_tested(lock: Path) -> None:
    everything = pins(ROOT / "requirements.lock")
    assert pins(lock)
    assert {name: pin for name, pin in pins(lock).items() if _version(everything.get(name, "")) != _version(pin)} == {}


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda environment: environment["python_version"])
def test_the_image_gets_all_that_the_service_needs_and_nothing_else(environment: dict[str, str]) -> None:
    ours = needed(["authsvc"], environment) - {"authsvc"}
    there = {
        name
        for name, pin in pins(RUNTIME).items()
        if ";" not in pin or Requirement(f"x{pin}").marker.evaluate(environment)  # type: ignore[union-attr]
    }
    assert there == ours


def test_the_build_gets_all_that_it_needs() -> None:
    assert needed(["hatchling"], ENVIRONMENTS[0]) <= set(pins(BUILD))


@pytest.mark.parametrize("lock", [RUNTIME, BUILD], ids=lambda lock: lock.name)
def test_a_lock_names_digests_and_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    for block in re.split(r"\n(?=[a-z])", text.strip()):
        assert "--hash=sha256:" in block, block.partition("\n")[0]

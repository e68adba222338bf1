"""The house keeps its shape: floors, sizes, and where the outside may be touched."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "authsvc"
MODULES = sorted(PACKAGE.rglob("*.py"))

WALL = 400
HOMELESS = {"utils", "helpers", "common", "base", "services", "core", "manager"}


def test_each_floor_knows_only_the_floors_below_it() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_has_a_purpose_and_a_bearable_size(path: Path) -> None:
    text = path.read_text()
    assert path.stem not in HOMELESS
    assert text.count("\n") <= WALL
    assert ast.get_docstring(ast.parse(text)), "says in its first line what it is for"


def _uses(path: Path, owner: str, name: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_the_environment_is_read_at_the_doors_alone() -> None:
    readers = {path.relative_to(PACKAGE).parts[0] for path in MODULES if _uses(path, "os", "environ")}
    assert readers <= {"app.py", "cli"}


def test_only_the_clock_knows_the_wall_clock() -> None:
    tellers = [("time", "time"), ("datetime", "now"), ("datetime", "utcnow")]
    found = {path.name for path in MODULES for owner, name in tellers if _uses(path, owner, name)}
    assert found <= {"clock.py", "logs.py"}


def test_only_entropy_makes_secrets() -> None:
    makers = {path.name for path in MODULES if {"secrets", "random"} & _imported(path)}
    assert makers == {"entropy.py"}


def _imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_queries_name_their_columns_and_stand_on_their_floor() -> None:
    for path in MODULES:
        text = path.read_text().upper()
        assert "SELECT *" not in text
        if path.parent.name not in {"tables", "embedded"} and path.name != "migrate.py":
            assert not any(f"{verb} AUTH." in text for verb in ("FROM", "INTO", "UPDATE")), path

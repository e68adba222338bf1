"""What the documents promise is there, and what is there is documented."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from authsvc.metrics import ConnectionMetrics, Metrics
from authsvc.settings import Settings, environment_name
from authsvc.web.errors import PROBLEM_TYPE, TITLES
from authsvc.web.routes import APPS, BROWSER, GATEWAYS, ROWS, STATIC

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda setting: setting.name)
def test_every_setting_is_documented_in_its_own_words(setting: object) -> None:
    text = (DOCS / "settings.md").read_text()
    assert f"`{environment_name(setting.name)}`" in text  # type: ignore[attr-defined]
    assert setting.metadata["doc"] in text  # type: ignore[attr-defined]


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {environment_name(setting.name) for setting in fields(Settings)}
    known |= {name + "_FILE" for name in known} | {"AUTHSVC_CONFIG_FILE"}
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        unknown = set(re.findall(r"AUTHSVC_[A-Z_]+[A-Z]", page.read_text())) - known
        assert not {name for name in unknown if not name.startswith("AUTHSVC_TEST_")}, page


@pytest.mark.parametrize("row", [*ROWS, *APPS, *BROWSER, *STATIC], ids=lambda row: f"{row.method} {row.path}")
def test_every_route_is_documented(row: object) -> None:
    assert f"`{row.method} {row.path}`" in (DOCS / "http-api.md").read_text()  # type: ignore[attr-defined]


def test_what_has_any_method_is_documented_without_one() -> None:
    for row in GATEWAYS:
        assert f"### `{row.path}`" in (DOCS / "http-api.md").read_text()


@pytest.mark.parametrize("code", TITLES)
def test_every_problem_type_is_documented(code: str) -> None:
    assert f"`{PROBLEM_TYPE}{code.replace('_', '-')}`" in (DOCS / "http-api.md").read_text()


def test_every_metric_is_documented() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    ConnectionMetrics(registry)
    text = (DOCS / "operations.md").read_text()
    for family in registry.collect():
        assert f"`{family.name}" in text, family.name


def test_no_link_between_the_documents_is_broken() -> None:
    for page in [*DOCS.rglob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_nothing_is_put_off() -> None:
    for path in [*(ROOT / "authsvc").rglob("*.py"), *(ROOT / "migrations").glob("*.sql")]:
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text()), path

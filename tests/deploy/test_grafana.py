"""The dashboard: every expression of it, asked of a Prometheus that watches a real service, shows something."""

import json
import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from authsvc.metrics import ConnectionMetrics, Metrics
from tests.deploy.conftest import Prometheus
from tests.deploy.promql import grouping_labels, selectors
from tests.deploy.test_compose import EVERYTHING, SERVICES
from tests.deploy.tools import DEPLOY, read_yaml

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/authsvc.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [
    pytest.param(panel, target, id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel.get("targets", ())
]


def filled_in(expression: str) -> str:
    """The expression as Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".+")


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_a_panel_shows_what_there_is(panel: dict[str, Any], target: dict[str, Any], prometheus: Prometheus) -> None:
    expression = filled_in(target["expr"])
    assert "$" not in expression
    series = prometheus.query(expression)
    assert series
    assert any(each["value"][1] != "NaN" for each in series)
    for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]):
        assert all(label in each["metric"] for each in series), label


@pytest.mark.parametrize(("panel", "target"), TARGETS)
def test_a_panel_asks_for_series_that_there_are(
    panel: dict[str, Any], target: dict[str, Any], prometheus: Prometheus
) -> None:
    """Also in the parts of an expression that another part makes up for."""
    expression = filled_in(target["expr"])
    assert selectors(expression) or "ALERTS" in expression
    for selector in selectors(expression):
        assert prometheus.query(selector), selector
    assert grouping_labels(expression) <= set(prometheus.ask("labels"))


def test_whatever_the_service_measures_is_shown_or_watched() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    ConnectionMetrics(registry)
    text = json.dumps(DASHBOARD) + (DEPLOY / "prometheus/authsvc.rules.yaml").read_text()
    assert {family.name for family in registry.collect() if family.name not in text} == set()


def test_the_panels_do_not_cover_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    numbers = [panel["id"] for panel in PANELS]
    assert len(set(numbers)) == len(numbers)


def test_every_panel_asks_the_chosen_prometheus() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert all(target["datasource"] == chosen for target in panel["targets"])
    kinds = {variable["name"]: variable["type"] for variable in DASHBOARD["templating"]["list"]}
    assert kinds == {"datasource": "datasource", "instance": "query"}


def test_compose_puts_everything_where_grafana_looks_for_it() -> None:
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in SERVICES["grafana"]["volumes"])
    (provider,) = read_yaml(DEPLOY / "grafana/provisioning/dashboards/authsvc.yaml")["providers"]
    assert mounts["./grafana/authsvc.json"].startswith(provider["options"]["path"] + "/")
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    (source,) = read_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert set(SERVICES["prometheus"]["networks"]) & set(SERVICES["grafana"]["networks"])
    assert EVERYTHING["networks"]["monitoring"]["internal"]

"""Rules and alerts: well-formed, tested, documented, and about metrics and labels that the service really has."""

import re
from typing import Any

import pytest

from tests.deploy.conftest import PROMETHEUS, Prometheus
from tests.deploy.promql import grouping_labels, selectors
from tests.deploy.tools import ROOT, read_yaml, run, tool
from tests.journeys.service import Service

RULES: list[dict[str, Any]] = [
    rule for group in read_yaml(PROMETHEUS / "authsvc.rules.yaml")["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS = sorted(PROMETHEUS.glob("*.test.yaml"))

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
each_alert = pytest.mark.parametrize("name", ALERTS)


def test_the_configuration_and_the_rules_are_well_formed() -> None:
    run(tool("promtool"), "check", "config", PROMETHEUS / "prometheus.yaml")
    run(tool("promtool"), "check", "rules", "--lint-fatal", PROMETHEUS / "authsvc.rules.yaml")


def test_the_rules_do_what_their_tests_say() -> None:
    run(tool("promtool"), "test", "rules", *TESTS)


@each_alert
def test_every_alert_is_shown_to_fire_and_to_keep_quiet(name: str) -> None:
    cases = [case for file in TESTS for test in read_yaml(file)["tests"] for case in test["alert_rule_test"]]
    fires = [bool(case["exp_alerts"]) for case in cases if case["alertname"] == name]
    assert set(fires) == {True, False}


@each_alert
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


def test_every_runbook_is_of_an_alert() -> None:
    headings = re.findall(r"^#+ (Authsvc\w+)$", (ROOT / "docs/deployment.md").read_text(), re.MULTILINE)
    assert headings == list(ALERTS)


# --- Against a real service


def test_the_metrics_are_such_as_prometheus_wants_them(service: Service) -> None:
    run(tool("promtool"), "check", "metrics", input=service.ask_management("/metrics").text)


@each_rule
def test_a_rule_asks_for_series_that_there_are(rule: dict[str, Any], prometheus: Prometheus) -> None:
    for selector in selectors(rule["expr"]):
        assert prometheus.query(selector), selector
    labels = set(prometheus.ask("labels"))
    assert grouping_labels(rule["expr"]) <= labels


@pytest.mark.parametrize("rule", [rule for rule in RULES if "record" in rule], ids=lambda rule: rule["record"])
def test_a_recording_rule_records(rule: dict[str, Any], prometheus: Prometheus) -> None:
    recorded = prometheus.query(rule["record"])
    assert recorded
    assert any(series["value"][1] != "NaN" for series in recorded)


def test_no_rule_fails_and_no_alert_fires_on_a_service_that_is_well(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(RULES)
    assert {rule["health"] for rule in rules} == {"ok"}, [rule for rule in rules if rule["health"] != "ok"]
    # It has shed logins, on purpose: these two are on their way.
    on_their_way = {"AuthsvcErrors", "AuthsvcLoginsShed", "AuthsvcHashQueue"}
    assert {rule["name"] for rule in rules if rule.get("alerts")} <= on_their_way

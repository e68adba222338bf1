"""Reads the names and labels out of PromQL, as far as the expressions of `deploy/` need it."""

import re

# A name with matchers, or a name of ours without; not the label of a grouping, not a function.
_SELECTOR = re.compile(r"[A-Za-z_:][\w:]*\{[^}]*\}|(?<![\w:])(?:\w+:)?authsvc_\w+(?::\w+)?(?![\w:{])")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_OF_PROMETHEUS = "ALERTS{"


def selectors(expression: str) -> list[str]:
    """Every selector in it, with its matchers: `authsvc_logins_total{outcome="shed"}`."""
    found = set(_SELECTOR.findall(expression))
    return sorted(selector for selector in found if not selector.startswith(_OF_PROMETHEUS))


def grouping_labels(expression: str) -> set[str]:
    """Every label that it groups or joins by."""
    return {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")} - {""}

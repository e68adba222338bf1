"""What is wrong with a page as somebody meets it: found by axe-core, and by measuring (WCAG 2.2 AA)."""

from pathlib import Path

from tests.browser import Tab

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
ALL_RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
COLOURS = "['color-contrast']"
FAULTS = """
axe.run(document, {resultTypes: ["violations"], runOnly: %s}).then(found => found.violations.map(
    each => each.id + ": " + each.nodes.map(node => node.target + " " + (node.any[0] || {}).message).join("; ")))
"""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL = """
[...document.querySelectorAll("button, .button, summary, nav a, input:not([type=hidden]):not([hidden])")]
  .filter(each => each.checkVisibility())
  .map(each => [each.outerHTML, (each.type === "checkbox" ? each.closest("label") : each).getBoundingClientRect()])
  .filter(([, box]) => box.height < 24 || box.width < 24).map(([text]) => text)
"""


def find_faults(tab: Tab, rules: str = "") -> list[str]:
    """Of the page as it stands: against these rules of axe, wider than the window, too small to be hit."""
    found: list[str] = []
    if rules:
        if tab.js("typeof axe") == "undefined":
            tab.run(AXE)
        found += tab.js(FAULTS % rules)
    if wider := tab.js(SIDEWAYS):
        found.append(f"it goes {wider} pixels sideways")
    found += tab.js(SMALL)
    return found


def find_faults_at_both_widths(tab: Tab) -> list[str]:
    """On a phone in the dark, and at a desk by day."""
    tab.look(390, dark=True)
    found = find_faults(tab, ALL_RULES)
    tab.look(1280, dark=False)
    return found + find_faults(tab, COLOURS)

"""CPU time of one request, case by case, beside what each is held against: a drawing of the table.

On a logarithmic scale: the dearest case costs some hundred times what the cheapest does, and ratios are what to read.
"""

from collections.abc import Sequence
from html import escape
from math import log10

from tests.benchmarks.case import CEILINGS, PEERS, RAW, STAR_BODY, STAR_FORM
from tests.benchmarks.report import Run
from tests.benchmarks.rounds import Result

_LEFT, _WIDTH, _RIGHT = 370, 560, 70
_TOP, _ROW, _BOTTOM = 56, 20, 34
_COLOURS = {RAW: "#2a9d3a", STAR_BODY: "#d98a00", STAR_FORM: "#c0392b"}
_OURS, _PEER = "#1f5fa8", "#777777"


def build_plot(run: Run) -> str:
    """One SVG picture: a dot for each case, and a stroke where each of its ceilings was in the same rounds."""
    # What is answered beside something else has the cost of that in its own.
    rows = [each for each in run.results if each.app not in CEILINGS and not each.median.beside_per_second]
    figures = [cost for result in rows for cost in (result.median.cpu_us, *_ceilings(result).values())]
    scale = _Scale(min(figures, default=1.0), max(figures, default=1.0))
    bottom = _TOP + _ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="{bottom + _BOTTOM}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 20, f"CPU time of the server for one request, in microseconds ({run.at[:10]}): less is better"),
        *_legend(),
        *_axis(scale, bottom),
    ]
    for number, result in enumerate(rows):
        parts += _case(result, scale, _TOP + _ROW * number + _ROW // 2)
    return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """Where a cost is, between the powers of ten around all of them."""

    def __init__(self, least: float, most: float) -> None:
        self.first = int(log10(max(least, 1.0)))
        self.last = max(self.first + 1, -int(-log10(max(most, 1.0)) // 1))

    def at(self, cost: float) -> float:
        return round(_LEFT + _WIDTH * (log10(max(cost, 1.0)) - self.first) / (self.last - self.first), 1)


def _ceilings(result: Result) -> dict[str, float]:
    """What the ceilings cost in the rounds of the case, by the ratios of these."""
    return {app: result.median.cpu_us * ratio for app, ratio in result.cheaper.items()}


def _case(result: Result, scale: _Scale, y: int) -> Sequence[str]:
    x, cost = scale.at(result.median.cpu_us), result.median.cpu_us
    colour = _PEER if result.app in PEERS else _OURS
    return [
        _text(_LEFT - 10, y + 4, result.case, anchor="end"),
        f'<line x1="{_LEFT}" y1="{y}" x2="{_LEFT + _WIDTH}" y2="{y}" stroke="#eee"/>',
        *(
            _stroke(scale.at(ceiling), y, _COLOURS[app])
            for app, ceiling in _ceilings(result).items()
            if app in _COLOURS
        ),
        f'<circle cx="{x}" cy="{y}" r="5" fill="{colour}"/>',
        _text(x + 9, y + 4, f"{cost:.0f}", colour=colour),
    ]


def _axis(scale: _Scale, bottom: int) -> Sequence[str]:
    parts = []
    for power in range(scale.first, scale.last + 1):
        x = scale.at(10.0**power)
        parts.append(f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="#ccc"/>')
        parts.append(_text(x, bottom + 18, f"{10**power:,}", anchor="middle"))
    return parts


def _legend() -> Sequence[str]:
    parts, x = [], _LEFT
    for app, colour in _COLOURS.items():
        parts += [_stroke(x, 38, colour), _text(x + 8, 42, app)]
        x += 90
    for what, colour in (("this service", _OURS), ("another", _PEER)):
        parts += [f'<circle cx="{x}" cy="38" r="5" fill="{colour}"/>', _text(x + 10, 42, what)]
        x += 100
    return parts


def _stroke(x: float, y: int, colour: str) -> str:
    return f'<line x1="{x}" y1="{y - 7}" x2="{x}" y2="{y + 7}" stroke="{colour}" stroke-width="2.5"/>'


def _text(x: float, y: int, text: str, *, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'

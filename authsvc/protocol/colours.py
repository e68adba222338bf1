"""WCAG 2.2 §1.4.3: colours that can be told apart and read, whichever one the operator likes."""

import re
from typing import NamedTuple

LEGIBLE = 4.5
"""Contrast of text with what is behind it (level AA)."""

_HEX = re.compile(r"#([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})([0-9A-Fa-f]{2})")
_STEPS = 64


class Colour(NamedTuple):
    """sRGB, 0 to 255 each."""

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"


WHITE, BLACK = Colour(255, 255, 255), Colour(0, 0, 0)


def parse_colour(text: str) -> Colour:
    """`#rrggbb`.

    Raises:
        ValueError: it is written in another way.
    """
    if (found := _HEX.fullmatch(text)) is None:
        raise ValueError("must be a colour like #1f5fbf")
    return Colour(*(int(pair, 16) for pair in found.groups()))


def contrast(one: Colour, other: Colour) -> float:
    """From 1, the same, to 21, black and white (WCAG 2.2, "contrast ratio")."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def text_on(background: Colour) -> Colour:
    """White where that can be read, else black: one of them always can."""
    return WHITE if contrast(WHITE, background) >= LEGIBLE else BLACK


def legible_on(colour: Colour, background: Colour) -> Colour:
    """The colour itself, or the nearest on its way to black or white that can be read there as text."""
    end = text_on(background)
    for step in range(_STEPS):
        if contrast(mixed := mix(colour, end, step / _STEPS), background) >= LEGIBLE:
            return mixed
    return end


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """With this share of the other one."""
    return Colour(*(round(mine + (its - mine) * share) for mine, its in zip(colour, other, strict=True)))


def _luminance(colour: Colour) -> float:
    red, green, blue = (_linear(part / 255) for part in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

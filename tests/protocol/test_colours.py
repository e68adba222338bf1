"""Colours that can be read (WCAG 2.2 §1.4.3), whichever one the operator likes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from authsvc.protocol.colours import BLACK, LEGIBLE, WHITE, Colour, contrast, legible_on, mix, parse_colour, text_on

part = st.integers(0, 255)
colours = st.builds(Colour, part, part, part)


# Ratios as other tools give them.
@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#767676", "#ffffff", 4.54),
        ("#777777", "#ffffff", 4.48),
        ("#0000ff", "#ffffff", 8.59),
        ("#ff0000", "#ffffff", 4.0),
        ("#00ff00", "#000000", 15.3),
        ("#808080", "#000000", 5.32),
    ],
)
def test_contrast_is_what_wcag_says(one: str, other: str, ratio: float) -> None:
    assert contrast(parse_colour(one), parse_colour(other)) == pytest.approx(ratio, abs=0.01)
    assert contrast(parse_colour(other), parse_colour(one)) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(
    "text", ["", "red", "#fff", "#12345", "#1234567", "123456", "#12345g", "#\u0661\u0662345", " #123456"]
)
def test_a_colour_is_written_in_one_way(text: str) -> None:
    with pytest.raises(ValueError, match="must be a colour"):
        parse_colour(text)


@given(colours)
def test_a_colour_is_written_as_it_is_read(colour: Colour) -> None:
    assert parse_colour(str(colour)) == colour
    assert parse_colour(str(colour).upper()) == colour


@given(colours)
def test_text_on_any_colour_can_be_read(colour: Colour) -> None:
    assert contrast(text_on(colour), colour) >= LEGIBLE


@given(colours, colours)
@example(parse_colour("#ffff00"), WHITE)
@example(parse_colour("#000080"), BLACK)
def test_any_colour_is_made_legible_on_any_other(colour: Colour, background: Colour) -> None:
    made = legible_on(colour, background)
    assert contrast(made, background) >= LEGIBLE
    if contrast(colour, background) >= LEGIBLE:
        assert made == colour


@given(colours, colours)
def test_a_mixture_lies_between(one: Colour, other: Colour) -> None:
    assert mix(one, other, 0) == one
    assert mix(one, other, 1) == other
    for low, mixed, high in zip(one, mix(one, other, 0.5), other, strict=True):
        assert min(low, high) <= mixed <= max(low, high)

"""Curves are where their values are: braille is read back dot by dot."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from weldcache.train.display.curves import Curve, draw_curves

AXIS = 9  # characters of the labels and the axis
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))


def dots_of(lines: Sequence[Text]) -> dict[int, list[int]]:
    """Rows from the top of the dots that are set, by column."""
    dots: dict[int, list[int]] = {}
    for row, line in enumerate(lines[:-1]):
        for column, character in enumerate(line.plain[AXIS:]):
            for x, bits in enumerate(BITS):
                for y, bit in enumerate(bits):
                    if 0x2800 <= ord(character) < 0x2900 and (ord(character) - 0x2800) & bit:
                        dots.setdefault(2 * column + x, []).append(4 * row + y)
    return dots


def one(values: Sequence[float | None], *, width: int = 39, height: int = 9, logarithmic: bool = False) -> list[Text]:
    return draw_curves([Curve("x", values, "cyan")], width=width, height=height, logarithmic=logarithmic)


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right() -> None:
    dots = dots_of(one([0.0, 1.0]))
    assert sorted(dots) == list(range(60))  # 30 characters, no gap
    heights = [sum(dots[column]) / len(dots[column]) for column in sorted(dots)]
    assert heights[0] == 31 and heights[-1] == 0
    assert heights == sorted(heights, reverse=True)


@given(st.lists(st.floats(0.001, 1000), min_size=2, max_size=500), st.booleans())
def test_what_falls_only_never_looks_as_if_it_rose(values: list[float], logarithmic: bool) -> None:
    values.sort(reverse=True)
    dots = dots_of(one(values, logarithmic=logarithmic))
    tops = [min(dots[column]) for column in sorted(dots)]
    assert tops == sorted(tops)
    assert sorted(dots) == list(range(60))


@example([-1.7e308, 1.7e308], 40, 10)
@given(st.lists(st.none() | st.floats(), max_size=60), st.integers(10, 80), st.integers(2, 20))
def test_whatever_the_values_it_is_as_large_as_asked(values: list[float | None], width: int, height: int) -> None:
    lines = draw_curves([Curve("x", values, "cyan")], width=width, height=height, mark=("x", 3))
    assert [line.cell_len for line in lines] == [width] * height


def test_the_ends_of_both_axes_are_named() -> None:
    lines = [line.plain for line in one([0.91234, 0.5, 0.75])]
    assert lines[0].startswith("   0.912┤") and lines[-2].startswith("     0.5┤")
    assert {line[:AXIS] for line in lines[1:-2]} == {"        │"}
    assert lines[-1].split() == ["1", "3"]


def test_labels_take_as_many_digits_as_tell_the_ends_apart() -> None:
    lines = [line.plain for line in one([0.91234, 0.91239])]
    assert lines[0].split("┤")[0].strip() == "0.9124" and lines[-2].split("┤")[0].strip() == "0.9123"


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_leaves_a_gap(missing: float | None) -> None:
    dots = dots_of(one([1.0, 1.0, missing, 2.0, 2.0], width=AXIS + 20))
    assert sorted(dots) == [*range(11), *range(29, 40)]  # two epochs of five to each side
    assert {row for column in range(11) for row in dots[column]} == {31}
    assert {row for column in range(29, 40) for row in dots[column]} == {0}


@pytest.mark.parametrize("values", [[0.25], [0.25] * 7, [0.0, 0.0], [-3.0]])
def test_a_flat_curve_lies_in_the_middle(values: list[float]) -> None:
    dots = dots_of(one(values))
    assert {row for rows in dots.values() for row in rows} <= {15, 16}
    assert len(dots) == (1 if len(values) == 1 else 60)


def test_nothing_to_draw_is_empty() -> None:
    for values in ([], [None, math.nan]):
        assert {line.plain.strip() for line in one(values)} == {""}


def test_a_logarithmic_curve_gives_each_decade_the_same_height() -> None:
    dots = dots_of(one([1000.0, 100.0, 10.0, 1.0], logarithmic=True))
    ends = [min(dots[column]) for column in (0, 20, 39, 59)]
    assert ends == pytest.approx([0, 31 / 3, 62 / 3, 31], abs=1)


def test_the_best_epoch_is_a_diamond_on_its_curve() -> None:
    values = [0.5, 0.9, 0.6, 0.7]
    curves = [Curve("other", [0.0, 0.1, 0.2, 0.3], "red"), Curve("val_auroc", values, "cyan")]
    lines = draw_curves(curves, width=39, height=9, mark=("val_auroc", 1))
    found = [(row, line.plain.index("◆") - AXIS) for row, line in enumerate(lines) if "◆" in line.plain]
    assert found == [(0, 10)]  # the highest value, a third of the way along


def test_curves_keep_their_colours_and_the_later_lies_on_top() -> None:
    lines = draw_curves(
        [Curve("low", [0.0, 0.0], "red"), Curve("high", [1.0, 1.0], "green"), Curve("too", [1.0, 1.0], "blue")],
        width=AXIS + 4,
        height=5,
    )
    colours = [{str(span.style) for span in line.spans if span.start >= AXIS and str(span.style)} for line in lines[:4]]
    assert colours == [{"blue"}, set(), set(), {"red"}]

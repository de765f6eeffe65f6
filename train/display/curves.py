"""Curves over epochs drawn in braille characters, each a grid of two by four dots."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.text import Text

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, then row from the top
_LABEL_WIDTH = 8
_MARK = "◆"


@dataclass(frozen=True)
class Curve:
    """One value an epoch; None and what is not finite leave a gap. `style` is a colour of rich."""

    name: str
    values: Sequence[float | None]
    style: str


@dataclass(frozen=True)
class _Scale:
    """Values to heights from 0 to 1."""

    low: float
    high: float
    logarithmic: bool

    def height(self, value: float) -> float:
        """Where a value lies between the ends."""
        low, high, value = (math.log(x) if self.logarithmic else x for x in (self.low, self.high, value))
        return (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: a whole range may be infinite


def draw_curves(
    curves: Sequence[Curve], *, width: int, height: int, mark: tuple[str, int] | None = None, logarithmic: bool = False
) -> list[Text]:
    """Curves of equal length in `height` lines of `width` characters, with the ends of both axes.

    Args:
        curves: the last one lies on top where they meet.
        width: more than the 9 that the axis takes.
        height: at least 2, of which the last line holds the epochs' numbers.
        mark: a curve's name and the position in it of a value that is shown as a diamond.
        logarithmic: whether heights go by the logarithm; all values are then positive.
    """
    columns, rows = width - _LABEL_WIDTH - 1, height - 1
    scale = _scale_of(curves, logarithmic=logarithmic)
    if scale is None:
        return [Text(" " * width) for _ in range(height)]
    cells, styles = [[_BLANK] * columns for _ in range(rows)], [[""] * columns for _ in range(rows)]
    for curve in curves:
        for x, y in _dots(curve.values, scale, columns=2 * columns, rows=4 * rows):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
            styles[y // 4][x // 2] = curve.style
    characters = [[chr(cell) for cell in row] for row in cells]
    place = _place_of(curves, mark, scale, columns=columns, rows=rows)
    if place is not None:
        characters[place[1]][place[0]], styles[place[1]][place[0]] = _MARK, "bold yellow"
    labels = _labels(scale, rows=rows)
    lines = [_line(*parts) for parts in zip(labels, characters, styles, strict=True)]
    return [*lines, _epochs_line(len(curves[0].values), columns=columns)]


def _scale_of(curves: Sequence[Curve], *, logarithmic: bool) -> _Scale | None:
    values = [value for curve in curves for value in curve.values if value is not None and math.isfinite(value)]
    if not values:
        return None
    low, high = min(values), max(values)
    if high / 2 - low / 2 <= 1e-9 * max(abs(low), abs(high)):  # a flat curve lies in the middle
        room = abs(high) / 10 or 1.0
        return _Scale(low - room, high + room, logarithmic=False)
    return _Scale(low, high, logarithmic)


def _dots(values: Sequence[float | None], scale: _Scale, *, columns: int, rows: int) -> Iterator[tuple[int, int]]:
    """Dots of a line through the values, column and row from the top."""
    before: tuple[int, int] | None = None
    for position, value in enumerate(values):
        if value is None or not math.isfinite(value):
            before = None
            continue
        x = _column(position, len(values), columns=columns)
        here = x, round((1 - scale.height(value)) * (rows - 1))
        yield here
        if before is not None:
            yield from _between(before, here)
        before = here


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    for step in range(1, steps):
        part = step / steps
        yield round(start[0] + part * (end[0] - start[0])), round(start[1] + part * (end[1] - start[1]))


def _column(position: int, count: int, *, columns: int) -> int:
    return round(position * (columns - 1) / max(count - 1, 1))


def _place_of(
    curves: Sequence[Curve], mark: tuple[str, int] | None, scale: _Scale, *, columns: int, rows: int
) -> tuple[int, int] | None:
    """Column and row of the character that the mark takes."""
    for curve in curves:
        if mark is not None and curve.name == mark[0] and mark[1] < len(curve.values):
            value = curve.values[mark[1]]
            if value is not None and math.isfinite(value):
                x = _column(mark[1], len(curve.values), columns=2 * columns) // 2
                return x, round((1 - scale.height(value)) * (4 * rows - 1)) // 4
    return None


def _labels(scale: _Scale, *, rows: int) -> list[str]:
    digits = next((digits for digits in (3, 4, 5) if f"{scale.low:.{digits}g}" != f"{scale.high:.{digits}g}"), 6)
    labels = [""] * rows
    labels[-1] = f"{scale.low:.{digits}g}"
    labels[0] = f"{scale.high:.{digits}g}"
    return [label[:_LABEL_WIDTH].rjust(_LABEL_WIDTH) for label in labels]


def _line(label: str, characters: Sequence[str], styles: Sequence[str]) -> Text:
    line = Text.assemble((label, "dim"), ("┤" if label.strip() else "│", "dim"), no_wrap=True)
    for style, run in groupby(zip(styles, characters, strict=True), key=itemgetter(0)):
        line.append("".join(character for _, character in run), style)
    return line


def _epochs_line(count: int, *, columns: int) -> Text:
    last = str(count) if count > 1 and len(str(count)) + 2 <= columns else ""
    return Text(" " * (_LABEL_WIDTH + 1) + "1" + last.rjust(columns - 1), "dim", no_wrap=True)

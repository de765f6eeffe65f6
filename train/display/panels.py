"""Which metrics are drawn together, and how their panels share a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.box import ROUNDED
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..runs.log import MetricRow
from .curves import Curve, draw_curves

_STYLES = ("cyan", "magenta", "green", "blue", "red", "white")
_NOT_DRAWN = ("epoch", "step", "seconds", "samples_per_second")
_LEAST_HEIGHT, _MOST_HEIGHT = 7, 16
_LEAST_WIDTH = 38


@dataclass(frozen=True)
class _Kind:
    """Metrics that share a panel, known by their names; `short` makes a name fit the legend."""

    title: str
    holds: Callable[[str], bool]
    short: Callable[[str], str] = str
    logarithmic: bool = False


_KINDS = (
    _Kind("loss", lambda name: name in ("loss", "val_loss"), logarithmic=True),
    _Kind("validation AUROC", lambda name: name == "val_auroc"),
    _Kind(
        "effective rank of embeddings",
        lambda name: name.endswith("_effective_rank"),
        short=lambda name: name.removesuffix("_effective_rank"),
    ),
    _Kind(
        "standard deviation of embeddings",
        lambda name: name.endswith("_std"),
        short=lambda name: name.removesuffix("_std"),
    ),
    _Kind("learning rate", lambda name: name == "lr"),
    _Kind(
        "terms of the loss",
        lambda name: name.startswith("loss_"),
        short=lambda name: name.removeprefix("loss_"),
        logarithmic=True,
    ),
    _Kind("norm of the gradient", lambda name: name == "gradient_norm", logarithmic=True),
)


@dataclass(frozen=True)
class _Plot:
    kind: _Kind
    curves: Sequence[Curve]


def lay_out(rows: Sequence[MetricRow], *, best: tuple[str, int] | None, width: int, height: int) -> Group:
    """Panels that fill `width` and at most `height`; the least important ones are left out where there is no room.

    `best` is the monitored metric's name and the position of its best epoch in `rows`.
    """
    plots = _plots_of(rows)
    columns, lines = max(width // _LEAST_WIDTH, 1), height // _LEAST_HEIGHT
    if not plots or not lines or width < _LEAST_WIDTH:
        return Group()
    lines = min(lines, -(-len(plots) // columns))
    shown = plots[: lines * columns]
    panel_height = min(height // lines, _MOST_HEIGHT)
    return Group(*(_row_of(part, best=best, width=width, height=panel_height) for part in _split(shown, lines)))


def _plots_of(rows: Sequence[MetricRow]) -> list[_Plot]:
    names = [
        name
        for name in dict.fromkeys(name for row in rows for name in row)
        if name not in _NOT_DRAWN
        and not name.endswith(("_std_min", "_std_max"))
        and any(row.get(name) is not None for row in rows)
    ]
    known = [(kind, [name for name in names if kind.holds(name)]) for kind in _KINDS]
    placed = {name for _, held in known for name in held}
    others = [(_Kind(name, name.__eq__), [name]) for name in names if name not in placed]
    return [
        _Plot(kind, [_curve(name, rows, style) for name, style in zip(held, _STYLES, strict=False)])
        for kind, held in [*known, *others]
        if held
    ]


def _curve(name: str, rows: Sequence[MetricRow], style: str) -> Curve:
    return Curve(name, [row.get(name) for row in rows], style)


def _split(plots: Sequence[_Plot], lines: int) -> list[Sequence[_Plot]]:
    """As even rows as can be, longer ones first."""
    size, longer = divmod(len(plots), lines)
    starts = [line * size + min(line, longer) for line in range(lines + 1)]
    return [plots[start:end] for start, end in pairwise(starts)]


def _row_of(plots: Sequence[_Plot], *, best: tuple[str, int] | None, width: int, height: int) -> Table:
    share, wider = divmod(width, len(plots))
    widths = [share + (position < wider) for position in range(len(plots))]
    row = Table.grid(padding=0)
    for column_width in widths:
        row.add_column(width=column_width)
    panels = zip(plots, widths, strict=True)
    row.add_row(*(_panel(plot, best=best, width=column_width, height=height) for plot, column_width in panels))
    return row


def _panel(plot: _Plot, *, best: tuple[str, int] | None, width: int, height: int) -> Panel:
    logarithmic = plot.kind.logarithmic and all((value or 1) > 0 for curve in plot.curves for value in curve.values)
    drawn = draw_curves(plot.curves, width=width - 3, height=height - 2, mark=best, logarithmic=logarithmic)
    return Panel(
        Group(*drawn),
        title=Text(plot.kind.title + (", log scale" if logarithmic else ""), "bold"),
        title_align="left",
        subtitle=_legend(plot, width=width - 6),
        subtitle_align="left",
        box=ROUNDED,
        border_style="bright_black",
        padding=(0, 1, 0, 0),
        width=width,
        height=height,
    )


def _legend(plot: _Plot, *, width: int) -> Text:
    """Each curve's name in its colour, with its last value."""
    parts = []
    for curve in plot.curves:
        last = next((value for value in reversed(curve.values) if value is not None), None)
        number = "" if last is None else f" {last:.4g}"
        parts.append(Text(plot.kind.short(curve.name) + number, curve.style))
    legend = Text("  ").join(parts)
    legend.truncate(width, overflow="ellipsis")
    return legend

"""The pictures of a report: SVG as data URIs, without matplotlib's global state.

A picture carries its own style sheet, so that axes and text follow the reader's light or dark theme.
"""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ...atomic import replaced_file
from ...metrics.estimate import span
from ...wording import visible
from ..figures import Circles, Curve, Curves, Figure, Intervals, Panel, Parallels, Spreads, Tone
from ..section import Section
from .style import colours

FigureFormat = Literal["png", "svg"]

# Axes and text are drawn in this colour, which the picture's style sheet then turns into the reader's ink.
_INK = "#010203"
_FEW_POINTS = 30  # so few that each is marked
_LONGEST_NAME = 40  # characters
_ACROSS = 4  # circles beside each other
_WIDE = 200  # a range with room for powers of ten alone
_FOOT = -0.12  # height of what has no place on an upright axis


def draw(figure: Figure) -> str:
    """The picture, for the source of an HTML image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(_drawn(figure, 'svg')).decode()}"


def write_figures(folder: Path, sections: Sequence[Section], *, form: FigureFormat) -> None:
    """Every figure of a report as a file in `folder`, named by its section and its place there: `ranking_1.png`.

    A picture in PNG is on white; one in SVG has no ground, and follows the reader's light or dark theme.
    """
    folder.mkdir(exist_ok=True)
    for section in sections:
        for number, figure in enumerate(section.figures, start=1):
            with replaced_file(folder / f"{section.id}_{number}.{form}") as temporary:
                temporary.write_bytes(_drawn(figure, form))


def _drawn(figure: Figure, form: FigureFormat) -> bytes:
    """The file of a picture."""
    with _style():
        match figure:
            case Intervals():
                canvas = _intervals(figure)
            case Curves():
                canvas = _curves(figure)
            case Spreads():
                canvas = _histograms(figure) if figure.shape == "histograms" else _boxes(figure)
            case Circles():
                canvas = _circles(figure)
            case Parallels():
                canvas = _parallels(figure)
        # Settings are read while drawing, so saving belongs inside.
        buffer = io.BytesIO()
        if form == "png":
            canvas.savefig(buffer, format="png", facecolor="white", dpi=160, metadata={"Software": None})
            return buffer.getvalue()
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().decode()
    light, dark = (f"svg{{color:{colours(scheme)['ink']}}}" for scheme in ("light", "dark"))
    style = f"<style>{light}@media screen and (prefers-color-scheme:dark){{{dark}}}</style>"
    return svg[svg.index("<svg") :].replace(_INK, "currentColor").replace("<defs>", f"{style}<defs>", 1).encode()


def _style() -> AbstractContextManager[None]:
    """Settings of every picture, put back afterwards."""
    return mpl.rc_context(
        {
            "axes.edgecolor": _INK,
            "axes.grid": True,
            "axes.labelcolor": _INK,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "figure.constrained_layout.use": True,
            "font.size": 10.0,
            "grid.alpha": 0.35,
            "grid.color": _colour("control"),
            "grid.linewidth": 0.5,
            "legend.frameon": False,
            "legend.labelcolor": _INK,
            "lines.linewidth": 2.0,
            "svg.hashsalt": "weldcache",
            "text.color": _INK,
            # A dollar sign in a class name is a dollar sign.
            "text.parse_math": False,
            "xtick.color": _INK,
            "ytick.color": _INK,
        }
    )


def _colour(tone: Tone) -> str:
    """That of a tone, which is the same in both schemes."""
    return colours("light")[tone]


def _short(name: str) -> str:
    """A name that leaves room for the picture, without what no font has; tables have it whole."""
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _intervals(figure: Intervals) -> Canvas:
    """Dots with their intervals, first row on top, the numbers at the right, and chance as a dashed line."""
    rows = figure.rows
    marked = [(len(rows) - place, mark) for place, mark in enumerate(figure.marks) if mark is not None]
    canvas = Canvas(figsize=(7.2, 0.6 + 0.36 * len(rows) + 0.3 * bool(marked)))
    axes = canvas.subplots()
    axes.axvline(figure.chance, color=_colour("control"), linestyle="--", linewidth=1)
    for height, (_, estimate, tone) in zip(range(len(rows), 0, -1), rows, strict=True):
        ends, colour = [estimate.low, estimate.high], _colour(tone)
        axes.plot(ends, [height, height], color=colour, solid_capstyle="round", linewidth=4, alpha=0.45)
        axes.plot(estimate.value, height, marker="o", color=colour, markersize=7)
        label = f"{estimate.value:.3f}  ({span(estimate)})"
        axes.text(1.02, height, label, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    if marked:
        heights, values = zip(*marked, strict=True)
        axes.plot(
            values,
            heights,
            label=figure.mark_name,
            linestyle="",
            marker="D",
            markersize=5.5,
            markerfacecolor="none",
            markeredgecolor=_INK,
        )
        canvas.legend(loc="outside upper right")
    axes.set(xlabel=figure.axis, ylim=(0.4, len(rows) + 0.6))
    lowest = [*(estimate.low for _, estimate, _ in rows), *(mark for _, mark in marked)]
    axes.set_xlim(min(figure.chance - 0.1, *lowest) - 0.02, 1.02)
    axes.set_yticks(list(range(len(rows), 0, -1)), labels=[_short(name) for name, _, _ in rows])
    axes.grid(visible=False, axis="y")
    return canvas


def _curves(figure: Curves) -> Canvas:
    alone = figure.narrow
    canvas = Canvas(figsize=(4.6, 4.1) if alone else (7.2, 0.6 + 1.9 * len(figure.panels)))
    all_axes = canvas.subplots(len(figure.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, figure.panels, strict=True):
        _panel(axes, panel)
        if figure.mark is not None:
            axes.axvline(figure.mark, color=_INK, linestyle=":", linewidth=1.5)
        labels = axes.get_legend_handles_labels()[1]
        if alone and labels:
            axes.legend(loc="lower right" if panel.kind in ("shares", "promise") else "lower left")
        elif labels:  # above the lines, which may run anywhere
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(labels), borderaxespad=0)
    all_axes[-1].set(xlabel=figure.axis)
    if not alone and all((curve.x % 1 == 0).all() for panel in figure.panels for curve in panel.curves):
        all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))  # no epoch lies between two
    canvas.align_ylabels()
    return canvas


def _panel(axes: Axes, panel: Panel) -> None:
    shares = panel.kind in ("shares", "unit")
    drawn: Literal["default", "steps-post", "steps-pre"] = "default"
    if shares:  # precision is that of the cut which reaches a share, and a rate that of the cut before it
        drawn = "steps-post" if panel.kind == "shares" else "steps-pre"
    for curve in panel.curves:
        if curve.low is not None and curve.high is not None:
            colour = _colour(curve.tone)
            axes.fill_between(
                curve.x, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0, step="post" if shares else None
            )
        axes.plot(curve.x, curve.y, color=_colour(curve.tone), label=curve.label, **_looks_of(curve, drawn=drawn))
    axes.set(ylabel=panel.axis)
    if panel.kind in ("shares", "promise"):
        label = "chance" if panel.kind == "shares" else "as promised"
        axes.plot([0, 1], [0, 1], color=_colour("control"), linestyle="--", linewidth=1, label=label)
    if panel.chance is not None:
        axes.axhline(panel.chance, color=_colour("control"), linestyle="--", linewidth=1, label="chance")
    if shares or panel.kind == "promise":
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    elif panel.kind == "from_zero":
        axes.set(ylim=(0, 1.15 * axes.dataLim.ymax or 1))
    elif panel.kind == "logarithmic" and axes.dataLim.minposy < math.inf:  # constants have no place on such an axis
        axes.set_yscale("log", nonpositive="clip")
        low, high = axes.get_ylim()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _WIDE * low else (1,)))
        axes.yaxis.set_major_formatter("{x:g}")  # matplotlib's own writes powers as formulas
        axes.yaxis.set_minor_formatter(NullFormatter())


def _looks_of(curve: Curve, *, drawn: str) -> Mapping[str, Any]:
    """How matplotlib calls the shape of a curve in a panel whose lines are `drawn` so."""
    match curve.shape:
        case "dots":
            return {"linestyle": "", "marker": "o", "markersize": 5}
        case "faint":
            return {"linewidth": 0.8, "alpha": 0.5}
        case "steps":
            return {"drawstyle": "steps-post"}
        case "line":
            return {"drawstyle": drawn, "marker": "." if curve.x.size < _FEW_POINTS and drawn == "default" else ""}


def _histograms(figure: Spreads) -> Canvas:
    """The values of each group in bars that add up to 100%, one group over the other."""
    edges = np.histogram_bin_edges(np.concatenate([group.values for group in figure.groups]), bins=40).tolist()
    canvas = Canvas(figsize=(4.6, 4.1))
    axes = canvas.subplots()
    for group in figure.groups:
        weights = np.full(group.values.size, 100 / group.values.size)
        label = f"{group.label} ({group.values.size})"
        axes.hist(group.values, bins=edges, weights=weights, color=_colour(group.tone), alpha=0.55, label=label)
    if figure.mark is not None:
        axes.axvline(figure.mark, color=_INK, linestyle=":", linewidth=1.5, label=figure.mark_name)
    axes.set(xlabel=figure.axis, ylabel=figure.share)
    axes.set_ylim(top=1.3 * axes.dataLim.ymax)  # room for the legend
    axes.legend(loc="upper right")  # looking for the best place takes seconds on a busy machine, and warns of it
    return canvas


def _boxes(figure: Spreads) -> Canvas:
    """Median, quartiles, and the 5th and 95th percentile."""
    canvas = Canvas(figsize=(7.2, 0.8 + 0.32 * len(figure.groups)))
    axes = canvas.subplots()
    boxes = axes.boxplot(
        [group.values for group in figure.groups],
        orientation="horizontal",
        widths=0.6,
        whis=(5, 95),
        patch_artist=True,
        medianprops={"color": _INK},
        whiskerprops={"color": _colour("control")},
        capprops={"color": _colour("control")},
        tick_labels=[_short(group.label) for group in figure.groups],
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": _colour("control")},
    )
    for patch, group in zip(boxes["boxes"], figure.groups, strict=True):
        patch.set(facecolor=_colour(group.tone), alpha=0.7, linewidth=0)
    if figure.mark is not None:
        axes.axvline(figure.mark, color=_INK, linestyle=":", linewidth=1.5)
    axes.set(xlabel=figure.axis)
    return canvas


def _circles(figure: Circles) -> Canvas:
    """Densities as distances from the centre of a circle, each circle to a scale of its own."""
    across = min(_ACROSS, len(figure.circles))
    down = -(-len(figure.circles) // across)
    canvas = Canvas(figsize=(1.8 * across, 2.05 * down + 0.4))
    places = canvas.subplots(down, across, squeeze=False, subplot_kw={"projection": "polar"}).ravel()
    for axes, circle in zip(places, figure.circles, strict=False):
        for tone, name, density in circle.densities:
            angles = np.linspace(0, 2 * np.pi, len(density) + 1)
            closed, colour = np.append(density, density[0]), _colour(tone)
            axes.plot(angles, closed, color=colour, label=name, linewidth=1.3)
            axes.fill(angles, closed, color=colour, alpha=0.15)
        axes.set_title(_short(circle.label), fontsize=7)
        axes.set(ylim=(0, None), xticks=np.radians([0, 90, 180, 270]), xticklabels=[""] * 4, yticklabels=[])
    for axes in places[len(figure.circles) :]:
        axes.set_visible(False)
    handles, names = places[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside lower center", ncols=len(names), fontsize=8)
    return canvas


def _parallels(figure: Parallels) -> Canvas:
    """Upright axes with their ticks, and lines across them, the stronger over the fainter."""
    canvas = Canvas(figsize=(7.2, 3.4))
    axes = canvas.subplots()
    places = np.arange(len(figure.axes))
    heights = np.where(np.isnan(figure.heights), _FOOT, figure.heights)
    for number in np.argsort(figure.strengths):
        strength = float(figure.strengths[number])
        width, opacity = 0.8 + 1.4 * strength, 0.15 + 0.85 * strength
        axes.plot(places, heights[number], color=_colour("model"), linewidth=width, alpha=opacity)
    for place, upright in enumerate(figure.axes):
        axes.axvline(place, ymin=0.0, color=_INK, linewidth=0.8)
        for height, text in upright.ticks:
            axes.text(place + 0.04, height, _short(text), fontsize=8, va="center")
    axes.set(xlim=(-0.1, len(figure.axes) - 0.55), ylim=(_FOOT - 0.03, 1.05), yticks=[])
    # Names of settings are long: beside each other they would run together.
    axes.set_xticks(places, labels=[_short(upright.label) for upright in figure.axes], rotation=20, ha="right")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return canvas

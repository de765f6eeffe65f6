"""Figures of the training: what its log tells, epoch by epoch; each gives a picture as a data URI."""

import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from ...train.runs.log import MetricRow
from ..recorded import spreads_of, watched_representations
from .drawing import CONTROL_COLOUR, DEFECT_COLOUR, INK, MODEL_COLOUR, data_uri, style

_FEW_EPOCHS = 30  # so few that each is marked
_WIDE = 200  # a range with room for powers of ten alone
_REPRESENTATION_COLOURS = (MODEL_COLOUR, DEFECT_COLOUR, "#3f9f6b", "#9b6fc9", CONTROL_COLOUR)


def training_figure(training_curve: Sequence[MetricRow]) -> str | None:
    """Loss and validation AUROC over the epochs; None where no epoch recorded either."""
    panels = [("loss", "training loss", DEFECT_COLOUR), ("val_auroc", "validation AUROC", MODEL_COLOUR)]
    curves = [(*_series(training_curve, key=key), name, colour) for key, name, colour in panels]
    drawn = [curve for curve in curves if curve[0].size]
    if not drawn:
        return None
    with style():
        figure = Figure(figsize=(7.2, 0.6 + 1.7 * len(drawn)))
        all_axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (epochs, values, name, colour) in zip(all_axes, drawn, strict=True):
            axes.plot(epochs, values, color=colour, marker=_marker(epochs.size))
            axes.set(ylabel=name)
        all_axes[-1].set(xlabel="epoch")
        return data_uri(figure)


def spread_figure(training_curve: Sequence[MetricRow], *, best_epoch: int) -> str | None:
    """Effective rank and spread of each watched representation over the epochs; None where none was watched.

    The spread is the mean standard deviation of the dimensions, on a logarithmic axis, with a band from the dimension
    that spreads least to the one that spreads most.
    """
    names = watched_representations(training_curve)
    if not names:
        return None
    with style():
        figure = Figure(figsize=(7.2, 4.4))
        rank_axes, std_axes = figure.subplots(2, 1, sharex=True)
        for name, colour in zip(names, cycle(_REPRESENTATION_COLOURS), strict=False):
            _draw_spread(rank_axes, std_axes, training_curve, name=name, colour=colour)
        for axes in (rank_axes, std_axes):
            axes.axvline(best_epoch, color=INK, linestyle=":", linewidth=1.5)
        if std_axes.dataLim.minposy < math.inf:  # constants alone have no place on a logarithmic axis
            _make_logarithmic(std_axes)
        rank_axes.set(ylabel="effective rank", ylim=(0, 1.15 * rank_axes.dataLim.ymax or 1))
        rank_axes.legend(loc="lower left")
        std_axes.set(xlabel="epoch (dotted: the best)", ylabel="standard deviation")
        figure.align_ylabels()
        return data_uri(figure)


def _draw_spread(
    rank_axes: Axes, std_axes: Axes, training_curve: Sequence[MetricRow], *, name: str, colour: str
) -> None:
    spreads = spreads_of(name, training_curve)
    epochs, marker = [spread.epoch for spread in spreads], _marker(len(spreads))
    rank_axes.plot(epochs, [spread.effective_rank for spread in spreads], color=colour, marker=marker, label=name)
    std_axes.plot(epochs, [spread.std for spread in spreads], color=colour, marker=marker)
    lowest, highest = [spread.std_min for spread in spreads], [spread.std_max for spread in spreads]
    std_axes.fill_between(epochs, lowest, highest, color=colour, alpha=0.2, linewidth=0)


def _make_logarithmic(axes: Axes) -> None:
    axes.set_yscale("log", nonpositive="clip")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _WIDE * low else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")  # matplotlib's own writes powers as formulas
    axes.yaxis.set_minor_formatter(NullFormatter())


def _marker(num_epochs: int) -> str:
    return "." if num_epochs < _FEW_EPOCHS else ""


def _series(rows: Sequence[MetricRow], *, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs and values of the rows that hold a finite number under `key`."""
    points = [(row["epoch"], row[key]) for row in rows if _is_number(row.get(key)) and _is_number(row.get("epoch"))]
    pairs = np.array(points, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))

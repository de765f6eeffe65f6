"""Figures of the report: SVG pictures as data URIs, drawn without matplotlib's global state.

A picture carries its own style sheet, so that axes and text follow the reader's light or dark theme.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...metrics.binomial import clopper_pearson
from ...metrics.estimate import Estimate
from ...metrics.roc import roc_curve
from ..results import Assessment
from ..scores import ScoreTable
from ..wording import span

# Mid-tones that hold on white paper and on a dark screen alike.
MODEL_COLOUR = "#3f83d6"
DEFECT_COLOUR = "#e0713b"
CONTROL_COLOUR = "#8a93a3"
# Axes and text are drawn in this colour, which the picture's style sheet then turns into the theme's ink.
_INK = "#010203"
_STYLE_SHEET = "<style>svg{color:#2b3440}@media screen and (prefers-color-scheme:dark){svg{color:#d5dbe3}}</style>"


def estimates_figure(assessment: Assessment) -> str:
    """The model's AUROC above those of its controls and variants, each with its interval."""
    rows = [
        ("This model", assessment.auroc, MODEL_COLOUR),
        ("Media-free control", assessment.controls.media_free.auroc, CONTROL_COLOUR),
        ("Random scores", assessment.controls.random, CONTROL_COLOUR),
        ("Model, unseen sessions only", assessment.session_disjoint.auroc, MODEL_COLOUR),
        ("Model, raw weights", assessment.raw_auroc, MODEL_COLOUR),
        ("Model, on validation", assessment.validation_auroc, MODEL_COLOUR),
    ]
    return _estimates_figure([(name, estimate, colour) for name, estimate, colour in rows if estimate is not None])


def per_class_figure(assessment: Assessment) -> str:
    """AUROC of each defect class against all normals, the best first."""
    ranked = sorted(assessment.per_class.items(), key=lambda item: item[1].auroc.value, reverse=True)
    return _estimates_figure([(f"{name} ({result.num})", result.auroc, DEFECT_COLOUR) for name, result in ranked])


def roc_figure(test: ScoreTable) -> str:
    """The ROC curve with a pointwise 95 % band of the detection rate (Clopper-Pearson)."""
    curve, num_defect = roc_curve(test.scores, test.labels), int(np.count_nonzero(test.labels))
    band = [clopper_pearson(round(share * num_defect), trials=num_defect) for share in curve.tpr]
    with _style():
        figure = Figure(figsize=(4.6, 4.1))
        axes = figure.subplots()
        low, high = [bound.low for bound in band], [bound.high for bound in band]
        axes.fill_between(curve.fpr, low, high, color=MODEL_COLOUR, alpha=0.2, linewidth=0, step="post")
        axes.plot(curve.fpr, curve.tpr, color=MODEL_COLOUR, label="model", drawstyle="steps-post")
        axes.plot([0, 1], [0, 1], color=CONTROL_COLOUR, linestyle="--", linewidth=1, label="chance")
        axes.set(
            xlabel="false-alarm rate", ylabel="detection rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal"
        )
        axes.legend(loc="lower right")
        return _data_uri(figure)


def scores_figure(test: ScoreTable, *, threshold: float) -> str:
    """Histograms of the scores of normals and of defects, each as a share of its own class, with the threshold."""
    edges = np.histogram_bin_edges(test.scores, bins=40).tolist()
    with _style():
        figure = Figure(figsize=(4.6, 4.1))
        axes = figure.subplots()
        for label, name, colour in ((0, "normal", MODEL_COLOUR), (1, "defect", DEFECT_COLOUR)):
            scores = test.scores[test.labels == label]
            axes.hist(
                scores,
                bins=edges,
                weights=np.full(scores.size, 100 / scores.size),
                color=colour,
                alpha=0.55,
                label=f"{name} ({scores.size})",
            )
        axes.axvline(threshold, color=_INK, linestyle=":", linewidth=1.5, label="threshold")
        axes.set(xlabel="anomaly score", ylabel="% of the class")
        axes.legend()
        return _data_uri(figure)


def class_scores_figure(test: ScoreTable, *, threshold: float) -> str:
    """Box plots of the scores by class, normals first: median, quartiles, and the 5th and 95th percentile."""
    names = np.array(test.class_names)
    classes = sorted({(int(label), str(name)) for label, name in zip(test.labels, names, strict=True)}, reverse=True)
    groups = [test.scores[(test.labels == label) & (names == name)] for label, name in classes]
    with _style():
        figure = Figure(figsize=(7.2, 0.8 + 0.32 * len(classes)))
        axes = figure.subplots()
        boxes = axes.boxplot(
            groups,
            orientation="horizontal",
            widths=0.6,
            whis=(5, 95),
            patch_artist=True,
            medianprops={"color": _INK},
            whiskerprops={"color": CONTROL_COLOUR},
            capprops={"color": CONTROL_COLOUR},
            tick_labels=[name for _, name in classes],
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": CONTROL_COLOUR},
        )
        for patch, (label, _) in zip(boxes["boxes"], classes, strict=True):
            patch.set(facecolor=DEFECT_COLOUR if label else MODEL_COLOUR, alpha=0.7, linewidth=0)
        axes.axvline(threshold, color=_INK, linestyle=":", linewidth=1.5)
        axes.set(xlabel="anomaly score (dotted: threshold)")
        return _data_uri(figure)


def training_figure(training_curve: Sequence[Mapping[str, object]]) -> str | None:
    """Loss and validation AUROC over the epochs; None where no epoch recorded either."""
    panels = [("loss", "training loss", DEFECT_COLOUR), ("val_auroc", "validation AUROC", MODEL_COLOUR)]
    curves = [(*_series(training_curve, key=key), name, colour) for key, name, colour in panels]
    drawn = [curve for curve in curves if curve[0].size]
    if not drawn:
        return None
    with _style():
        figure = Figure(figsize=(7.2, 0.6 + 1.7 * len(drawn)))
        all_axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (epochs, values, name, colour) in zip(all_axes, drawn, strict=True):
            axes.plot(epochs, values, color=colour, marker="." if epochs.size < 30 else "")
            axes.set(ylabel=name)
        all_axes[-1].set(xlabel="epoch")
        return _data_uri(figure)


def _style() -> AbstractContextManager[None]:
    """Settings of every picture, put back afterwards; they are read while drawing, so saving belongs inside."""
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
            "grid.color": CONTROL_COLOUR,
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


def _series(rows: Sequence[Mapping[str, object]], *, key: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs and values of the rows that hold a finite number under `key`."""
    points = [(row["epoch"], row[key]) for row in rows if _is_number(row.get(key)) and _is_number(row.get("epoch"))]
    pairs = np.array(points, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))


def _estimates_figure(rows: Sequence[tuple[str, Estimate, str]]) -> str:
    """Dots with their intervals, first row on top, the numbers at the right, and chance as a dashed line."""
    with _style():
        figure = Figure(figsize=(7.2, 0.6 + 0.36 * len(rows)))
        axes = figure.subplots()
        axes.axvline(0.5, color=CONTROL_COLOUR, linestyle="--", linewidth=1)
        for height, (_, estimate, colour) in zip(range(len(rows), 0, -1), rows, strict=True):
            ends = [estimate.low, estimate.high]
            axes.plot(ends, [height, height], color=colour, solid_capstyle="round", linewidth=4, alpha=0.45)
            axes.plot(estimate.value, height, marker="o", color=colour, markersize=7)
            label = f"{estimate.value:.3f}  ({span(estimate)})"
            axes.text(1.02, height, label, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set(xlabel="AUROC (dashed: chance)", ylim=(0.4, len(rows) + 0.6))
        axes.set_xlim(min(0.4, *(estimate.low for _, estimate, _ in rows)) - 0.02, 1.01)
        axes.set_yticks(list(range(len(rows), 0, -1)), labels=[name for name, _, _ in rows])
        axes.grid(visible=False, axis="y")
        return _data_uri(figure)


def _data_uri(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor").replace("<defs>", f"{_STYLE_SHEET}<defs>", 1)
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"

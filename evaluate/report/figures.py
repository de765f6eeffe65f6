"""Figures of the scores: each gives a picture as a data URI."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ...metrics.estimate import Estimate, span
from ...metrics.ranking import roc_curve
from ...metrics.threshold import clopper_pearson
from ...wording import visible
from ..results import Assessment
from ..scores import ScoreTable
from .drawing import CONTROL_COLOUR, DEFECT_COLOUR, INK, MODEL_COLOUR, data_uri, style


def estimates_figure(assessment: Assessment) -> str:
    """The model's AUROC above those of its controls and variants, each with its interval."""
    whole = assessment.whole
    rows = [
        ("This model", assessment.auroc, MODEL_COLOUR),
        ("Model, whole samples only", None if whole is None else whole.auroc, MODEL_COLOUR),
        ("Media-free control", assessment.controls.media_free.auroc, CONTROL_COLOUR),
        ("File-metadata control", assessment.controls.file_metadata.auroc, CONTROL_COLOUR),
        ("Random scores", assessment.controls.random, CONTROL_COLOUR),
        ("Model, unseen sessions only", assessment.session_disjoint.auroc, MODEL_COLOUR),
        ("Model, raw weights", assessment.raw_auroc, MODEL_COLOUR),
        ("Model, on validation", assessment.validation_auroc, MODEL_COLOUR),
    ]
    return _estimates_figure([(name, estimate, colour) for name, estimate, colour in rows if estimate is not None])


def per_class_figure(assessment: Assessment) -> str:
    """AUROC of each defect class against all normals, the best first."""
    ranked = sorted(assessment.per_class.items(), key=lambda item: item[1].auroc.value, reverse=True)
    return _estimates_figure(
        [(f"{visible(name)} ({result.num})", result.auroc, DEFECT_COLOUR) for name, result in ranked]
    )


def roc_figure(test: ScoreTable) -> str:
    """The ROC curve with a pointwise 95 % band of the detection rate (Clopper-Pearson)."""
    curve, num_defect = roc_curve(test.scores, test.labels), int(np.count_nonzero(test.labels))
    band = [clopper_pearson(round(share * num_defect), trials=num_defect) for share in curve.tpr]
    with style():
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
        return data_uri(figure)


def scores_figure(test: ScoreTable, *, threshold: float) -> str:
    """Histograms of the scores of normals and of defects, each as a share of its own class, with the threshold."""
    edges = np.histogram_bin_edges(test.scores, bins=40).tolist()
    with style():
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
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.5, label="threshold")
        axes.set(xlabel="anomaly score", ylabel="% of the class")
        axes.legend(loc="upper right")  # looking for the best place takes seconds on a busy machine, and warns of it
        return data_uri(figure)


def class_scores_figure(test: ScoreTable, *, threshold: float) -> str:
    """Box plots of the scores by class, normals first: median, quartiles, and the 5th and 95th percentile."""
    names = np.array(test.class_names)
    classes = sorted({(int(label), str(name)) for label, name in zip(test.labels, names, strict=True)}, reverse=True)
    groups = [test.scores[(test.labels == label) & (names == name)] for label, name in classes]
    with style():
        figure = Figure(figsize=(7.2, 0.8 + 0.32 * len(classes)))
        axes = figure.subplots()
        boxes = axes.boxplot(
            groups,
            orientation="horizontal",
            widths=0.6,
            whis=(5, 95),
            patch_artist=True,
            medianprops={"color": INK},
            whiskerprops={"color": CONTROL_COLOUR},
            capprops={"color": CONTROL_COLOUR},
            tick_labels=[visible(name) for _, name in classes],
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": CONTROL_COLOUR},
        )
        for patch, (label, _) in zip(boxes["boxes"], classes, strict=True):
            patch.set(facecolor=DEFECT_COLOUR if label else MODEL_COLOUR, alpha=0.7, linewidth=0)
        axes.axvline(threshold, color=INK, linestyle=":", linewidth=1.5)
        axes.set(xlabel="anomaly score (dotted: threshold)")
        return data_uri(figure)


def _estimates_figure(rows: Sequence[tuple[str, Estimate, str]]) -> str:
    """Dots with their intervals, first row on top, the numbers at the right, and chance as a dashed line."""
    with style():
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
        return data_uri(figure)

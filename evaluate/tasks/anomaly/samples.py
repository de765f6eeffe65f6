"""The samples of a report on an anomaly detector: those worth seeing, all of them in a table, a threshold to move."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...exhibits import Gallery, SampleColumn, SampleTable, Shelf, ThresholdSlider
from ...scores import ScoreTable
from ...section import Section

_WORST, _TYPICAL = 6, 3  # samples on a shelf

_COLUMNS = (
    SampleColumn("key", "sample"),
    SampleColumn("class_name", "class", choice=True),
    SampleColumn("group", "group", choice=True),
    SampleColumn("truth", "truth", choice=True),
    SampleColumn("score", "score", style="#.4g"),
    SampleColumn("outcome", "outcome", choice=True),
    SampleColumn("p_value", "p-value", style=".3g"),
    SampleColumn("lacks", "lacks", choice=True),
)
_OUTCOMES = {(1, True): "found", (1, False): "missed", (0, True): "false alarm", (0, False): "passed"}


def gallery_section(test: ScoreTable, *, threshold: float) -> Section:
    """The worst errors, and what is usual of normals and of defects."""
    normals, defects = (np.flatnonzero(test.labels == label) for label in (0, 1))
    by_score = np.argsort(test.scores, kind="stable")
    lowest_defects = by_score[np.isin(by_score, defects)][:_WORST]
    highest_normals = by_score[np.isin(by_score, normals)][::-1][:_WORST]
    num_missed = int(np.count_nonzero(test.scores[defects] <= threshold))
    num_alarms = int(np.count_nonzero(test.scores[normals] > threshold))
    missed = f"{num_missed} of {len(defects)} defects raise no alarm."
    alarms = f"{num_alarms} of {len(normals)} normals raise an alarm."
    shelves = (
        Shelf("Defects with the lowest scores", lowest_defects.tolist(), missed),
        Shelf("Normals with the highest scores", highest_normals.tolist(), alarms),
        Shelf("Typical defects", _typical(test, defects), "Their scores are nearest to the median of all defects."),
        Shelf("Typical normals", _typical(test, normals), "Their scores are nearest to the median of all normals."),
    )
    return Section("gallery", "Samples worth seeing", exhibits=[Gallery(shelves)])


def _typical(test: ScoreTable, rows: NDArray[np.int64]) -> Sequence[int]:
    """Those of `rows` whose scores are nearest to the rows' median."""
    away = np.abs(test.scores[rows] - np.median(test.scores[rows]))
    nearest: list[int] = rows[np.argsort(away, kind="stable")][:_TYPICAL].tolist()
    return nearest


def table_section(test: ScoreTable, *, threshold: float, p_values: NDArray[np.float64] | None = None) -> Section:
    """Every sample with its score, what became of it at the threshold, and its p-value; NaN where there is none."""
    alarms = (test.scores > threshold).tolist()
    values = {
        "key": test.keys,
        "class_name": test.class_names,
        "group": test.groups,
        "truth": ["defect" if label == 1 else "normal" for label in test.labels.tolist()],
        "score": test.scores.tolist(),
        "outcome": [_OUTCOMES[label, alarm] for label, alarm in zip(test.labels.tolist(), alarms, strict=True)],
        "p_value": [] if p_values is None else [None if np.isnan(value) else value for value in p_values.tolist()],
        "lacks": test.lacks,
    }
    told = [column for column in _COLUMNS if column.id in ("key", "score") or any(values[column.id])]
    rows = list(zip(*(values[column.id] for column in told), strict=True))
    return Section("samples", "Every sample", exhibits=[SampleTable(told, rows)])


def threshold_slider(test: ScoreTable, *, threshold: float) -> ThresholdSlider:
    """What other thresholds would find, and what they would cost."""
    return ThresholdSlider(threshold, test.scores, test.labels == 1, test.class_names)

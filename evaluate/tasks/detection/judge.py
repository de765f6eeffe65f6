"""The judge of detectors that are trained on defects too: as of anomalies, and beside what surrounds defects in their
groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray

from ....cache.status import Status
from ....cache.store import FeatureStore
from ....cache.targets import DEFECT, NORMAL
from ....cache.tensors import read_tensor
from ....train.data.features import Rows
from ....wording import count_of, listed
from ...judge import Background
from ...scores import ScoreTable
from ..anomaly.controls.control import Control, Controls, Found, Rival
from ..anomaly.controls.probes import array_to_probe, pixels_of
from ..anomaly.judge import AnomalyJudge

SURROUNDINGS = Rival("surroundings-only control", "one sample of each group, without a defect if it has such a one")

_FEWEST = 2  # groups of a kind to learn from
_STRENGTH = 0.1  # of the logistic regression's freedom: groups are few, and vectors long


@dataclass(frozen=True)
class DetectionJudge(AnomalyJudge):
    """Judges as of anomalies. A detector that learned from labels may have learned where things happen, not what: a
    control that sees a single sample of each group, where there is one without a defect, says how far that leads."""

    task: str = "detection"

    def controls(self, table: ScoreTable, rows: Rows, *, background: Background) -> Controls:
        controls = super().controls(table, rows, background=background)
        found = surroundings_control(table, rows, background=background)
        return replace(controls, rivals={**controls.rivals, "surroundings_control": found})


def surroundings_control(table: ScoreTable, rows: Rows, *, background: Background) -> Control:
    """Whether a group has any defect, learned from one sample of each group of training and validation, by logistic
    regression on pooled features and on pixels; every judged sample gets what is found of its group.

    Raises:
        MetricError: if the samples are of one label.
    """
    store, modalities = background.store, background.run.recipe.needs().modalities
    held = [*(array_to_probe(store, sets) for sets in modalities.values()), pixels_of(store)]
    arrays = list(dict.fromkeys(array for array in held if array is not None))
    found = (
        "no modality has vectors, and there are no pixels"
        if not arrays
        else _scores_of_groups(store, rows, arrays, background)
    )
    told = "" if isinstance(found, str) else f"learned from {listed(arrays)}"
    return SURROUNDINGS.measured(found, table, told=told)


def _scores_of_groups(store: FeatureStore, rows: Rows, arrays: Sequence[str], background: Background) -> Found:
    labels, groups = store.index.labels, store.index.groups
    known = background.known_beside(rows)
    learned, judged = (_one_of_each(store, some, arrays) for some in (known[labels[known] >= 0], rows))
    if "" in judged or not judged:
        return "not every sample is of a known group"
    kinds = np.array([bool((labels[known[groups[known] == name]] == DEFECT).any()) for name in learned], dtype=bool)
    if min(kinds.sum(), (~kinds).sum()) < _FEWEST:
        return f"fewer than {count_of(_FEWEST, 'group')} with and without defects are known beside these"
    from sklearn.linear_model import LogisticRegression  # half a second to import, for evaluations alone

    vectors = _vectors(store, np.array(list(learned.values())), arrays)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    deviation[deviation == 0] = 1.0
    model = LogisticRegression(C=_STRENGTH, class_weight="balanced", max_iter=1000)
    model.fit((vectors - mean) / deviation, kinds)
    places = np.array(list(judged.values()))
    scores = model.decision_function((_vectors(store, places, arrays) - mean) / deviation)
    score_of = dict(zip(judged, scores.tolist(), strict=True))
    return np.array([score_of.get(name, np.nan) for name in groups[rows].tolist()], dtype=np.float64)


def _one_of_each(store: FeatureStore, rows: Rows, arrays: Sequence[str]) -> Mapping[str, int]:
    """A row of each group that has all arrays: the first that shows nothing, or else the first."""
    labels, groups = store.index.labels, store.index.groups
    complete = np.ones(len(rows), dtype=bool)
    for array in arrays:
        complete &= store.status(array.rpartition("/")[0])[rows] == Status.COMPLETE
    chosen: dict[str, int] = {}
    for row in sorted(rows[complete].tolist(), key=lambda row: (labels[row] != NORMAL, row)):
        chosen.setdefault(str(groups[row]), row)
    return chosen


def _vectors(store: FeatureStore, rows: NDArray[np.int64], arrays: Sequence[str]) -> Float64[np.ndarray, "rows dim"]:
    """The mean vector of each row by each array, one behind the other."""
    parts = []
    for array in arrays:
        values = read_tensor(store, array, rows).to(torch.float64)
        parts.append(values.flatten(1, -2).mean(dim=1) if values.ndim > 2 else values)
    return torch.cat(parts, dim=1).numpy()

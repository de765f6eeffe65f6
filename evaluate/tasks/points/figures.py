"""The figures of a detector that scores points, counted sample by sample: memory holds bins and one sample's points."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from ....cache.store import FeatureStore
from ....cache.tensors import read_tensor
from ....errors import MetricError
from ....metrics.estimate import Estimate
from ....metrics.ranking import auroc
from ....metrics.repeats import RepeatsEstimate, mean_share, mean_share_difference
from ....metrics.streamed import RankingFigures, ScoreCounts, macro_figures, micro_figures, together
from ....train.data.features import Rows
from ....train.recipes.recipe import Recipe

_ROWS_AT_ONCE = 64
_CELLS = 8  # along each axis, of the control that knows places alone


@dataclass(frozen=True)
class PointArrays:
    """The arrays of a store that hold a sample's points, how many are real, and their labels: 0 normal, 1 defective, -1
    not known."""

    points: str
    length: str
    labels: str

    @staticmethod
    def of(store: FeatureStore, recipe: Recipe) -> "PointArrays":
        """Those of the features that a recipe looks at.

        Raises:
            MetricError: if none of them has labels of points.
        """
        for name in recipe.needs().feature_sets:
            arrays = store.arrays(name)
            if "points" in arrays and "labels" in arrays and arrays["labels"].is_target:
                return PointArrays(f"{name}/points", f"{name}/points_length", f"{name}/labels")
        raise MetricError(
            f"{store.path} has no label of any point of what the model looks at: set `labels` of that feature, such as "
            "--set features.points.labels=semantic_points, and extract it anew."
        )

    def read(self, store: FeatureStore, rows: Rows) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """The real points of each row and their labels."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            held = [read_tensor(store, name, part).numpy() for name in (self.points, self.length, self.labels)]
            for points, length, labels in zip(*held, strict=True):
                yield points[:length], labels[:length].astype(np.int64)


@dataclass(frozen=True, eq=False)
class SplitCounts:
    """What the points of a split come to.

    Attributes:
        by_group: counts of the points of all samples, by the samples' group.
        detectable: the same of the samples that have a defective point.
        sample_auroc: of each sample's points; NaN of samples without a defective or a normal one.
        num_points: of each sample, those whose label is known.
        num_defective: of each sample.
    """

    by_group: Mapping[str, ScoreCounts]
    detectable: Mapping[str, ScoreCounts]
    sample_auroc: Float64[np.ndarray, " samples"]
    num_points: NDArray[np.int64]
    num_defective: NDArray[np.int64]


def count_points(
    scores: Iterator[NDArray[np.float32]], labels: Iterator[NDArray[np.int64]], *, groups: Sequence[str]
) -> SplitCounts:
    """Count the points of samples, whose scores and labels come one sample after another; a group that is not known is
    one of its own."""
    names = [group or f"\0{place}" for place, group in enumerate(groups)]
    by_group = {name: ScoreCounts() for name in names}
    detectable = {name: ScoreCounts() for name in names}
    each, points, defective = [], [], []
    for name, score, label in zip(names, scores, labels, strict=True):
        known = label >= 0
        by_group[name].add(score, label)
        points.append(int(known.sum()))
        defective.append(int((label == 1).sum()))
        if defective[-1]:
            detectable[name].add(score, label)
        each.append(auroc_of_sample(score, label))
    return SplitCounts(by_group, detectable, np.array(each), np.array(points), np.array(defective))


def auroc_of_sample(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The AUROC of the points of one sample; NaN unless it has both normal and defective ones."""
    known = labels >= 0
    has_both = len(np.unique(labels[known])) == 2
    return auroc(scores[known].astype(np.float64), labels[known]) if has_both else float("nan")


@dataclass(frozen=True, eq=False)
class ControlAnswers:
    """What can be had of the points without the model.

    Attributes:
        name: of the control.
        sees: all that it sees.
        sample_auroc: of each sample's points by it.
        oracle: whether it was told what the model was not, so that a model need not reach as much.
    """

    name: str
    sees: str
    sample_auroc: Float64[np.ndarray, " samples"]
    oracle: bool = False


@dataclass(frozen=True)
class PointControl:
    """What a control comes to; `difference` is the model's figure less this one."""

    name: str
    sees: str
    oracle: bool
    sample_auroc: RepeatsEstimate
    difference: RepeatsEstimate


@dataclass(frozen=True)
class Ranked:
    """Figures of the points of some samples: all together, and as a mean over groups."""

    figures: RankingFigures
    micro: Mapping[str, Estimate]
    num_groups: int
    macro: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class PointAssessment:
    """Everything that a report says of a detector of points on one split.

    Attributes:
        sample_auroc: mean over the detectable samples of the AUROC of their points.
        all: over the points of all samples.
        detectable: over those of samples that have a defective point.
        threshold: of validation, by which points are called defective; None where there was none.
        fpr: share of the normal points above it; None where there is no threshold.
        recall: share of the defective ones.
        counts: of all points, the highest score first.
    """

    sample_auroc: RepeatsEstimate
    all: Ranked
    detectable: Ranked
    controls: Sequence[PointControl]
    num_samples: int
    num_detectable: int
    num_points: int
    num_defective: int
    target_fpr: float
    threshold: float | None
    fpr: float | None
    recall: float | None
    counts: ScoreCounts = field(repr=False)


def assess_points(
    found: SplitCounts,
    *,
    groups: Sequence[str],
    target_fpr: float,
    threshold: float | None,
    controls: Sequence[ControlAnswers],
) -> PointAssessment:
    """Judge what was counted, beside what controls make of the same samples.

    Raises:
        MetricError: if no sample has both defective and normal points.
    """
    there = np.isfinite(found.sample_auroc)
    if not there.any():
        raise MetricError(
            "No sample has both normal and defective points whose labels are known, and AUROC compares the two; choose "
            "another split, or look at the labels of the points."
        )
    named = list(compress(groups, there))
    own = found.sample_auroc[there][np.newaxis]
    whole = together(found.by_group.values())
    fpr, recall = (None, None) if threshold is None else whole.share_above(threshold)
    return PointAssessment(
        sample_auroc=mean_share(own, groups=named),
        all=_ranked(found.by_group, target_fpr),
        detectable=_ranked(found.detectable, target_fpr),
        controls=[
            PointControl(
                each.name,
                each.sees,
                each.oracle,
                mean_share(each.sample_auroc[there][np.newaxis], groups=named),
                mean_share_difference(own, each.sample_auroc[there][np.newaxis], groups=named),
            )
            for each in controls
        ],
        num_samples=len(groups),
        num_detectable=int((found.num_defective > 0).sum()),
        num_points=int(found.num_points.sum()),
        num_defective=int(found.num_defective.sum()),
        target_fpr=target_fpr,
        threshold=threshold,
        fpr=fpr,
        recall=recall,
        counts=whole,
    )


def _ranked(by_group: Mapping[str, ScoreCounts], target_fpr: float) -> Ranked:
    figures, micro = micro_figures(by_group, budget=target_fpr)
    num_groups, macro = macro_figures(by_group, budget=target_fpr)
    return Ranked(figures, micro, num_groups, macro)


LabelledPoints = Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]]
"""The points of one sample after another, and a label of each: 1 defective, 0 normal, -1 not known."""


class PlaceControl:
    """How often points were defective in training where a point lies: in one of 8 x 8 x 8 cells, cut so that the points
    of the first samples are spread evenly along each axis. It sees neither shape nor any other channel."""

    def __init__(self, training: Callable[[], LabelledPoints]) -> None:
        """Learn from `training`, which is gone through twice."""
        some = [points[:, :3] for points, _ in islice(training(), _ROWS_AT_ONCE)]
        shares = np.linspace(0, 1, _CELLS + 1)[1:-1]
        self._cuts = np.quantile(np.concatenate(some), shares, axis=0).T
        counts = np.zeros((2, _CELLS**3))
        for points, labels in training():
            cells = self._cells(points)
            for label in (0, 1):
                counts[label] += np.bincount(cells[labels == label], minlength=_CELLS**3)
        rate = counts[1].sum() / max(1.0, counts.sum())
        self._shares = (counts[1] + rate) / (counts.sum(axis=0) + 1)  # of a cell that holds nothing, that of all

    def __call__(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The score of each point."""
        return np.asarray(self._shares[self._cells(points)], dtype=np.float32)

    def _cells(self, points: NDArray[np.float32]) -> NDArray[np.int64]:
        places = [np.searchsorted(cuts, points[:, axis]) for axis, cuts in enumerate(self._cuts)]
        return np.ravel_multi_index(tuple(places), (_CELLS,) * 3).astype(np.int64)

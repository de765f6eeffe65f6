"""How repeated trainings that score points are compared: by the AUROC of each sample's points, mean over samples."""

from collections.abc import Mapping, Sequence
from itertools import compress

import numpy as np
from jaxtyping import Bool

from ....cache.index import Index
from ....errors import MetricError
from ....metrics.repeats import (
    SMALLEST_FOR_PAIRS,
    ByConfidence,
    Method,
    RepeatsEstimate,
    mean_share,
    mean_share_difference,
)
from ....wording import count_of
from ...trials.measure import Answers, Columns, Ground, RepeatedAnswers, Truth

NO_AUROC = -1.0
"""What stands for the AUROC of a sample whose points are not of both kinds."""


class PointsMeasure:
    """The AUROC of each sample's points; samples that have not both kinds are in no mean."""

    plural = "AUROCs of points"
    ways_of_mean: Mapping[Method, str] = {
        "clopper_pearson": "Clopper-Pearson's of the mean, widened by the spread of the seeds",
    }
    ways_of_difference: Mapping[Method, str] = {
        "pairs": "the spread over samples and over seeds, paired by sample and by seed",
        "clustered": "the same between groups",
        "clopper_pearson": "the intervals of both means as if they were independent, rather too wide (fewer than "
        f"{SMALLEST_FOR_PAIRS} samples, or all differ alike)",
        "equal": "none, where both are the same of every sample",
    }

    def truth(self, samples: Index) -> Truth:
        return samples.labels.astype(np.int64)

    def require(self, truth: Truth, *, split: str) -> None:
        if not (truth == 1).any():
            raise MetricError(f"No sample of {split} has a defect, so that none of its points can be found.")

    def value(self, answers: Answers, truth: Truth) -> float:
        return self.mean(answers[np.newaxis], truth).value

    def mean(self, answers: RepeatedAnswers, truth: Truth, *, groups: Sequence[str] | None = None) -> RepeatsEstimate:
        there = _there(answers)
        return mean_share(answers[:, there], groups=_some(groups, there))

    def difference(
        self,
        answers: RepeatedAnswers,
        reference: RepeatedAnswers,
        truth: Truth,
        *,
        groups: Sequence[str] | None = None,
    ) -> ByConfidence:
        there = _there(np.concatenate([answers, reference]))
        sides, groups = (answers[:, there], reference[:, there]), _some(groups, there)
        return lambda confidence: mean_share_difference(*sides, groups=groups, confidence=confidence)

    def others(self, answers: RepeatedAnswers, truth: Truth) -> Mapping[str, float]:
        return {}

    def read(self, tables: Sequence[Columns]) -> Sequence[tuple[Truth, Answers]]:
        # The cell of a sample without an AUROC is empty.
        return [
            (
                np.array(table["label"]).astype(np.int64),
                np.array([float(value or NO_AUROC) for value in table["sample_auroc"]]),
            )
            for table in tables
        ]

    def classes(self, truth: Truth, class_names: Sequence[str]) -> Mapping[str, Bool[np.ndarray, " samples"]]:
        names = np.asarray(class_names)
        return {name: names == name for name in np.unique(names[truth == 1]).tolist()}

    def ground(self, samples: Index, *, train: Index, seed: int) -> Ground:
        num_normal, num_defect = (int(np.count_nonzero(samples.labels == label)) for label in (0, 1))
        told = f"{num_normal} normals and {count_of(num_defect, 'sample')} with a defect"
        counts = {"num_normal": num_normal, "num_defect": num_defect}
        return Ground(told, counts, beside="scores at random have 0.500", controls={})


def _there(answers: RepeatedAnswers) -> Bool[np.ndarray, " samples"]:
    there = (answers > NO_AUROC).all(axis=0)
    if not there.any():
        raise MetricError("No sample has both normal and defective points, so that no AUROC of points can be had.")
    return np.asarray(there)


def _some(groups: Sequence[str] | None, there: Bool[np.ndarray, " samples"]) -> Sequence[str] | None:
    return None if groups is None else list(compress(groups, there))

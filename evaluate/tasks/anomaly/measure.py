"""How repeated trainings of an anomaly detector are compared: by AUROC, beside the controls that see no media."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from ....cache.index import Index
from ....cache.targets import NORMAL
from ....errors import MetricError
from ....metrics.estimate import with_span
from ....metrics.ranking import SMALLEST_CLASS_FOR_DELONG, auroc
from ....metrics.repeats import ByConfidence, Method, RepeatsEstimate, mean_auroc, mean_auroc_difference_by_confidence
from ...scores import score_table
from ...trials.measure import Answers, Columns, Ground, MediaFreeControl, RepeatedAnswers, Truth
from .controls.chance import random_control
from .controls.nearest import MEDIA_FREE, media_free_control, nearest_train_distances

_WHY_NOT_DELONG = f"fewer than {SMALLEST_CLASS_FOR_DELONG} samples of a class, few groups, or complete separation"


class AnomalyMeasure:
    """AUROC of the scores, by the label."""

    plural = "AUROCs"
    ways_of_mean: Mapping[Method, str] = {
        "delong": "DeLong's covariances and the spread of the seeds, as by Obuchowski and Rockette, on the logit scale",
        "clustered": "Obuchowski's covariances between groups and the spread of the seeds, on the logit scale",
        "newcombe": f"Newcombe's score interval, widened by the spread of the seeds ({_WHY_NOT_DELONG})",
    }
    ways_of_difference: Mapping[Method, str] = {
        "delong": "DeLong's covariances and the spread of the seeds, paired by sample and by seed",
        "clustered": "Obuchowski's covariances between groups and the spread of the seeds, paired by sample and by "
        "seed",
        "newcombe": f"the intervals of both AUROCs as if they were independent, rather too wide ({_WHY_NOT_DELONG})",
        "equal": "none, where both place every sample alike",
    }

    def truth(self, samples: Index) -> Truth:
        return samples.labels.astype(np.int64)

    def require(self, truth: Truth, *, split: str) -> None:
        num_defect, num = int(np.sum(truth == 1)), len(truth)
        if num_defect in (0, num):
            raise MetricError(
                f"There are {num - num_defect} normals and {num_defect} defects of {split} to score, and AUROC "
                "compares the two. Choose another split with --split, or extract the others."
            )

    def value(self, answers: Answers, truth: Truth) -> float:
        return auroc(answers, truth)

    def mean(self, answers: RepeatedAnswers, truth: Truth, *, groups: Sequence[str] | None = None) -> RepeatsEstimate:
        return mean_auroc(answers, truth, groups=groups)

    def difference(
        self,
        answers: RepeatedAnswers,
        reference: RepeatedAnswers,
        truth: Truth,
        *,
        groups: Sequence[str] | None = None,
    ) -> ByConfidence:
        return mean_auroc_difference_by_confidence(answers, reference, truth, groups=groups)

    def others(self, answers: RepeatedAnswers, truth: Truth) -> Mapping[str, float]:
        return {}

    def read(self, tables: Sequence[Columns]) -> Sequence[tuple[Truth, Answers]]:
        return [
            (np.array(table["label"]).astype(np.int64), np.array(table["score"]).astype(np.float64)) for table in tables
        ]

    def classes(self, truth: Truth, class_names: Sequence[str]) -> Mapping[str, Bool[np.ndarray, " samples"]]:
        names = np.asarray(class_names)
        return {name: (truth == 0) | (names == name) for name in np.unique(names[truth == 1]).tolist()}

    def ground(self, samples: Index, *, train: Index, seed: int) -> Ground:
        num_normal, num_defect = (int(np.count_nonzero(samples.labels == label)) for label in (0, 1))
        counts = {"num_normal": num_normal, "num_defect": num_defect}
        told = f"{num_normal} normals and {num_defect} defects"
        if not len(samples):
            return Ground(told, counts, beside="", controls={"media_free": None, "random": None})
        nothing = np.zeros(len(samples))  # the controls make scores of their own
        table = score_table(samples, scores=nothing, raw_scores=nothing)
        # Where defects are trained on too: the control learns what is normal.
        learned = train.select(np.flatnonzero(train.labels == NORMAL)).attributes
        found = media_free_control(table, train_attributes=learned)
        media_free = MediaFreeControl(found.auroc, found.reason)
        random = random_control(table, generator=np.random.default_rng(seed))
        control = f"not to be had ({media_free.reason})" if media_free.auroc is None else with_span(media_free.auroc)
        beside = f"media-free control {control}, random scores {with_span(random)}"
        return Ground(
            told,
            counts,
            beside=beside,
            controls={"media_free": media_free, "random": random},
            rival=MEDIA_FREE.name,
            rival_answers=None if found.auroc is None else nearest_train_distances(table.attributes, train=learned),
        )

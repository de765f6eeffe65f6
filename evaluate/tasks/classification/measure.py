"""How repeated trainings of a classifier are compared: by accuracy, beside always giving the most frequent class."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from ....cache.index import Index
from ....errors import MetricError
from ....metrics.classes import class_figures, macro_f1
from ....metrics.clustered import grouped_share
from ....metrics.estimate import with_span
from ....metrics.repeats import (
    SMALLEST_FOR_PAIRS,
    ByConfidence,
    Method,
    RepeatsEstimate,
    mean_share,
    mean_share_difference,
)
from ....wording import count_of
from ...trials.measure import Answers, Columns, Control, Ground, RepeatedAnswers, Truth


class ClassificationMeasure:
    """Accuracy of the predicted class, by the target `class`."""

    plural = "accuracies"
    ways_of_mean: Mapping[Method, str] = {
        "clopper_pearson": "Clopper-Pearson's of the mean, widened by the spread of the seeds",
    }
    ways_of_difference: Mapping[Method, str] = {
        "pairs": "the spread over samples and over seeds of what both get right, paired by sample and by seed",
        "clustered": "the same between groups",
        "clopper_pearson": "the intervals of both accuracies as if they were independent, rather too wide (fewer than "
        f"{SMALLEST_FOR_PAIRS} samples, or all differ alike)",
        "equal": "none, where both get the same samples right",
    }

    def truth(self, samples: Index) -> Truth:
        target = samples.targets.get("class")
        return np.full(len(samples), -1, np.int64) if target is None else target.values.astype(np.int64)

    def require(self, truth: Truth, *, split: str) -> None:
        if not np.count_nonzero(truth >= 0):
            raise MetricError(f"No sample of {split} is of a known class, so that no accuracy can be measured on it.")

    def value(self, answers: Answers, truth: Truth) -> float:
        _require_samples(truth)
        return float(np.mean(answers == truth))

    def mean(self, answers: RepeatedAnswers, truth: Truth, *, groups: Sequence[str] | None = None) -> RepeatsEstimate:
        _require_samples(truth)
        return mean_share(answers == truth, groups=groups)

    def difference(
        self,
        answers: RepeatedAnswers,
        reference: RepeatedAnswers,
        truth: Truth,
        *,
        groups: Sequence[str] | None = None,
    ) -> ByConfidence:
        _require_samples(truth)
        right = answers == truth, reference == truth
        return lambda confidence: mean_share_difference(*right, groups=groups, confidence=confidence)

    def others(self, answers: RepeatedAnswers, truth: Truth) -> Mapping[str, float]:
        return {"macro_f1": float(np.mean([_macro_f1(truth, each.astype(np.int64)) for each in answers]))}

    def read(self, tables: Sequence[Columns]) -> Sequence[tuple[Truth, Answers]]:
        told = [name for table in tables for heading in ("class_name", "predicted") for name in table[heading]]
        number = {name: position for position, name in enumerate(sorted(set(told)))}
        return [
            (
                np.array([number[name] for name in table["class_name"]], np.int64),
                np.array([number[name] for name in table["predicted"]], np.float64),
            )
            for table in tables
        ]

    def classes(self, truth: Truth, class_names: Sequence[str]) -> Mapping[str, Bool[np.ndarray, " samples"]]:
        names = np.asarray(class_names)
        return {name: names == name for name in np.unique(names).tolist()}

    def ground(self, samples: Index, *, train: Index, seed: int) -> Ground:
        truth, trained_on = self.truth(samples), self.truth(train)
        told, counts = count_of(len(truth), "sample"), {"num_samples": len(truth)}
        if not len(truth):
            return Ground(told, counts, beside="", controls={"majority_accuracy": None, "majority_macro_f1": None})
        most = int(np.bincount(trained_on[trained_on >= 0]).argmax())
        always = np.full_like(truth, most)
        accuracy = grouped_share(truth == always, groups=samples.groups.tolist())
        f1 = _macro_f1(truth, always)
        names = samples.targets["class"].spec.classes
        name = most if names is None else names[most]
        beside = f"always answering {name} has an accuracy of {with_span(accuracy)} and a macro F1 of {f1:.3f}"
        controls: dict[str, Control] = {"majority_accuracy": accuracy, "majority_macro_f1": f1}
        return Ground(told, counts, beside, controls, rival="majority", rival_answers=always.astype(np.float64))


def _require_samples(truth: Truth) -> None:
    if not len(truth):
        raise MetricError("No sample of known class was answered by every variant, so that they cannot be compared.")


def _macro_f1(truth: Truth, predicted: Truth) -> float:
    return macro_f1(list(class_figures(truth, predicted).values()))

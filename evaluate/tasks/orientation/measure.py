"""How repeated trainings are compared: by the divergence of each sample, beside that of the uniform distribution."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from ....cache.index import Index
from ....errors import MetricError
from ....metrics.estimate import with_span
from ....metrics.repeats import ByConfidence, Method, RepeatsEstimate, mean_value
from ....train.orientation import SYMMETRY, known_orientations
from ....wording import count_of
from ...trials.measure import Answers, Columns, Ground, RepeatedAnswers, Truth
from .figures import truth_of, uniform_kl

_WAYS: Mapping[Method, str] = {
    "spread": "the spread over samples and over seeds",
    "clustered": "the spread between groups and over seeds",
    "range": "from the lowest to the highest sample, where samples or groups are too few for a spread",
}


class OrientationMeasure:
    """Mean KL(truth || prediction); an answer is the divergence of a sample, the truth its symmetry."""

    plural = "divergences"
    ways_of_mean: Mapping[Method, str] = _WAYS
    ways_of_difference: Mapping[Method, str] = _WAYS

    def truth(self, samples: Index) -> Truth:
        target = samples.targets.get(SYMMETRY)
        if target is None:
            return np.full(len(samples), -1, np.int64)
        return np.where(known_orientations(truth_of(samples)), target.values, -1).astype(np.int64)

    def require(self, truth: Truth, *, split: str) -> None:
        if not np.count_nonzero(truth >= 0):
            raise MetricError(
                f"The orientation of no sample of {split} is known, so that nothing can be measured on it."
            )

    def value(self, answers: Answers, truth: Truth) -> float:
        return self.mean(answers[np.newaxis], truth).value

    def mean(self, answers: RepeatedAnswers, truth: Truth, *, groups: Sequence[str] | None = None) -> RepeatsEstimate:
        found = mean_value(answers, groups=groups)
        return replace(found, low=max(0.0, found.low))  # no divergence is below 0

    def difference(
        self,
        answers: RepeatedAnswers,
        reference: RepeatedAnswers,
        truth: Truth,
        *,
        groups: Sequence[str] | None = None,
    ) -> ByConfidence:
        return lambda confidence: mean_value(answers - reference, groups=groups, confidence=confidence)

    def others(self, answers: RepeatedAnswers, truth: Truth) -> Mapping[str, float]:
        return {}

    def read(self, tables: Sequence[Columns]) -> Sequence[tuple[Truth, Answers]]:
        return [
            (np.array(table["symmetry"], dtype=np.int64), np.array(table["kl"], dtype=np.float64)) for table in tables
        ]

    def classes(self, truth: Truth, class_names: Sequence[str]) -> Mapping[str, Bool[np.ndarray, " samples"]]:
        names = np.asarray(class_names)
        return {name: names == name for name in np.unique(names).tolist()}

    def ground(self, samples: Index, *, train: Index, seed: int) -> Ground:
        told, counts = count_of(len(samples), "sample"), {"num_samples": len(samples)}
        if not len(samples):
            return Ground(told, counts, beside="", controls={"uniform_kl": None})
        uniform = uniform_kl(truth_of(samples), groups=samples.groups.tolist())
        return Ground(told, counts, f"the uniform distribution has {with_span(uniform)}", {"uniform_kl": uniform})

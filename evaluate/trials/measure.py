"""How a judge compares variants that were trained with several seeds: the table of trials knows no figure by name.

What a trained variant answers is one number a sample: how anomalous it is, or the number of its class. What is true of
a sample is a whole number, which the judge reads from the store: its label, or its class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float64, Int64
from numpy import array, ndarray

from ...cache.index import Index
from ...metrics.conformal import holm
from ...metrics.estimate import Estimate
from ...metrics.p_value import RAREST_CHANCE, p_value_of
from ...metrics.repeats import ByConfidence, Method, RepeatsEstimate

Truth = Int64[ndarray, " samples"]
Answers = Float64[ndarray, " samples"]
RepeatedAnswers = Float64[ndarray, "repeats samples"]
Columns = Mapping[str, Sequence[str]]
"""What is told of each sample in `scores_<split>.csv`, by heading."""


@dataclass(frozen=True)
class MediaFreeControl:
    """AUROC of a control that sees no media; None with the `reason` where it cannot be computed."""

    auroc: Estimate | None
    reason: str | None


Control = MediaFreeControl | Estimate | float | None


@dataclass(frozen=True)
class Ground:
    """The samples that every trial answered, and what is reached on them without a model.

    Attributes:
        samples: how many there are of each kind, in words: `60 normals and 110 defects`.
        counts: the same by name, such as `num_normal`.
        beside: the controls in words.
        controls: the same by name.
        rival: what the control that variants are held against is called; "" where there is none.
        rival_answers: what that control answers of each sample, as a variant would.
    """

    samples: str
    counts: Mapping[str, int]
    beside: str
    controls: Mapping[str, Control]
    rival: str = ""
    rival_answers: Answers | None = None


@dataclass(frozen=True)
class Difference:
    """By how much one is ahead of another on the same samples.

    Attributes:
        value: with the 95 % interval.
        p_value: of no difference; below 0.05 just where the interval leaves out 0.
        p_holm: the same after Holm's step-down, for as many differences as are told of beside it.
    """

    value: RepeatsEstimate
    p_value: float
    p_holm: float

    @property
    def is_tie(self) -> bool:
        """Whether it is not known which is ahead, as many differences as are told of beside it taken into account."""
        return self.p_holm >= RAREST_CHANCE

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"difference": dict(vars(self.value)), "p_value": self.p_value, "p_holm": self.p_holm}


@runtime_checkable
class Measure(Protocol):
    """The first of a judge's headline figures over several trainings, and the others beside it.

    Every function raises a MetricError where the samples do not allow the figure.
    """

    @property
    def plural(self) -> str:
        """What several values of the figure are called, such as `AUROCs`."""

    @property
    def ways_of_mean(self) -> Mapping[Method, str]:
        """How the interval of a mean was made, in words."""

    @property
    def ways_of_difference(self) -> Mapping[Method, str]:
        """How the interval of a difference was made, in words."""

    def truth(self, samples: Index) -> Truth:
        """What is true of each sample."""

    def require(self, truth: Truth, *, split: str) -> None:
        """Refuse samples of a split on which nothing could be measured, before anything is trained."""

    def value(self, answers: Answers, truth: Truth) -> float:
        """The figure of one training."""

    def mean(self, answers: RepeatedAnswers, truth: Truth, *, groups: Sequence[str] | None = None) -> RepeatsEstimate:
        """Its mean over trainings with several seeds, with an interval for other samples and other seeds.

        `groups` are those that the samples come from ("": unknown); None where samples are taken as independent.
        """

    def difference(
        self,
        answers: RepeatedAnswers,
        reference: RepeatedAnswers,
        truth: Truth,
        *,
        groups: Sequence[str] | None = None,
    ) -> ByConfidence:
        """The mean less that of a reference, by the confidence; the same row of both has the same seed."""

    def others(self, answers: RepeatedAnswers, truth: Truth) -> Mapping[str, float]:
        """Means of the judge's other figures that are told in lists, by their names."""

    def read(self, tables: Sequence[Columns]) -> Sequence[tuple[Truth, Answers]]:
        """What is true of each sample and what was answered, from what several evaluations of the judge wrote; whole
        numbers mean the same in all of them.

        Raises:
            KeyError, ValueError: if a table is not of this judge.
        """

    def classes(self, truth: Truth, class_names: Sequence[str]) -> Mapping[str, Bool[ndarray, " samples"]]:
        """Of each class that is looked at by itself, the samples on which its figure is measured."""

    def ground(self, samples: Index, *, train: Index, seed: int) -> Ground:
        """What is reached without a model on samples, of which there may be none; `seed` is of random controls."""


def measured_difference(
    measure: Measure,
    answers: RepeatedAnswers,
    reference: RepeatedAnswers,
    truth: Truth,
    *,
    groups: Sequence[str] | None,
) -> Difference:
    """The difference by this measure, whose p value is by itself; raises as `Measure.difference`."""
    found = measure.difference(answers, reference, truth, groups=groups)
    p_value = p_value_of(found)
    return Difference(found(0.95), p_value, p_value)


def with_holm(found: Sequence[Difference]) -> list[Difference]:
    """Differences that are told of beside each other."""
    adjusted = holm(array([each.p_value for each in found]))
    return [replace(each, p_holm=float(p)) for each, p in zip(found, adjusted, strict=True)]

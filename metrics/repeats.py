"""A figure over repeated trainings, one a seed: its mean, and the difference of two such means, with intervals.

The figure is the AUROC, or the share of samples that are right, such as an accuracy.

Two things are random. The samples: all repeats score the same ones, so their AUROCs err together, and more repeats do
not help against it. The seeds: each repeat has its own. With `k` repeats, s^2 the sample variance of their AUROCs and C
the mean covariance of two of them over samples (DeLong's), the variance of the mean is

    C + s^2 / k,    and not less than the mean of the whole covariance matrix, which seeds without effect would leave.

(s^2 holds the samples' noise that repeats do not share, so adding it to the mean of the whole matrix would count that
noise twice.) This is the method of Obuchowski and Rockette (1995), Communications in Statistics - Simulation and
Computation 24, 285-308, with trainings in the place of readers. The few degrees of freedom of s^2 widen the interval
through the t distribution with the degrees of Hillis (2007), Statistics in Medicine 26, 596-619. For a difference all
this is of the differences between repeats of the same seed on the same samples.

Of shares, DeLong's covariances are those of what is right of each sample, over their number. The interval of one mean
is Clopper and Pearson's of as many right as there are on average, which takes the samples' noise as wholly shared.

Simulated coverage of nominal 95 % intervals, true AUROC 0.72 to 0.79, 60/110 and 121/1600 samples of the two classes,
seeds without effect to seeds that move the AUROC three times as far as the samples do: 0.93 to 0.97 of a mean and 0.94
to 0.99 of a difference with three repeats, 0.92 to 0.97 and 0.89 to 0.98 with two. Where samples come in groups, the
covariances of AUROCs are those of `clustered`, and the degrees of freedom of samples and of seeds are put together
after Satterthwaite. Of shares it is the covariances between groups' sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Integer, Shaped
from scipy.stats import rankdata, t

from ..errors import MetricError
from .clustered import (
    FEWEST_GROUPS,
    NO_VARIANCE,
    GroupParts,
    covariance_of_means,
    effective_fraction,
    group_parts,
)
from .estimate import Estimate, clopper_pearson
from .ranking import (
    SMALLEST_CLASS_FOR_DELONG,
    auroc,
    delong_covariance,
    logit_interval,
    newcombe_interval,
    structural_components,
)

Method = Literal["delong", "clustered", "newcombe", "clopper_pearson", "pairs", "equal", "spread", "range"]

SMALLEST_FOR_PAIRS = 10  # samples; a judgement, as that of classes for DeLong's variance


@dataclass(frozen=True)
class RepeatsEstimate(Estimate):
    """An estimate over repeats, and what made its interval.

    Attributes:
        method: `delong`: the variance above; `clustered`: the same where samples come in groups, of AUROCs or of
            shares; `newcombe`: Newcombe's interval of each
            mean, where that variance says too little; `clopper_pearson`: Clopper and Pearson's interval of each share;
            `pairs`: the variance above of differences of shares; `equal`, of differences alone: both sides place each
            of many samples alike, so there is nothing to estimate; `spread`: the variance above of a value that each
            sample has; `range`: from its lowest to its highest, where samples or groups are too few for a variance.
    """

    method: Method


ByConfidence = Callable[[float], RepeatsEstimate]
"""An estimate by the confidence of its interval."""


def mean_auroc(
    scores: Shaped[np.ndarray, "repeats samples"],
    labels: Integer[np.ndarray, " samples"],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> RepeatsEstimate:
    """Mean AUROC of the repeats with a two-sided interval inside [0, 1], for other samples and other seeds.

    On the logit scale, carried back. Where a class has fewer than `SMALLEST_CLASS_FOR_DELONG` samples or DeLong's
    variance is zero (perfect separation, all scores equal), Newcombe's interval of the mean stands for the samples, and
    the seeds' part is added to its square. One repeat says nothing about other seeds: its interval is for other samples
    alone, as by `auroc_interval`.

    Args:
        groups: of each sample, "" where unknown; None where samples are independent. Where two samples share one, the
            samples' part is that of `clustered.grouped_auroc`.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    return _mean_auroc_by_confidence(scores, labels, groups=groups)(confidence)


def _mean_auroc_by_confidence(
    scores: Shaped[np.ndarray, "repeats samples"],
    labels: Integer[np.ndarray, " samples"],
    *,
    groups: Sequence[str] | None,
) -> ByConfidence:
    values = np.array([auroc(row, labels) for row in scores])
    # Clipped: exactly 0 or 1 where all repeats are, which rounding of the mean may miss.
    value = float(np.clip(values.mean(), values.min(), values.max()))
    samples = _SamplesPart.of(scores, labels, groups=groups)
    variance, degrees = 0.0, np.inf
    if samples.enough and 0 < value < 1:
        weights = np.full(len(scores), 1 / len(scores))
        variance, degrees = _variance_of_mean(values, samples.covariance, of_samples=samples.degrees(weights))
    num_defect, num_normal = samples.counts

    def mean(confidence: float) -> RepeatsEstimate:
        upper = 0.5 + confidence / 2
        if variance > 0:
            quantile = float(t.ppf(upper, degrees))
            found = logit_interval(value, standard_error=float(np.sqrt(variance)), quantile=quantile)
            return RepeatsEstimate(value, low=found.low, high=found.high, method=samples.method)
        over_samples = newcombe_interval(value, num_defect=num_defect, num_normal=num_normal, confidence=confidence)
        over_seeds = _reach_over_seeds(values, upper=upper)
        return RepeatsEstimate(
            value,
            low=max(0.0, value - float(np.hypot(value - over_samples.low, over_seeds))),
            high=min(1.0, value + float(np.hypot(over_samples.high - value, over_seeds))),
            method="newcombe",
        )

    return mean


def mean_auroc_difference(
    scores: Shaped[np.ndarray, "repeats samples"],
    reference: Shaped[np.ndarray, "repeats samples"],
    labels: Integer[np.ndarray, " samples"],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> RepeatsEstimate:
    """Mean AUROC of `scores` less that of `reference`, with a two-sided interval inside [-1, 1].

    Paired by sample and by repeat: a row of one and the same row of the other have one seed. Symmetric, and cut at the
    ends. Where a class has fewer than `SMALLEST_CLASS_FOR_DELONG` samples (of groups: comes from too few), or both
    sides separate the classes, the intervals of the two means are combined as if they were independent (Newcombe's
    square-and-add), which is too wide rather than too narrow. Two that place each of more samples alike among those of
    the other class differ by exactly nothing; of a few that says little, as those who order them differently are not
    among them.

    Args:
        groups: as of `mean_auroc`.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    return mean_auroc_difference_by_confidence(scores, reference, labels, groups=groups)(confidence)


def mean_auroc_difference_by_confidence(
    scores: Shaped[np.ndarray, "repeats samples"],
    reference: Shaped[np.ndarray, "repeats samples"],
    labels: Integer[np.ndarray, " samples"],
    *,
    groups: Sequence[str] | None = None,
) -> ByConfidence:
    """`mean_auroc_difference` by its confidence, for which a p value asks a dozen times: what the samples say is
    computed once."""
    assert scores.shape == reference.shape, (scores.shape, reference.shape)
    samples = _SamplesPart.of(np.concatenate([scores, reference]), labels, groups=groups)
    if samples.enough_for_equal and _place_alike(scores, reference, labels):
        return lambda confidence: RepeatsEstimate(0.0, low=0.0, high=0.0, method="equal")
    differences = np.array([auroc(a, labels) - auroc(b, labels) for a, b in zip(scores, reference, strict=True)])
    value, variance, degrees = float(differences.mean()), 0.0, np.inf
    if samples.enough:
        contrast = np.hstack([np.eye(len(scores)), -np.eye(len(scores))])
        variance, degrees = _variance_of_mean(
            differences,
            contrast @ samples.covariance @ contrast.T,
            of_samples=samples.degrees(contrast.mean(axis=0)),
        )
    first, second = (_mean_auroc_by_confidence(side, labels, groups=groups) for side in (scores, reference))

    def difference(confidence: float) -> RepeatsEstimate:
        if variance > 0:
            reach = float(t.ppf(0.5 + confidence / 2, degrees) * np.sqrt(variance))
            low, high = max(-1.0, value - reach), min(1.0, value + reach)
            return RepeatsEstimate(value, low=low, high=high, method=samples.method)
        return _as_if_independent(value, first(confidence), second(confidence), method="newcombe")

    return difference


@dataclass(frozen=True, eq=False)
class _SamplesPart:
    """What the choice of samples adds to the errors of AUROCs; `parts` is None where samples are independent."""

    scores: Shaped[np.ndarray, "models samples"]
    labels: Integer[np.ndarray, " samples"]
    parts: GroupParts | None

    @classmethod
    def of(
        cls,
        scores: Shaped[np.ndarray, "models samples"],
        labels: Integer[np.ndarray, " samples"],
        *,
        groups: Sequence[str] | None,
    ) -> "_SamplesPart":
        parts = None if groups is None else group_parts(scores, labels, groups=groups)
        return cls(scores, labels, None if parts is None or parts.is_of_single_samples else parts)

    @property
    def method(self) -> Method:
        return "delong" if self.parts is None else "clustered"

    @property
    def enough(self) -> bool:
        """Whether there are enough for a variance."""
        if self.parts is not None:
            return self.parts.enough_for_variance
        return min(_class_counts(self.labels)) >= SMALLEST_CLASS_FOR_DELONG

    @property
    def enough_for_equal(self) -> bool:
        """Whether that all keep their places says that there is no difference."""
        enough = min(_class_counts(self.labels)) >= SMALLEST_CLASS_FOR_DELONG
        if self.parts is None:
            return enough
        return enough and min(self.parts.num_defect_groups, self.parts.num_normal_groups) >= FEWEST_GROUPS

    @property
    def counts(self) -> tuple[float, float]:
        """How many defects and normals there are, as far as they say something of their own."""
        return _class_counts(self.labels) if self.parts is None else self.parts.effective_counts

    @property
    def covariance(self) -> Float64[np.ndarray, "models models"]:
        return delong_covariance(self.scores, self.labels) if self.parts is None else self.parts.inflated_covariance

    def degrees(self, weights: Float64[np.ndarray, " models"]) -> float:
        """Degrees of freedom of the samples' part of a weighted sum of the AUROCs."""
        return np.inf if self.parts is None else self.parts.degrees(weights)


def mean_share(
    right: Shaped[np.ndarray, "repeats samples"], *, groups: Sequence[str] | None = None, confidence: float = 0.95
) -> RepeatsEstimate:
    """Mean share of what is right in the repeats, with a two-sided interval inside [0, 1], for other samples and other
    seeds; of one repeat, for other samples alone. Shares from 0 to 1 of each sample do, too: no values there have a
    larger variance than right and wrong, so that the interval is rather too wide."""
    values, (num_repeats, num_samples) = right.mean(axis=1), right.shape
    num_right = float(right.sum()) / num_repeats
    scale = 1.0 if groups is None else effective_fraction(right.mean(axis=0), groups=groups, confidence=confidence)
    over_samples = clopper_pearson(scale * num_right, trials=scale * num_samples, confidence=confidence)
    over_seeds = _reach_over_seeds(values, upper=0.5 + confidence / 2)
    value = num_right / num_samples
    return RepeatsEstimate(
        value,
        low=max(0.0, value - float(np.hypot(value - over_samples.low, over_seeds))),
        high=min(1.0, value + float(np.hypot(over_samples.high - value, over_seeds))),
        method="clopper_pearson",
    )


def mean_share_difference(
    right: Shaped[np.ndarray, "repeats samples"],
    reference: Shaped[np.ndarray, "repeats samples"],
    *,
    groups: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> RepeatsEstimate:
    """Mean share of `right` less that of `reference`, with a two-sided interval inside [-1, 1], paired by sample and
    by repeat; where it cannot be had from pairs, as `mean_auroc_difference` of independent means."""
    assert right.shape == reference.shape, (right.shape, reference.shape)
    enough = right.shape[1] >= SMALLEST_FOR_PAIRS
    if enough and np.array_equal(right, reference):
        return RepeatsEstimate(0.0, low=0.0, high=0.0, method="equal")
    each = right.astype(np.float64) - reference
    value = float(each.mean(axis=1).mean())
    if enough:
        covariance, of_samples = covariance_of_means(each, groups=groups)
        variance, degrees = _variance_of_mean(each.mean(axis=1), covariance, of_samples=of_samples)
        if variance > 0:
            reach = float(t.ppf(0.5 + confidence / 2, degrees) * np.sqrt(variance))
            low, high = max(-1.0, value - reach), min(1.0, value + reach)
            return RepeatsEstimate(value, low=low, high=high, method="pairs" if np.isinf(of_samples) else "clustered")
    first, second = (mean_share(side, groups=groups, confidence=confidence) for side in (right, reference))
    return _as_if_independent(value, first, second, method="clopper_pearson")


def mean_value(
    values: Float64[np.ndarray, "repeats samples"], *, groups: Sequence[str] | None = None, confidence: float = 0.95
) -> RepeatsEstimate:
    """Mean of a value that each sample has, such as a divergence or the difference of two, with a two-sided interval
    for other samples and other seeds; from the lowest to the highest value where samples are too few, or their groups
    are, to tell how they vary.

    Raises:
        MetricError: there are no samples, or a value is not finite.
    """
    num_samples = values.shape[1]
    if not num_samples or not np.isfinite(values).all():
        raise MetricError("A mean takes samples, and a finite value of each of them.")
    of_samples = values.mean(axis=0)
    value = float(of_samples.mean())
    if num_samples > 1:
        covariance, degrees = covariance_of_means(values, groups=groups)
        variance, degrees = _variance_of_mean(
            values.mean(axis=1), covariance, of_samples=num_samples - 1.0 if np.isinf(degrees) else degrees
        )
        if variance > 0:
            reach = float(t.ppf(0.5 + confidence / 2, degrees) * np.sqrt(variance))
            grouped = groups is not None and len(set(groups) - {""}) + list(groups).count("") < num_samples
            return RepeatsEstimate(value, value - reach, value + reach, method="clustered" if grouped else "spread")
    low, high = min(float(of_samples.min()), value), max(float(of_samples.max()), value)
    return RepeatsEstimate(value, low=low, high=high, method="range")


def _as_if_independent(value: float, first: Estimate, second: Estimate, *, method: Method) -> RepeatsEstimate:
    """A difference of two means whose intervals are put together by Newcombe's square-and-add."""
    return RepeatsEstimate(
        value,
        low=max(-1.0, value - float(np.hypot(first.value - first.low, second.high - second.value))),
        high=min(1.0, value + float(np.hypot(first.high - first.value, second.value - second.low))),
        method=method,
    )


def _place_alike(
    scores: Shaped[np.ndarray, "repeats samples"],
    reference: Shaped[np.ndarray, "repeats samples"],
    labels: Integer[np.ndarray, " samples"],
) -> bool:
    """Whether each sample is above as many of the other class on both sides, in every repeat.

    All that separate the classes do so, whatever else they make of the samples: then only the whole order says that two
    are alike.
    """
    if np.array_equal(rankdata(scores, axis=1), rankdata(reference, axis=1)):
        return True
    mine, theirs = (
        np.array([np.concatenate(structural_components(row, labels)) for row in side]) for side in (scores, reference)
    )
    return bool(np.array_equal(mine, theirs) and 0 < mine.mean() < 1)


def _variance_of_mean(
    values: Float64[np.ndarray, " repeats"], covariance: Float64[np.ndarray, "repeats repeats"], *, of_samples: float
) -> tuple[float, float]:
    """Variance of the mean over samples and seeds, and its degrees of freedom; zero where rounding is all there is.

    `of_samples` are the degrees of freedom of the samples' part.
    """
    num = len(values)
    if num == 1:
        variance, degrees = float(covariance[0, 0]), of_samples
    else:
        of_seeds = float(values.var(ddof=1)) / num
        shared = float(covariance.sum() - np.trace(covariance)) / (num * (num - 1))
        variance = max(max(shared, 0.0) + of_seeds, float(covariance.mean()))
        degrees = (num - 1) * (variance / of_seeds) ** 2 if of_seeds > 1e-12 * variance else np.inf
        if np.isfinite(of_samples) and variance > 0:
            noise = 1 / degrees + (1 - min(1.0, of_seeds / variance)) ** 2 / of_samples
            degrees = 1 / noise if noise > 0 else np.inf
    return (variance if variance > NO_VARIANCE else 0.0), degrees


def _reach_over_seeds(values: Float64[np.ndarray, " repeats"], *, upper: float) -> float:
    """How far the mean may lie from that of all seeds; nothing is known of them from one."""
    num = len(values)
    return float(t.ppf(upper, num - 1) * values.std(ddof=1) / np.sqrt(num)) if num > 1 else 0.0


def _class_counts(labels: Integer[np.ndarray, " samples"]) -> tuple[int, int]:
    return int(np.count_nonzero(labels == 1)), int(np.count_nonzero(labels == 0))

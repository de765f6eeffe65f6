"""AUROCs of samples that come in groups, such as sessions: their covariance, and intervals that know groups.

Samples of one group resemble each other, so that many of them say less than as many from groups of their own, and an
interval that takes them as independent is too narrow. The variance is Obuchowski's (1997), "Nonparametric analysis of
clustered ROC curve data", Biometrics 53, 567-578. With V the structural components of DeLong (for a defect the share of
normals below it, for a normal the share of defects above it), each group g has

    A_g = sum over its defects of (V - AUROC) / number of defects,    B_g = the same of its normals,

and with G1 groups that hold defects, G0 that hold normals and G groups in all the variance is

    G1/(G1 - 1) sum A_g^2  +  G0/(G0 - 1) sum B_g^2  +  2 G/(G - 1) sum A_g B_g.

The cross term is of the groups that hold both classes, whose defects and normals err together. As G is at least G1 and
G0, each group's share of the sum is a form that is never negative, and so is the variance. Where every sample is a
group of its own there is no cross term, and what is left is DeLong's variance.

G/(G - 1) is right for groups of one size. Where one group holds much of a class, it pulls the AUROC towards itself and
hides its own error. With w_g a group's share of its class and errors that are common to the group, the sum of A_g^2
falls short by 1 - 2 sum w^3 / sum w^2 + sum w^2, which for groups of one size is (G - 1)/G. Intervals therefore divide
by that (`inflation`); the covariance itself is as published.

Degrees of freedom, after Satterthwaite (1946), Biometrics Bulletin 2, 110-114: the error of the AUROC is a sum of
independent parts, one a group, and a sum of their squares has the degrees

    (sum of the parts' variances)^2 / (sum of the squares of the parts' variances).

A group's variance is taken as A's term in proportion to the square of its number of defects, plus B's term likewise by
its normals, plus where it holds both its part of the cross term, in proportion to the product of the two numbers. The
squares are multiplied with G1/(G1 - 1) in groups of defects alone, G0/(G0 - 1) in those of normals alone and G/(G - 1)
in those of both, for the mean that is estimated. With groups of one size and one class this is the known form of two
independent variances with G1 - 1 and G0 - 1 degrees; where all of them hold both, it is G - 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Integer, Shaped
from scipy.stats import t

from ..errors import MetricError
from .estimate import Estimate, clopper_pearson
from .ranking import auroc_interval, logit_interval, newcombe_interval, structural_components

# Simulated coverage of nominal 95 % intervals, true AUROC 0.90, correlation within a group 0 / .2 / .5, 600 draws each,
# groups of one class: with 6 and 20 groups of 20 samples .95 / .95 / .94, 5 and 5 of 10 .97 / .96 / .93, 4 and 12 of 10
# .95 / .95 / .94, 3 and 12 of 10 .95 / .95 / .94, but 2 and 12 of 10 .90 / .90 / .91.
SMALLEST_FOR_VARIANCE = 3  # groups of a class
NO_VARIANCE = 1e-18  # below which a variance is rounding
FEWEST_GROUPS = 5  # of a class, below which an interval is told to be of too few


@dataclass(frozen=True)
class ClusteredEstimate(Estimate):
    """An AUROC with an interval that knows groups.

    Attributes:
        independent_low: of the interval that takes samples as independent.
        independent_high: the same.
        num_defect_groups: how many groups hold defects, a sample of unknown group being one.
        num_normal_groups: how many hold normals.
    """

    independent_low: float
    independent_high: float
    num_defect_groups: int
    num_normal_groups: int

    @property
    def independent(self) -> Estimate:
        """The same with the interval that takes samples as independent."""
        return Estimate(self.value, low=self.independent_low, high=self.independent_high)

    @property
    def of_too_few(self) -> bool:
        """Whether a class comes from too few groups for the interval to mean much."""
        return min(self.num_defect_groups, self.num_normal_groups) < FEWEST_GROUPS


def group_numbers(groups: Sequence[str]) -> Integer[np.ndarray, " samples"]:
    """The groups of samples, counted from 0; an unknown one ("") is a group of its own."""
    named = np.asarray(groups, dtype=np.str_)
    _, numbers = np.unique(named, return_inverse=True)
    unknown = named == ""
    numbers[unknown] = len(named) + np.arange(np.count_nonzero(unknown))
    _, numbers = np.unique(numbers, return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class GroupParts:
    """What each group adds to the errors of the AUROCs of several models on the same samples.

    Attributes:
        of_defects: A of the module's text; 0 where a group holds no defect.
        of_normals: B.
        num_defects: how many defects each group holds.
        num_normals: how many normals.
    """

    of_defects: Float64[np.ndarray, "models groups"]
    of_normals: Float64[np.ndarray, "models groups"]
    num_defects: Integer[np.ndarray, " groups"]
    num_normals: Integer[np.ndarray, " groups"]

    @cached_property
    def num_defect_groups(self) -> int:
        """How many groups hold defects."""
        return int(np.count_nonzero(self.num_defects))

    @cached_property
    def num_normal_groups(self) -> int:
        """How many groups hold normals."""
        return int(np.count_nonzero(self.num_normals))

    @cached_property
    def is_of_single_samples(self) -> bool:
        """Whether each sample is a group of its own, so that samples are independent."""
        return bool((self.num_defects + self.num_normals == 1).all())

    @property
    def enough_for_variance(self) -> bool:
        """Whether there are enough groups of each class to tell how groups differ."""
        return min(self.num_defect_groups, self.num_normal_groups) >= SMALLEST_FOR_VARIANCE

    @property
    def effective_counts(self) -> tuple[float, float]:
        """How many defects and how many normals say as much, if a group says no more than one sample; after Kish, the
        number of groups of one size that would have the same sum of squared sizes."""
        return _effective_number(self.num_defects), _effective_number(self.num_normals)

    @cached_property
    def covariance(self) -> Float64[np.ndarray, "models models"]:
        """Covariances of the AUROCs, as published.

        Raises:
            MetricError: fewer than two groups hold defects, or normals.
        """
        return self._covariance(1.0, 1.0)

    @cached_property
    def inflated_covariance(self) -> Float64[np.ndarray, "models models"]:
        """The same with the correction for groups of unequal sizes."""
        return self._covariance(_inflation(self.num_defects), _inflation(self.num_normals))

    def _covariance(self, of_defects: float, of_normals: float) -> Float64[np.ndarray, "models models"]:
        crossed = self.of_defects @ self.of_normals.T
        covariance = (
            of_defects * _factor(self.num_defect_groups) * self.of_defects @ self.of_defects.T
            + of_normals * _factor(self.num_normal_groups) * self.of_normals @ self.of_normals.T
            + np.sqrt(of_defects * of_normals) * _factor(len(self.num_defects)) * (crossed + crossed.T)
        )
        return np.asarray(covariance, dtype=np.float64)

    def degrees(self, weights: Float64[np.ndarray, " models"]) -> float:
        """Degrees of freedom of the variance of a weighted sum of the AUROCs; infinite where that is zero."""
        of_defects, of_normals = weights @ self.of_defects, weights @ self.of_normals
        both = (self.num_defects > 0) & (self.num_normals > 0)
        parts = (
            float(of_defects @ of_defects) * _shares(self.num_defects.astype(np.float64) ** 2)
            + float(of_normals @ of_normals) * _shares(self.num_normals.astype(np.float64) ** 2)
            + 2 * float(of_defects @ of_normals) * _shares(self.num_defects * self.num_normals.astype(np.float64))
        )
        factors = np.where(
            both,
            _factor(len(both)),
            np.where(self.num_defects > 0, _factor(self.num_defect_groups), _factor(self.num_normal_groups)),
        )
        noise = float(np.sum(factors * parts**2))
        return float(parts.sum()) ** 2 / noise if noise > 0 else np.inf


def _effective_number(counts: Integer[np.ndarray, " groups"]) -> float:
    return float(counts.sum()) ** 2 / float(np.sum(counts.astype(np.float64) ** 2))


def _shares(values: Float64[np.ndarray, " groups"]) -> Float64[np.ndarray, " groups"]:
    total = values.sum()
    return values / total if total > 0 else values


def _inflation(counts: Integer[np.ndarray, " groups"]) -> float:
    """By how much the squares of one class fall short where its groups are of unequal sizes; 1 where of one size."""
    shares = counts[counts > 0] / counts.sum()
    squares = float(np.sum(shares**2))
    left = 1 - 2 * float(np.sum(shares**3)) / squares + squares
    return max(1.0, (1 - 1 / len(shares)) / left) if len(shares) > 1 else 1.0


def _factor(num: int) -> float:
    if num < 2:
        raise MetricError(
            "A variance between groups needs two groups of defects and two of normals at least, and there are fewer."
        )
    return num / (num - 1)


def group_parts(
    scores: Shaped[np.ndarray, "models samples"], labels: Integer[np.ndarray, " samples"], *, groups: Sequence[str]
) -> GroupParts:
    """The parts of each group, of models that scored the same samples.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    numbers = group_numbers(groups)
    num_groups = int(numbers.max(initial=-1)) + 1
    is_defect, is_normal = labels == 1, labels == 0
    sums: list[list[Float64[np.ndarray, " groups"]]] = [[], []]
    for row in scores:
        for found, mask, components in zip(
            sums, (is_defect, is_normal), structural_components(row, labels), strict=True
        ):
            error = (components - components.mean()) / components.size
            found.append(np.bincount(numbers[mask], weights=error, minlength=num_groups))
    num_defects, num_normals = (np.bincount(numbers[mask], minlength=num_groups) for mask in (is_defect, is_normal))
    return GroupParts(np.stack(sums[0]), np.stack(sums[1]), num_defects, num_normals)


def grouped_auroc(
    scores: Shaped[np.ndarray, " samples"],
    labels: Integer[np.ndarray, " samples"],
    *,
    groups: Sequence[str],
    confidence: float = 0.95,
) -> ClusteredEstimate:
    """AUROC with a two-sided interval inside [0, 1] that knows which samples come from one group.

    On the logit scale with a quantile of Student's t, carried back. Where a class comes from fewer than
    `SMALLEST_FOR_VARIANCE` groups, or the variance is zero (perfect separation, all scores equal), Newcombe's interval
    of as many samples as there are effective groups: rather too wide. Where no two samples share a group, the interval
    is that of `auroc_interval`, to the last bit.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    independent = auroc_interval(scores, labels, confidence=confidence)
    parts = group_parts(np.asarray(scores)[np.newaxis], labels, groups=groups)
    found = independent
    if not parts.is_of_single_samples:
        found = _interval(independent.value, parts, confidence=confidence)
    return ClusteredEstimate(
        found.value,
        low=found.low,
        high=found.high,
        independent_low=independent.low,
        independent_high=independent.high,
        num_defect_groups=parts.num_defect_groups,
        num_normal_groups=parts.num_normal_groups,
    )


def _interval(value: float, parts: GroupParts, *, confidence: float) -> Estimate:
    if parts.enough_for_variance and 0 < value < 1:
        variance, weights = float(parts.inflated_covariance[0, 0]), np.ones(1)
        if variance > NO_VARIANCE:
            quantile = float(t.ppf(0.5 + confidence / 2, parts.degrees(weights)))
            return logit_interval(value, standard_error=float(np.sqrt(variance)), quantile=quantile)
    num_defect, num_normal = parts.effective_counts
    return newcombe_interval(value, num_defect=num_defect, num_normal=num_normal, confidence=confidence)


def grouped_share(hits: Bool[np.ndarray, " samples"], *, groups: Sequence[str], confidence: float = 0.95) -> Estimate:
    """The share of samples that are hits, with an interval that knows which samples come from one group.

    Clopper and Pearson's of as many samples as say as much when they are independent (`effective_fraction`). Source:
    Korn and Graubard (1998), Survey Methodology 24, 193-201. Where no two samples share a group it is `clopper_pearson`
    itself.
    """
    num_hits, scale = int(hits.sum()), effective_fraction(hits, groups=groups, confidence=confidence)
    if scale == 1:
        return clopper_pearson(num_hits, trials=hits.size, confidence=confidence)
    found, value = (
        clopper_pearson(num_hits * scale, trials=hits.size * scale, confidence=confidence),
        num_hits / hits.size,
    )
    return Estimate(value, low=min(found.low, value), high=max(found.high, value))


def effective_fraction(
    values: Shaped[np.ndarray, " samples"], *, groups: Sequence[str], confidence: float = 0.95
) -> float:
    """By how much fewer independent samples would leave the mean of values in [0, 1], such as hits, as open; at most 1.

    From the variance between groups over that of independent samples, scaled down for the few groups that it is known
    from. Where that variance is zero, or there are fewer than `SMALLEST_FOR_VARIANCE` groups, a group counts as one
    sample.
    """
    counts = np.bincount(group_numbers(groups))
    if counts.max() == 1:
        return 1.0
    value = float(np.mean(values))
    if counts.size >= SMALLEST_FOR_VARIANCE and 0 < value < 1:
        covariance, degrees = covariance_of_means(np.asarray(values, dtype=np.float64)[np.newaxis], groups=groups)
        variance, upper = float(covariance[0, 0]), 0.5 + confidence / 2
        if variance > NO_VARIANCE:
            scale = (t.ppf(upper, values.size - 1) / t.ppf(upper, degrees)) ** 2
            return min(1.0, float(scale) * value * (1 - value) / (variance * values.size))
    return _effective_number(counts) / values.size


def covariance_of_means(
    values: Float64[np.ndarray, "models samples"], *, groups: Sequence[str] | None
) -> tuple[Float64[np.ndarray, "models models"], float]:
    """Covariances of means over the same samples, and their degrees of freedom: infinite where samples are independent.

    Between groups the squares of their summed errors, with the correction for unequal sizes of the module's text. Fewer
    groups than `SMALLEST_FOR_VARIANCE` say nothing of their variance, and it is told to be zero.
    """
    counts = np.ones(values.shape[1], dtype=np.int64) if groups is None else np.bincount(group_numbers(groups))
    if counts.max() == 1:
        return np.asarray(np.atleast_2d(np.cov(values)), dtype=np.float64) / values.shape[1], np.inf
    if counts.size < SMALLEST_FOR_VARIANCE:
        return np.zeros((len(values), len(values))), 1.0
    numbers = group_numbers(groups or ())
    errors = (values - values.mean(axis=1, keepdims=True)) / values.shape[1]
    sums = np.stack([np.bincount(numbers, weights=row, minlength=counts.size) for row in errors])
    degrees = 1 / float(np.sum(_factor(counts.size) * _shares(counts.astype(np.float64) ** 2) ** 2))
    covariance = _inflation(counts) * _factor(counts.size) * sums @ sums.T
    return np.asarray(covariance, dtype=np.float64), degrees

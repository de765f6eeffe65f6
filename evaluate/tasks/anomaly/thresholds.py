"""Alarm thresholds of validation normals, what these promise of others, and how much new scores stand out from them.

A promise counts independent normals: groups, where the data set knows these. The bank of whole normals' scores is kept
in calibration.json, so that a score of a new sample has a p-value without the validation samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from ....metrics.clustered import effective_fraction, grouped_share
from ....metrics.conformal import Promise, benjamini_hochberg, p_values, promise
from ....metrics.estimate import Estimate
from ....metrics.p_value import RAREST_CHANCE
from ....metrics.threshold import (
    Confusion,
    confusion_at,
    exceedance_p_value,
    exceedance_rate,
    normal_quantile_threshold,
)
from ....train.runs.documents import Count, Line
from ...scores import ScoreTable

TOLD_RATES = (0.01, 0.05)
"""Targets that every calibration has thresholds for, beside the one of the settings."""


class BankedNormal(TypedDict):
    """The score of a validation normal that lacks nothing, and the group that it comes from ("": unknown)."""

    score: float
    group: Line


class ThresholdKept(TypedDict):
    """A threshold as calibration.json keeps it: the fields of `AlarmThreshold` and of its promise."""

    target_fpr: float
    threshold: float
    num_normal: Count
    num_normal_above: Count
    num_independent: Count
    num_independent_above: float
    fpr_held: float
    num_needed: Count
    threshold_that_holds: float | None


@dataclass(frozen=True)
class AlarmThreshold:
    """A threshold from validation normals.

    Attributes:
        value: in the unit of the scores; scores strictly above raise an alarm.
        target_fpr: the false-alarm rate that was asked for.
        num_normal: how many validation normals it was taken from.
        num_normal_above: how many of them score above it.
        promise: what these say of other normals.
    """

    value: float
    target_fpr: float
    num_normal: int
    num_normal_above: int
    promise: Promise

    def kept(self) -> ThresholdKept:
        """As calibration.json keeps it."""
        return ThresholdKept(
            target_fpr=self.target_fpr,
            threshold=self.value,
            num_normal=self.num_normal,
            num_normal_above=self.num_normal_above,
            num_independent=self.promise.num,
            num_independent_above=self.promise.num_above,
            fpr_held=self.promise.rate,
            num_needed=self.promise.num_needed,
            threshold_that_holds=self.promise.threshold,
        )

    @classmethod
    def read(cls, kept: ThresholdKept) -> "AlarmThreshold":
        """What calibration.json keeps."""
        return cls(
            kept["threshold"],
            kept["target_fpr"],
            kept["num_normal"],
            kept["num_normal_above"],
            Promise(
                num=kept["num_independent"],
                num_above=kept["num_independent_above"],
                rate=kept["fpr_held"],
                num_needed=kept["num_needed"],
                threshold=kept["threshold_that_holds"],
            ),
        )


def alarm_threshold(validation: ScoreTable, *, target_fpr: float) -> AlarmThreshold:
    """The threshold above which at most the share `target_fpr` of the validation normals lies.

    Raises:
        MetricError: as `normal_quantile_threshold`.
    """
    normals = validation.select(validation.labels == 0)
    value = normal_quantile_threshold(normals.scores, target_fpr=target_fpr)
    return AlarmThreshold(
        value,
        target_fpr,
        len(normals),
        int(np.count_nonzero(normals.scores > value)),
        promise(normals.scores, groups=normals.groups, threshold=value, target_fpr=target_fpr),
    )


def alarm_thresholds(validation: ScoreTable, *, target_fpr: float) -> tuple[AlarmThreshold, ...]:
    """Those of the `TOLD_RATES` and of the settings' target, strictest first; raises what `alarm_threshold` raises."""
    return tuple(alarm_threshold(validation, target_fpr=rate) for rate in sorted({*TOLD_RATES, target_fpr}))


def alarms(table: ScoreTable, *, threshold: float) -> list[bool | None]:
    """Whether each sample raises an alarm; None on a scale of its own, of which no threshold says anything."""
    above = (table.scores > threshold).tolist()
    return [None if scale == "own" else is_above for is_above, scale in zip(above, table.scales, strict=True)]


def bank_of(validation: ScoreTable) -> list[BankedNormal]:
    """The scores of the whole normals of validation, lowest first."""
    normals = validation.select((validation.labels == 0) & (np.array(validation.scales, dtype=np.str_) == "whole"))
    return [
        BankedNormal(score=float(normals.scores[row]), group=normals.groups[row])
        for row in np.argsort(normals.scores, kind="stable").tolist()
    ]


def bank_p_values(table: ScoreTable, bank: Sequence[BankedNormal]) -> NDArray[np.float64]:
    """The conformal p-value of each sample, see `metrics.conformal`; NaN of samples on a scale of their own, and of all
    where the bank is empty."""
    found = p_values(table.scores, calibration=np.array([each["score"] for each in bank], dtype=np.float64))
    found[np.array(table.scales, dtype=np.str_) == "own"] = np.nan
    return found if bank else np.full(len(table), np.nan)


def bank_columns(table: ScoreTable, bank: Sequence[BankedNormal]) -> dict[str, Sequence[object]]:
    """Of each sample its p-value, and that adjusted for telling many samples at once (Benjamini and Hochberg): of those
    at most q, the share q at most is of normals, in the mean. Empty where there is none."""
    found = bank_p_values(table, bank)
    known, adjusted = ~np.isnan(found), found.copy()
    adjusted[known] = benjamini_hochberg(found[known])
    return {
        name: ["" if np.isnan(value) else value for value in values.tolist()]
        for name, values in (("p_value", found), ("adjusted_p_value", adjusted))
    }


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold does to the judged samples; the intervals of both rates know groups."""

    threshold: AlarmThreshold
    confusion: Confusion
    fpr: Estimate
    recall: Estimate

    @property
    def by_chance(self) -> float:
        """How often chance alone makes a false-alarm rate as odd as this, if samples are independent."""
        return exceedance_p_value(
            self.confusion.false_alarms,
            num_new=self.confusion.false_alarms + self.confusion.passed,
            num_reference_above=self.threshold.num_normal_above,
            num_reference=self.threshold.num_normal,
        )

    @property
    def misses_target(self) -> bool:
        """Whether more normals raise an alarm than was asked for, and that is warned of: the interval excludes the
        target, or chance hardly explains it. Of few groups an interval may hold nearly any rate."""
        target = self.threshold.target_fpr
        return self.fpr.value > target and (self.fpr.low > target or self.by_chance < RAREST_CHANCE)


def at_threshold(threshold: AlarmThreshold, table: ScoreTable) -> AtThreshold:
    """Count the alarms among the samples of `table`; raises what `confusion_at` raises."""
    fpr, recall = (
        grouped_share(part.scores > threshold.value, groups=part.groups)
        for part in (table.select(table.labels == label) for label in (0, 1))
    )
    confusion = confusion_at(threshold.value, scores=table.scores, labels=table.labels)
    return AtThreshold(threshold, confusion, fpr=fpr, recall=recall)


def expected_fpr(threshold: AlarmThreshold, validation: ScoreTable) -> Estimate:
    """Where the false-alarm rate of all normals lies, from those of validation alone, of which those of one group
    resemble each other: they count as as many as say as much when they are independent.

    An interval and no promise: it goes by how much groups differ here, where a promise takes each for one normal.
    Simulated coverage of nominal 95 %, target 5 %, correlation within a group 0 / .2 / .5, 400 draws each: of 6 groups
    of 20 normals .99 / .94 / .89, 12 of 10 .98 / .96 / .93, 20 of 20 .99 / .95 / .90; taken as independent .95 / .82 /
    .62, .96 / .90 / .79, .98 / .81 / .63.
    """
    normals = validation.select(validation.labels == 0)
    above = normals.scores > threshold.value
    num = len(normals) * effective_fraction(above, groups=normals.groups)
    return exceedance_rate(num * float(np.mean(above)), num_reference=num)


@dataclass(frozen=True)
class GroupShift:
    """Where the scores of one group's normals lie.

    Attributes:
        part: of the split, such as test.
        median: in standard deviations of validation's normals, from the median of these.
    """

    group: str
    part: str
    num: int
    median: float


def group_shifts(*, validation: ScoreTable, test: ScoreTable) -> tuple[GroupShift, ...]:
    """Of each group that is known, in validation and in the judged samples, where its normals lie; highest first.

    Empty where validation's normals do not spread, and where each group has one normal, which says nothing of it.
    """
    of_validation = validation.scores[validation.labels == 0]
    deviation = float(of_validation.std()) if of_validation.size else 0.0
    if not deviation:
        return ()
    centre, found = float(np.median(of_validation)), []
    for table in (validation, test):
        parts, groups = np.array(table.parts, dtype=np.str_), np.array(table.groups, dtype=np.str_)
        normal = (table.labels == 0) & (groups != "")
        for part, group in sorted(set(zip(parts[normal].tolist(), groups[normal].tolist(), strict=True))):
            scores = table.scores[normal & (parts == part) & (groups == group)]
            median = (float(np.median(scores)) - centre) / deviation
            found.append(GroupShift(group, part, scores.size, median))
    if all(shift.num == 1 for shift in found):
        return ()
    return tuple(sorted(found, key=lambda shift: shift.median, reverse=True))

"""Scores of samples that lack a modality, put on the scale of the samples that lack none.

A model scores what it sees, so without a modality its scores have another mean and another spread, for normals and
defects alike: a defect that lacks one may score below every normal that has all. One threshold and one AUROC over both
kinds say something only on one scale. Whole is who lacks nothing of what training had. What normals score with a
modality hidden says where the scale without it lies: for each set of hidden features, mean and deviation of the
validation normals that lack nothing, as they are (m, d) and with those features hidden (m', d'), turn a score s into
m + d (s - m') / d'. Late fusion brings scores of different models together in the same units
(`train/combination.py`). Mean and standard deviation and not median and quartiles: there may be a dozen such normals,
from which the former are known better. With fewer than ten even these are chance: of two, any other pair puts the same
sample elsewhere, so nothing is put anywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....metrics.clustered import grouped_auroc
from ....metrics.estimate import Estimate, span
from ....wording import count_of
from ...scores import ScoreScale, ScoreTable
from ...scoring import AVERAGED, RAW, FeatureSets, Mask, Scored, Scores, Way, ways_to_measure

FEWEST_NORMALS = 10
# Of the largest score: normals whose scores, which are float32, spread no further all score alike.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation (population form) of the scores of normals, which spread."""

    mean: float
    deviation: float


Scales = Mapping[Way, Scale | None]
"""By the way of scoring where the whole validation normals lie; None where that is not known."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Scores of a split on the scale of whole samples, as far as that can be.

    Attributes:
        table: the samples with their scores by each of the model's weights.
        without: by modality the scores as if none had it; on the scale of whole samples where some lack something.
        rescaled: which of those that lack something are on the scale of whole samples in `table`.
        num_scale_normals: how many validation normals that scale rests on.
    """

    scored: Scored
    table: ScoreTable
    without: Mapping[str, Scores]
    rescaled: Mask
    num_scale_normals: int

    @property
    def num_lacking(self) -> Mapping[str, int]:
        """How many samples lack each modality that some lack."""
        return {modality: int(mask.sum()) for modality, mask in self.scored.lacking.items()}

    @property
    def num_rescaled(self) -> Mapping[str, int]:
        """How many of those are on the scale of whole samples."""
        return {modality: int((mask & self.rescaled).sum()) for modality, mask in self.scored.lacking.items()}


def scale_of(normals: Scores) -> Scale | None:
    """The scale of the scores of normals; None where there are too few to know it from, or where all score alike."""
    if len(normals) < FEWEST_NORMALS:
        return None
    deviation = float(normals.std())
    if deviation <= _ROUNDING * float(np.abs(normals).max()):
        return None
    return Scale(mean=float(normals.mean()), deviation=deviation)


def rescaled(scores: Scores, *, found: Scale, wanted: Scale) -> Scores:
    """Scores on the scale `found`, as they would be on the scale `wanted`; their order stays."""
    return wanted.mean + wanted.deviation * (scores - found.mean) / found.deviation


def on_whole_scale(scores: Scores, way: Way, *, lacking: Sequence[FeatureSets], scales: Scales) -> tuple[Scores, Mask]:
    """Scores on the scale of whole samples, and which of them are on it; the others are as they were.

    Args:
        scores: of some samples, in the way `way`; what that hides, each sample counts as lacking.
        lacking: of each sample the feature sets that it lacks by itself.
        scales: in the ways that `ways_to_measure` names; of others nothing is known.
    """
    missed = [way.without | own for own in lacking]
    wanted = scales.get(Way(way.weights))
    placed, on_scale = scores.copy(), np.array([not names for names in missed], dtype=bool)
    for pattern in {names for names in missed if names}:
        found = scales.get(Way(way.weights, pattern))
        if wanted is None or found is None:
            continue
        chosen = np.array([names == pattern for names in missed], dtype=bool)
        placed[chosen] = rescaled(scores[chosen], found=found, wanted=wanted)
        on_scale |= chosen
    return placed, on_scale


def place(scored: Scored, *, scales: Scales, num_scale_normals: int) -> Placed:
    """Put the scores of a split on the scale of whole samples; where no sample lacks anything they are on it."""
    placed = dict(scored.ways)
    on_scale = np.ones(len(scored.table), dtype=bool)
    if ways_to_measure(scored.ways, lacking=scored.lacking_sets):
        found = {
            way: on_whole_scale(scores, way, lacking=scored.lacking_sets, scales=scales)
            for way, scores in scored.ways.items()
        }
        placed = {way: scores for way, (scores, _) in found.items()}
        on_scale = np.logical_and.reduce([found[way][1] for way in (AVERAGED, RAW) if way in found])
    names: list[ScoreScale] = [
        "whole" if lacks_nothing else "rescaled" if placed_there else "own"
        for lacks_nothing, placed_there in zip(scored.whole.tolist(), on_scale.tolist(), strict=True)
    ]
    return Placed(
        scored=scored,
        table=replace(scored.table, scores=placed[AVERAGED], raw_scores=placed.get(RAW), scales=tuple(names)),
        without={modality: placed[way] for modality, way in scored.hidden.items()},
        rescaled=on_scale & ~scored.whole,
        num_scale_normals=num_scale_normals,
    )


@dataclass(frozen=True)
class WholeSamples:
    """The model on the samples alone that lack no modality.

    Attributes:
        auroc: None where they have one class only.
        num_normal: how many of them are normals.
        num_defect: how many are defects.
        num_scale_normals: on how many whole validation normals the others' place on their scale rests.
        num_own_scale: how many of the others could not be put there, and spoil every figure over all.
    """

    auroc: Estimate | None
    num_normal: int
    num_defect: int
    num_scale_normals: int
    num_own_scale: int


def whole_samples(placed: Placed) -> WholeSamples | None:
    """The model on the samples alone that lack nothing; None where all are such."""
    is_whole = placed.scored.whole
    if is_whole.all():
        return None
    whole = placed.table.select(is_whole)
    num_normal, num_defect = (int(np.count_nonzero(whole.labels == label)) for label in (0, 1))
    return WholeSamples(
        auroc=grouped_auroc(whole.scores, whole.labels, groups=whole.groups) if min(num_normal, num_defect) else None,
        num_normal=num_normal,
        num_defect=num_defect,
        num_scale_normals=placed.num_scale_normals,
        num_own_scale=int(np.count_nonzero(~is_whole & ~placed.rescaled)),
    )


def scale_caveats(judged: Placed, *, validation: Placed, auroc: Estimate, whole: WholeSamples | None) -> Iterator[str]:
    """What to know where samples of the split or validation normals lack something, the gravest first.

    Args:
        judged: the samples that are reported on.
        validation: those whose normals give the threshold.
        auroc: the model's over all samples that are reported on.
        whole: the model's over those that lack nothing.
    """
    yield from _about_own_scales(judged)
    yield from _about_rescaled(judged, auroc=auroc, whole=whole)
    yield from _about_threshold(validation)


def _about_own_scales(judged: Placed) -> Iterator[str]:
    num = int(np.count_nonzero(~judged.scored.whole & ~judged.rescaled))
    if num:
        yield (
            f"On a scale of their own: {count_of(num, 'sample')} of {judged.scored.split}, out of "
            f"{len(judged.scored.table)}, without a modality that training had. It could not be joined to that of "
            f"whole samples: {_why_not_joined(judged)}. Alarms for them say nothing, and their part in the AUROC "
            "misleads."
        )


def _why_not_joined(judged: Placed) -> str:
    if judged.num_scale_normals < FEWEST_NORMALS:
        return (
            "validation has "
            f"{count_of(judged.num_scale_normals, 'normal that lacks nothing', 'normals that lack nothing')}, and this "
            f"takes {FEWEST_NORMALS} at least"
        )
    return "the validation normals that lack nothing all get the same score, whole or with the same modality hidden"


def _about_rescaled(judged: Placed, *, auroc: Estimate, whole: WholeSamples | None) -> Iterator[str]:
    num = int(np.count_nonzero(judged.rescaled))
    if not num:
        return
    compare = "Whole samples alone are not of both classes, so they have no AUROC."
    if whole is not None and whole.auroc is not None:
        compare = (
            f"Over the {whole.num_normal + whole.num_defect} whole samples alone the AUROC is {whole.auroc.value:.3f} "
            f"({span(whole.auroc)}), over all {auroc.value:.3f}."
        )
    yield (
        f"Put on the scale of whole samples: {count_of(num, 'sample')} of {judged.scored.split} without a modality, "
        f"by what {judged.num_scale_normals} validation normals score with the same modality hidden. Alarms for them "
        f"and their part in the AUROC rest on {judged.num_scale_normals}, and no interval holds the error of that. "
        f"{compare}"
    )


def _about_threshold(validation: Placed) -> Iterator[str]:
    normal = validation.table.labels == 0
    partial = normal & ~validation.scored.whole
    num, num_rescaled = int(np.count_nonzero(partial)), int(np.count_nonzero(partial & validation.rescaled))
    if num:
        how = (
            f"all put on the scale of whole ones, which rests on {validation.num_scale_normals}"
            if num == num_rescaled
            else f"{num - num_rescaled} on another scale"
        )
        yield (
            f"{num} of the {int(np.count_nonzero(normal))} validation normals, which give the threshold, lack a "
            f"modality ({how})."
        )

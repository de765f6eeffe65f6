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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .variants import Scores, Variant

FeatureSets = frozenset[str]
Mask = NDArray[np.bool_]

FEWEST_NORMALS = 10
# Of the largest score: normals whose scores, which are float32, spread no further all score alike.
_ROUNDING = 4 * float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation (population form) of the scores of normals, which spread."""

    mean: float
    deviation: float


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


def variants_to_measure(variants: Collection[Variant], *, lacking: Sequence[FeatureSets]) -> tuple[Variant, ...]:
    """How the whole validation normals have to be scored to put `variants` of the scores on their scale.

    Args:
        variants: the ways in which the samples were scored.
        lacking: of each sample the feature sets that it lacks.

    Returns:
        nothing where no sample lacks anything.
    """
    patterns = sorted(set(lacking), key=sorted)
    if not any(patterns):
        return ()
    whole = [Variant(variant.weights) for variant in variants]
    hidden = [Variant(variant.weights, variant.without | pattern) for variant in variants for pattern in patterns]
    return tuple(dict.fromkeys([*whole, *hidden]))


def on_whole_scale(
    scores: Scores, variant: Variant, *, lacking: Sequence[FeatureSets], normals: Mapping[Variant, Scores]
) -> tuple[Scores, Mask]:
    """Scores on the scale of whole samples, and which of them are on it; the others are as they were.

    Args:
        scores: of some samples, in the way `variant`.
        variant: what it hides, each sample counts as lacking.
        lacking: of each sample the feature sets that it lacks by itself.
        normals: scores of the validation normals that lack nothing, in the ways that `variants_to_measure` names.
    """
    missed = [variant.without | own for own in lacking]
    wanted = scale_of(normals[Variant(variant.weights)])
    placed, on_scale = scores.copy(), np.array([not names for names in missed], dtype=bool)
    for pattern in {names for names in missed if names}:
        found = scale_of(normals[Variant(variant.weights, pattern)])
        if wanted is None or found is None:
            continue
        chosen = np.array([names == pattern for names in missed], dtype=bool)
        placed[chosen] = rescaled(scores[chosen], found=found, wanted=wanted)
        on_scale |= chosen
    return placed, on_scale

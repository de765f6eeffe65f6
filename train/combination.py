"""How the scores of several models become one: each in units of its spread on normals, weighted alike or otherwise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb, fsum
from typing import Literal

import numpy as np
from jaxtyping import Float64, Integer

from ..errors import SettingsError, TooFewSamplesError, TrainingError
from ..metrics.ranking import auroc
from ..wording import count_of

Weighting = Literal["equal", "fit"] | tuple[float, ...]
"""What each model counts: all alike, as a fit to validation says, or these numbers."""

Scores = Float64[np.ndarray, "samples members"]
Labels = Integer[np.ndarray, " samples"]

_LEAST_NORMALS = 2
_TOLERANCE = 1e-6  # by which given weights may miss 1
_MOST_TRIALS = 6000  # weightings that are compared; each costs one sorting of the scores
_PARTS = (100, 50, 20, 10, 5, 4, 2, 1)  # that the weight of 1 may be cut into, the finest first


@dataclass(frozen=True)
class Combination:
    """Numbers by which scores are combined, one a model.

    Attributes:
        mean: of its scores on normals.
        std: their standard deviation (population form).
        weight: its share; all are convex.
        step: between weights that were compared; None where none were.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    weight: tuple[float, ...]
    step: float | None


def parse_weighting(text: str) -> Weighting:
    """`equal`, `fit`, or numbers with commas between them.

    Raises:
        SettingsError: if it is none of these.
    """
    if text == "equal":
        return "equal"
    if text == "fit":
        return "fit"
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"weights {text}: expected equal, fit, or a number for each run, such as 0.37,0.63."
        ) from None


def require_convex(weights: Sequence[float], *, num_members: int) -> None:
    """Refuse weights that are not one for each member, none negative, summing to 1.

    Raises:
        SettingsError: says what is wrong.
    """
    given = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != num_members:
        raise SettingsError(
            f"--weights {given}: {count_of(len(weights), 'weight')} for {num_members} runs; give one for each."
        )
    if not all(0 <= weight <= 1 for weight in weights) or abs(fsum(weights) - 1) > _TOLERANCE:
        raise SettingsError(f"--weights {given}: weights must lie between 0 and 1 and sum to 1.")


def weigh(scores: Scores, labels: Labels, *, names: Sequence[str], weighting: Weighting) -> Combination:
    """Measure validation scores of the models called `names`, and weigh them.

    Raises:
        SettingsError: if weights are to be fitted and there is no defect to fit them on.
        TooFewSamplesError: if there are too few normals.
        TrainingError: if all of a model's scores on them are equal.
        MetricError: if a score is not finite.
    """
    normals = scores[labels == 0]
    if len(normals) < _LEAST_NORMALS:
        raise TooFewSamplesError(
            f"Validation has {count_of(len(normals), 'normal sample')} that all runs can score, and a spread takes "
            f"{_LEAST_NORMALS}. Run `weldcache extract --split val`, or look at how the data is split."
        )
    mean, std = normals.mean(axis=0), normals.std(axis=0)
    for name, spread in zip(names, std.tolist(), strict=True):
        if not spread > 0:
            raise TrainingError(
                f"The run {name} gives all {len(normals)} validation normals one score, so its scores have no unit to "
                "be compared in; leave it out."
            )
    weight, step = _weights((scores - mean) / std, labels, weighting=weighting)
    return Combination(tuple(mean.tolist()), tuple(std.tolist()), weight, step)


def _weights(standardised: Scores, labels: Labels, *, weighting: Weighting) -> tuple[tuple[float, ...], float | None]:
    if weighting == "fit":
        return fit_weights(standardised, labels)
    if weighting == "equal":
        count = standardised.shape[1]
        return (1 / count,) * count, None
    return weighting, None


def fit_weights(scores: Scores, labels: Labels) -> tuple[tuple[float, ...], float]:
    """The convex weights with the highest AUROC of the weighted scores, among all multiples of a step; and that step.

    It is the finest for which there are few enough weightings: 0.01 for two or three members, 0.05 for four. Of
    weightings that separate equally well, the one nearest to equal weights is taken, which asks least of the samples.

    Raises:
        SettingsError: if there is no defect.
        MetricError: if a score is not finite, or there is no normal.
    """
    if not (labels == 1).any():
        raise SettingsError(
            "--weights fit compares weights by their AUROC on validation, which has normals alone. Take equal weights, "
            "or give them: --weights 0.37,0.63."
        )
    num_members = scores.shape[1]
    others = num_members - 1  # whose bars among the parts can stand in comb(parts + others, others) ways
    parts = next(parts for parts in _PARTS if parts == 1 or comb(parts + others, others) <= _MOST_TRIALS)
    trials = np.array(list(_weightings(num_members, parts)), dtype=np.float64) / parts
    found = np.array([auroc(scores @ weights, labels) for weights in trials])
    best = trials[found == found.max()]
    nearest = best[np.square(best - 1 / num_members).sum(axis=1).argmin()]
    return tuple(nearest.tolist()), 1 / parts


def _weightings(num_members: int, parts: int) -> Iterator[list[int]]:
    """All ways to share out `parts` among the members: bars among the parts say where one's share ends."""
    places = parts + num_members - 1
    for bars in combinations(range(places), num_members - 1):
        yield [after - before - 1 for before, after in pairwise((-1, *bars, places))]

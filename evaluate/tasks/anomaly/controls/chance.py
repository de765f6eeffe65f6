"""What guessing reaches, beside the controls that know something."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .....metrics.clustered import grouped_auroc
from .....metrics.estimate import Estimate
from .....metrics.p_value import Permutation, dealt_members, permutation_of
from ....scores import ScoreTable
from .control import Control, Controls


def controls_with_chance(
    rivals: Mapping[str, Control], table: ScoreTable, *, seed: int, separating: Mapping[str, str] | None = None
) -> Controls:
    """These controls of the samples of `table`, and what guessing reaches there; `seed` is of the random scores and of
    the permutations, `separating` as in `Controls`.

    Raises:
        MetricError: the table has one class only.
    """
    return Controls(
        random=random_control(table, generator=np.random.default_rng(seed)),
        rivals=rivals,
        permutation=permuted_labels(table, seed=seed),
        separating={} if separating is None else separating,
        chance_ap=float(np.mean(table.labels)),
        majority_accuracy=majority_accuracy(table.labels),
    )


def random_control(table: ScoreTable, *, generator: np.random.Generator) -> Estimate:
    """AUROC of random scores through the same code as the model's: far from 0.5, that code sees the labels.

    Raises:
        MetricError: the table has one class only.
    """
    return grouped_auroc(generator.random(len(table)), table.labels, groups=table.groups)


def majority_accuracy(labels: NDArray[np.int64]) -> float:
    """Accuracy of always answering the more frequent label."""
    prevalence = float(np.mean(labels))
    return max(prevalence, 1 - prevalence)


def permuted_labels(table: ScoreTable, *, seed: int) -> Permutation:
    """The AUROCs of the model's own scores where labels are dealt anew, to whole groups or to samples as
    `dealt_members` has it.

    Raises:
        MetricError: the table has one class only.
    """
    members = dealt_members(table.labels, groups=table.groups)
    ranks = rankdata(table.scores)
    sizes, sums = (np.bincount(members, weights=each).astype(np.float64) for each in (np.ones(len(table)), ranks))
    first = np.unique(members, return_index=True)[1]
    generator, labels = np.random.default_rng(seed), table.labels[first].astype(np.float64)
    return permutation_of(
        _auroc_of(labels, sizes, sums),
        deal=lambda: _auroc_of(generator.permutation(labels), sizes, sums),
        of_groups=len(first) < len(table),
    )


def _auroc_of(labels: NDArray[np.float64], sizes: NDArray[np.float64], sums: NDArray[np.float64]) -> float:
    """AUROC where members of these sizes and sums of ranks have these labels."""
    num_defect, num = float(labels @ sizes), float(sizes.sum())
    wins = float(labels @ sums) - num_defect * (num_defect + 1) / 2
    return wins / (num_defect * (num - num_defect))

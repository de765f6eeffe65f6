"""What guessing reaches, beside the controls that know something."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .....metrics.clustered import grouped_auroc
from .....metrics.estimate import Estimate
from .....metrics.p_value import permutation_of
from ....scores import ScoreTable
from .control import Control, Controls, LabelPermutation


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


def permuted_labels(table: ScoreTable, *, seed: int) -> LabelPermutation:
    """Deal labels anew: those of groups where each group of several samples holds one label alone, because then samples
    of a group are no witnesses of their own; or else those of samples.

    Raises:
        MetricError: the table has one class only.
    """
    by_group = _grouped(table)
    ranks = rankdata(table.scores)
    members = np.arange(len(table)) if by_group is None else by_group
    sizes, sums = (np.bincount(members, weights=each).astype(np.float64) for each in (np.ones(len(table)), ranks))
    first = np.unique(members, return_index=True)[1]
    generator, labels = np.random.default_rng(seed), table.labels[first].astype(np.float64)
    found = permutation_of(
        _auroc_of(labels, sizes, sums), deal=lambda: _auroc_of(generator.permutation(labels), sizes, sums)
    )
    return LabelPermutation(found.null, found.p_value, found.number, of_groups=by_group is not None)


def _grouped(table: ScoreTable) -> NDArray[np.int64] | None:
    """The number of each sample's group; None where groups are not known, hold both labels or are all of one sample."""
    names, numbers = np.unique(np.asarray(table.groups), return_inverse=True)
    defects = np.bincount(numbers, weights=table.labels)
    mixed = (defects > 0) & (defects < np.bincount(numbers))
    return None if "" in names or mixed.any() or len(names) == len(table) else numbers.astype(np.int64)


def _auroc_of(labels: NDArray[np.float64], sizes: NDArray[np.float64], sums: NDArray[np.float64]) -> float:
    """AUROC where members of these sizes and sums of ranks have these labels."""
    num_defect, num = float(labels @ sizes), float(sizes.sum())
    wins = float(labels @ sums) - num_defect * (num_defect + 1) / 2
    return wins / (num_defect * (num - num_defect))

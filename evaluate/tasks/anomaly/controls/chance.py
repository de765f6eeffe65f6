"""What guessing reaches, beside the controls that know something."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .....metrics.estimate import Estimate
from .....metrics.ranking import auroc_interval
from ....scores import ScoreTable
from .control import Control, Controls


def controls_with_chance(rivals: Mapping[str, Control], table: ScoreTable, *, seed: int) -> Controls:
    """These controls of the samples of `table`, and what guessing reaches there; `seed` is of the random scores.

    Raises:
        MetricError: the table has one class only.
    """
    return Controls(
        random=random_control(table, generator=np.random.default_rng(seed)),
        rivals=rivals,
        chance_ap=float(np.mean(table.labels)),
        majority_accuracy=majority_accuracy(table.labels),
    )


def random_control(table: ScoreTable, *, generator: np.random.Generator) -> Estimate:
    """AUROC of random scores through the same code as the model's: far from 0.5, that code sees the labels.

    Raises:
        MetricError: the table has one class only.
    """
    return auroc_interval(generator.random(len(table)), table.labels)


def majority_accuracy(labels: NDArray[np.int64]) -> float:
    """Accuracy of always answering the more frequent label."""
    prevalence = float(np.mean(labels))
    return max(prevalence, 1 - prevalence)

"""Oracle controls: how often the class can be read off what a target says of the judged sample itself.

A target of several values a sample, such as attributes that people saw, is known of no new sample. A model that is told
it need not be any good; one that is not told it need not reach as much.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from ....cache.index import Index
from ....cache.targets import UNKNOWN
from .controls import ClassControl, Classes, measured_control


def oracle_controls(
    true: Classes, predicted: Classes, *, judged: Index, train: Index, train_classes: Classes
) -> Iterator[ClassControl]:
    """One for each target of several values; the rest as for `class_controls`."""
    for name, target in judged.targets.items():
        if target.values.ndim == 2 and not target.spec.is_ragged:
            yield measured_control(
                f"oracle control ({name})",
                f"the target {name}, which nobody knows of a new sample",
                by_class_means(target.values, train=train.targets[name].values, classes=train_classes),
                true,
                predicted,
                groups=judged.groups.tolist(),
                is_oracle=True,
            )


def by_class_means(
    values: Shaped[np.ndarray, "judged value"], *, train: Shaped[np.ndarray, "train value"], classes: Classes
) -> Classes | str:
    """The class whose mean in training is nearest to what is known of the values, by the squared difference in units of
    the deviation that each value has in training; or why there is none."""
    known, known_train = _known(values), _known(train)
    if not known_train.any():
        return "nothing of it is known of the training samples"
    filled, filled_train = np.where(known, values, 0.0), np.where(known_train, train, 0.0)
    num = np.maximum(known_train.sum(axis=0), 1)
    mean = filled_train.sum(axis=0) / num
    deviation = np.sqrt((np.where(known_train, train - mean, 0.0) ** 2).sum(axis=0) / num)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1.0), 0.0)
    names = np.unique(classes)
    totals, counts = (
        np.stack([of[classes == name].sum(axis=0) for name in names]) for of in (filled_train, known_train)
    )
    means = np.where(counts > 0, totals / np.maximum(counts, 1), mean) * scale
    # The square multiplied out, so that no array has samples, classes and values; what all classes share is left out.
    distances = known.astype(np.float64) @ (means**2).T - 2 * (filled * scale) @ means.T
    nearest: Classes = names[distances.argmin(axis=1)]
    return nearest


def _known(values: Shaped[np.ndarray, "row value"]) -> Bool[np.ndarray, "row value"]:
    known: NDArray[np.bool_] = np.isfinite(values) if values.dtype.kind == "f" else values != UNKNOWN
    return known

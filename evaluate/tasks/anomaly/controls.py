"""Controls: what can be had without a model. A model is worth only what it adds to them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ....cache.status import Status
from ....cache.store import FeatureStore
from ....metrics.estimate import Estimate
from ....metrics.ranking import auroc_interval
from ....train.data.features import Rows
from ....train.recipes.recipe import Recipe
from ...scores import Attributes, ScoreTable
from ...trials.measure import MediaFreeControl


@dataclass(frozen=True)
class Controls:
    """What can be had without a model.

    Attributes:
        random: AUROC of seeded random scores.
        media_free: AUROC of the distance in attributes to the nearest training sample.
        file_metadata: the same of the number, the size and the length of files.
        chance_ap: average precision of random scores, which is the share of defects.
        majority_accuracy: accuracy of always answering the more frequent label.
    """

    random: Estimate
    media_free: MediaFreeControl
    file_metadata: MediaFreeControl
    chance_ap: float
    majority_accuracy: float


def random_control(table: ScoreTable, *, generator: np.random.Generator) -> Estimate:
    """AUROC of random scores through the same code as the model's: far from 0.5, that code sees the labels.

    Raises:
        MetricError: the table has one class only.
    """
    return auroc_interval(generator.random(len(table)), table.labels)


def media_free_control(table: ScoreTable, *, train_attributes: Attributes) -> MediaFreeControl:
    """AUROC of the distance to the nearest training sample in the attributes.

    Args:
        table: the samples to score.
        train_attributes: the same attributes of the samples that the model trained on, one value a sample.

    Raises:
        MetricError: the table has one class only.
    """
    nothing = "the data set records no attributes beside the media"
    return _nearest(table, attributes=table.attributes, train=train_attributes, nothing=nothing)


def file_metadata_control(table: ScoreTable, *, files: Attributes, train_files: Attributes) -> MediaFreeControl:
    """AUROC of the distance to the nearest training sample in what is known of the files, by `file_metadata`."""
    return _nearest(table, attributes=files, train=train_files, nothing="nothing is known of the files")


def _nearest(table: ScoreTable, *, attributes: Attributes, train: Attributes, nothing: str) -> MediaFreeControl:
    reason = nothing if not train or not attributes else _why_not(train, attributes)
    if reason is not None:
        return MediaFreeControl(auroc=None, reason=reason)
    distances = nearest_train_distances(attributes, train=train)
    return MediaFreeControl(auroc=auroc_interval(distances, table.labels), reason=None)


def nearest_train_distances(attributes: Attributes, *, train: Attributes) -> NDArray[np.float64]:
    """Euclidean distance from each sample to the nearest training sample; both sides name the same attributes.

    Numbers are standardised with the mean and standard deviation of train, where a deviation of 0 counts as 1. Strings
    are one-hot over all values that occur on either side, so that a value unseen in train is as far from the known ones
    as they are from each other (squared distance 2), instead of falling back to the origin or to an error.
    """
    num_train = len(next(iter(train.values())))
    columns = [_encoded(np.concatenate([train[name], attributes[name]]), num_train=num_train) for name in sorted(train)]
    rows = np.hstack(columns)
    distances, _ = KDTree(rows[:num_train]).query(rows[num_train:])
    return np.asarray(distances, dtype=np.float64)


def majority_accuracy(labels: NDArray[np.int64]) -> float:
    """Accuracy of always answering the more frequent label."""
    prevalence = float(np.mean(labels))
    return max(prevalence, 1 - prevalence)


def _why_not(train: Attributes, attributes: Attributes) -> str | None:
    if train.keys() != attributes.keys():
        only_one_side = ", ".join(sorted(train.keys() ^ attributes.keys()))
        return f"these attributes are not recorded for both training and evaluated samples: {only_one_side}"
    if not len(next(iter(train.values()))):
        return "there are no training samples to compare with"
    for name in sorted(train):
        both = np.concatenate([train[name], attributes[name]])
        if np.issubdtype(both.dtype, np.number) and not np.isfinite(both).all():
            return f"attribute {name!r} has no value for {int(np.count_nonzero(~np.isfinite(both)))} samples"
    return None


def _encoded(values: NDArray[np.float64] | NDArray[np.character], *, num_train: int) -> NDArray[np.float64]:
    """Columns of one attribute; its first `num_train` values are those of train."""
    if not np.issubdtype(values.dtype, np.number):
        return np.asarray(values[:, np.newaxis] == np.unique(values), dtype=np.float64)
    known = values[:num_train].astype(np.float64)
    # The deviation of equal values is not always 0 (of 0.1 it is 1e-17), so equality is asked for itself.
    deviation = known.std() if np.ptp(known) > 0 else 1.0
    return np.asarray((values.astype(np.float64) - known.mean()) / deviation)[:, np.newaxis]


def file_metadata(store: FeatureStore, rows: Rows, *, recipe: Recipe) -> Attributes:
    """Number of files, logarithm of their bytes, and lengths as far as the store has them, one value a row and modality
    that `recipe` looks at; 0 where a row lacks the modality.

    Bytes of compressed files say a little of what these show, too: a control that takes them is rather too good.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for modality, names in recipe.needs().modalities.items():
        name = names[0]  # sets of one modality are made from the same files
        complete = store.status(name)[rows] == Status.COMPLETE
        sources = store.sources(name, rows[complete])
        columns[f"{modality} files"] = _spread(np.array([len(files) for files in sources]), complete)
        num_bytes = np.array([sum(file.size for file in files) for files in sources])
        columns[f"{modality} bytes"] = _spread(np.log1p(num_bytes), complete)
        for array, lengths in _lengths(store, name, rows[complete]).items():
            columns[f"{modality} {array}"] = _spread(lengths, complete)
    return columns


def _lengths(store: FeatureStore, feature_set: str, rows: Rows) -> dict[str, NDArray[np.generic]]:
    """Tokens that are not padding, and seconds from the first time stamp to the last."""
    found: dict[str, NDArray[np.generic]] = {}
    for name, spec in store.arrays(feature_set).items():
        if name.endswith("_length") and spec.shape == ():
            found[name] = store.read(f"{feature_set}/{name}", rows)
        elif name == "times":
            found[name] = np.ptp(store.read(f"{feature_set}/{name}", rows), axis=1)
    return found


def _spread(values: NDArray[np.generic], complete: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of the complete rows at their places among all."""
    column = np.zeros(len(complete))
    column[complete] = values
    return column

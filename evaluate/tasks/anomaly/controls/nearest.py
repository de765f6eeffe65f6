"""Controls that see no media: how far a sample lies from the nearest training sample in what is known beside them."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ....scores import Attributes, ScoreTable
from .control import Control, Found, Rival

MEDIA_FREE = Rival("media-free control", "the settings", leads=True, needed=True)
NO_ATTRIBUTES = "the data set records no attributes beside the media"
NO_FILES = "nothing is known of the files"
FILE_METADATA = Rival("file-metadata control", "number, size, kind and length of files", leads=True)


def media_free_control(table: ScoreTable, *, train_attributes: Attributes) -> Control:
    """AUROC of the distance to the nearest training sample in the attributes.

    Args:
        table: the samples to score.
        train_attributes: the same attributes of the samples that the model trained on, one value a sample.

    Raises:
        MetricError: the table has one class only.
    """
    return MEDIA_FREE.measured(_nearest(table.attributes, train=train_attributes), table)


def file_metadata_control(table: ScoreTable, *, files: Attributes, train_files: Attributes) -> Control:
    """AUROC of the distance to the nearest training sample in what is known of the files, by `file_metadata`."""
    return FILE_METADATA.measured(_nearest(files, train=train_files, nothing=NO_FILES), table)


def _nearest(attributes: Attributes, *, train: Attributes, nothing: str = NO_ATTRIBUTES) -> Found:
    reason = why_no_distances(attributes, train=train, nothing=nothing)
    return reason or nearest_train_distances(attributes, train=train)


def nearest_train_distances(attributes: Attributes, *, train: Attributes) -> NDArray[np.float64]:
    """Euclidean distance from each sample to the nearest training sample; see `nearest_train_rows`."""
    return nearest_train_rows(attributes, train=train)[0]


def nearest_train_rows(attributes: Attributes, *, train: Attributes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance from each sample to the nearest training sample, and which that is; both sides name the same
    attributes.

    Numbers are standardised with the mean and standard deviation of train, where a deviation of 0 counts as 1. Strings
    are one-hot over all values that occur on either side, so that a value unseen in train is as far from the known ones
    as they are from each other (squared distance 2), instead of falling back to the origin or to an error.
    """
    num_train = len(next(iter(train.values())))
    columns = [_encoded(np.concatenate([train[name], attributes[name]]), num_train=num_train) for name in sorted(train)]
    rows = np.hstack(columns)
    distances, places = KDTree(rows[:num_train]).query(rows[num_train:])
    return np.asarray(distances, dtype=np.float64), np.asarray(places, dtype=np.int64)


def why_no_distances(attributes: Attributes, *, train: Attributes, nothing: str = NO_ATTRIBUTES) -> str | None:
    """Why there are no such distances, `nothing` where nothing is known; None where there are."""
    if not train or not attributes:
        return nothing
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

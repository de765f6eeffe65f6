"""Which rows of a store take part: normals to train on, and everybody of the validation split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..cache.store import FeatureStore
from ..errors import NotFoundError, SettingsError
from .recipes.recipe import FeatureRequest

TRAIN_SPLIT = "train"
VALIDATION_SPLIT = "val"

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """Rows that take part, and how many do not and why.

    Attributes:
        train: normals with every feature set.
        validation: normals and defects with every feature set.
        defects_left_out: defects of the train split; training never sees them.
        train_lacking: normals of the train split without features, by feature set; one may count for several.
        validation_lacking: the same of the validation split, defects included.
    """

    train: Rows
    validation: Rows
    defects_left_out: int
    train_lacking: Mapping[str, int]
    validation_lacking: Mapping[str, int]


def choose_samples(
    store: FeatureStore, requests: Sequence[FeatureRequest], *, monitor: Literal["val_auroc", "val_loss"]
) -> ChosenSamples:
    """The rows to train and validate on.

    Raises:
        NotFoundError: if a split is not there, not extracted, or has too few normals.
        SettingsError: if the monitor needs defects in validation and there are none.
    """
    feature_sets = tuple(dict.fromkeys(request.feature_set for request in requests))
    train, train_lacking = _complete_rows(store, TRAIN_SPLIT, feature_sets=feature_sets)
    validation, validation_lacking = _complete_rows(store, VALIDATION_SPLIT, feature_sets=feature_sets)
    labels = store.index.labels
    normals = train[labels[train] == 0]
    _require_normals(store, TRAIN_SPLIT, count=len(normals), least=2)
    _require_normals(store, VALIDATION_SPLIT, count=int(np.sum(labels[validation] == 0)), least=1)
    if monitor == "val_auroc" and not (labels[validation] == 1).any():
        raise SettingsError(
            f"train.monitor = val_auroc needs defects in the split {VALIDATION_SPLIT}, and {store.path} has none "
            "there with all features. Use --set train.monitor=val_loss, which looks at normals alone."
        )
    return ChosenSamples(
        train=normals,
        validation=validation,
        defects_left_out=int(np.sum((store.index.splits == TRAIN_SPLIT) & (labels == 1))),
        train_lacking={name: int(np.sum(labels[rows] == 0)) for name, rows in train_lacking.items()},
        validation_lacking={name: len(rows) for name, rows in validation_lacking.items()},
    )


def _complete_rows(store: FeatureStore, split: str, *, feature_sets: Sequence[str]) -> tuple[Rows, dict[str, Rows]]:
    """Rows of `split` with every feature set, and the others by what they lack."""
    everyone = store.rows(split, feature_sets=())
    if not len(everyone):
        splits = ", ".join(sorted(set(store.index.splits.tolist()))) or "none"
        raise NotFoundError(
            f"{store.path} has no rows of the split {split} (it has {splits}), and training needs {TRAIN_SPLIT} and "
            f"{VALIDATION_SPLIT}. Run `weldcache extract --split {split}`."
        )
    lacking = {name: np.setdiff1d(everyone, store.rows(split, feature_sets=(name,))) for name in feature_sets}
    complete = store.rows(split, feature_sets=feature_sets)
    if not len(complete):
        counts = ", ".join(f"{name} for {len(rows)}" for name, rows in lacking.items() if len(rows))
        raise NotFoundError(
            f"{store.path}: none of the {len(everyone)} rows of the split {split} has all features; there is no "
            f"{counts}. Run `weldcache extract --split {split}`."
        )
    return complete, {name: rows for name, rows in lacking.items() if len(rows)}


def _require_normals(store: FeatureStore, split: str, *, count: int, least: int) -> None:
    if count < least:
        raise NotFoundError(
            f"{store.path} has {count} normal rows with all features in the split {split}; at least {least} are "
            f"needed. Run `weldcache extract --split {split}`, or look at how the data is split."
        )

"""Which rows of a store take part: normals to train on, and everybody of the validation split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..cache.status import Status
from ..cache.store import FeatureStore
from ..errors import NotFoundError, SettingsError
from .feature_reader import Rows
from .recipes.recipe import Recipe, dispensable_modalities

TRAIN_SPLIT = "train"
VALIDATION_SPLIT = "val"


@dataclass(frozen=True, eq=False)
class SplitRows:
    """Rows of one split.

    Attributes:
        usable: those that a recipe can be trained on or scored with.
        left_out: the others by the feature set that they lack; one may count for several.
        without: those of the usable ones that lack a modality, by its name; the recipe copes with it.
    """

    usable: Rows
    left_out: Mapping[str, Rows]
    without: Mapping[str, Rows]


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """Rows that take part, and how many do not and why.

    Attributes:
        train: normals.
        validation: normals and defects.
        defects_left_out: defects of the train split; training never sees them.
        train_lacking: normals of the train split that are left out, by feature set; one may count for several.
        validation_lacking: the same of the validation split, defects included.
        train_without: normals that take part although they lack a modality, by its name.
        validation_without: the same of the validation split, defects included.
    """

    train: Rows
    validation: Rows
    defects_left_out: int
    train_lacking: Mapping[str, int]
    validation_lacking: Mapping[str, int]
    train_without: Mapping[str, int]
    validation_without: Mapping[str, int]


def choose_samples(store: FeatureStore, recipe: Recipe, *, monitor: Literal["val_auroc", "val_loss"]) -> ChosenSamples:
    """The rows to train and validate on.

    Raises:
        NotFoundError: if a split is not there, not extracted, or has too few normals.
        SettingsError: if the monitor needs defects in validation and there are none.
    """
    train, validation = (split_rows(store, split, recipe=recipe) for split in (TRAIN_SPLIT, VALIDATION_SPLIT))
    labels = store.index.labels
    normals = train.usable[labels[train.usable] == 0]
    _require_normals(store, TRAIN_SPLIT, count=len(normals), least=2)
    _require_normals(store, VALIDATION_SPLIT, count=int(np.sum(labels[validation.usable] == 0)), least=1)
    if monitor == "val_auroc" and not (labels[validation.usable] == 1).any():
        raise SettingsError(
            f"train.monitor = val_auroc needs defects in the split {VALIDATION_SPLIT}, and {store.path} has none "
            "there with all features. Use --set train.monitor=val_loss, which looks at normals alone."
        )
    return ChosenSamples(
        train=normals,
        validation=validation.usable,
        defects_left_out=int(np.sum((store.index.splits == TRAIN_SPLIT) & (labels == 1))),
        train_lacking={name: int(np.sum(labels[rows] == 0)) for name, rows in train.left_out.items()},
        validation_lacking={name: len(rows) for name, rows in validation.left_out.items()},
        train_without={name: int(np.sum(labels[rows] == 0)) for name, rows in train.without.items()},
        validation_without={name: len(rows) for name, rows in validation.without.items()},
    )


def split_rows(store: FeatureStore, split: str, *, recipe: Recipe) -> SplitRows:
    """The rows of `split` that `recipe` can use, and the others by what they lack.

    A feature set that a row may lack is one that the data set has no readable file for. A row that was not extracted
    yet is left out instead: it would otherwise be trained on as if its files were not there.

    Raises:
        NotFoundError: if the split is not there, or none of its rows can be used.
    """
    rows = np.flatnonzero(store.index.splits == split)
    if not len(rows):
        splits = ", ".join(sorted(set(store.index.splits.tolist()))) or "none"
        raise NotFoundError(
            f"{store.path} has no rows of the split {split} (it has {splits}), and training needs {TRAIN_SPLIT} and "
            f"{VALIDATION_SPLIT}. Run `weldcache extract --split {split}`."
        )
    optional = {request.feature_set: request.optional for request in recipe.requires()}
    status = {name: store.status(name)[rows] for name in optional}
    lacking = {
        name: codes == Status.MISSING if optional[name] else codes != Status.COMPLETE for name, codes in status.items()
    }
    absent = {
        modality: np.any([status[name] != Status.COMPLETE for name in names], axis=0)
        for modality, names in dispensable_modalities(recipe).items()
    }
    if all(optional.values()):  # a row that has nothing at all lacks everything
        nothing = np.all([status[name] != Status.COMPLETE for name in optional], axis=0)
        lacking = {name: missing | nothing for name, missing in lacking.items()}
    out = np.any(list(lacking.values()), axis=0)
    left_out = {name: rows[missing] for name, missing in lacking.items() if missing.any()}
    if out.all():
        counts = ", ".join(f"{name} for {len(missing)}" for name, missing in left_out.items())
        raise NotFoundError(
            f"{store.path}: none of the {len(rows)} rows of the split {split} has all features; there is no "
            f"{counts}. Run `weldcache extract --split {split}`."
        )
    without = {modality: rows[missing & ~out] for modality, missing in absent.items()}
    return SplitRows(rows[~out], left_out, {name: found for name, found in without.items() if len(found)})


def _require_normals(store: FeatureStore, split: str, *, count: int, least: int) -> None:
    if count < least:
        raise NotFoundError(
            f"{store.path} has {count} normal rows with all features in the split {split}; at least {least} are "
            f"needed. Run `weldcache extract --split {split}`, or look at how the data is split."
        )

"""Which rows of a store take part: normals to train on, and everybody of the validation split."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...cache.index import LEFT_OUT
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...errors import NotFoundError, SettingsError
from ...wording import count_of, listed
from ..recipes.recipe import Recipe, limits_of
from .feature_reader import Rows
from .twins import find_twins

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
        untrained: modalities that no normal of the train split has; the model is shown them of no sample.
        twins: samples of other splits that are one recording with a normal of the train split, which is named behind
            each. Those of the validation split are left out of it.
    """

    train: Rows
    validation: Rows
    defects_left_out: int
    train_lacking: Mapping[str, int]
    validation_lacking: Mapping[str, int]
    train_without: Mapping[str, int]
    validation_without: Mapping[str, int]
    untrained: frozenset[str]
    twins: Mapping[str, str]


def choose_samples(store: FeatureStore, recipe: Recipe, *, monitor: Literal["val_auroc", "val_loss"]) -> ChosenSamples:
    """The rows to train and validate on.

    Raises:
        NotFoundError: if a split is not there, not extracted, or has too few normals; or if the modalities that there
            are teach the recipe nothing.
        SettingsError: if the monitor needs defects in validation and there are none.
    """
    labels, splits = store.index.labels, store.index.splits
    train = split_rows(store, TRAIN_SPLIT, recipe=recipe)
    _rows_of(store, VALIDATION_SPLIT)
    normals = train.usable[labels[train.usable] == 0]
    _require_normals(store, TRAIN_SPLIT, count=len(normals), least=2)
    train_without = {name: int(np.sum(labels[rows] == 0)) for name, rows in train.without.items()}
    untrained = frozenset(name for name, count in train_without.items() if count == len(normals))
    limits_of(recipe, recipe.needs().modalities.keys() - untrained)

    validation = split_rows(store, VALIDATION_SPLIT, recipe=recipe, untrained=untrained)
    elsewhere = np.flatnonzero(~np.isin(splits, (TRAIN_SPLIT, LEFT_OUT)))
    twins = find_twins(store, elsewhere, normals, recipe=recipe).same
    validated = validation.usable[~np.isin(store.index.keys[validation.usable], list(twins))]
    _require_normals(store, VALIDATION_SPLIT, count=int(np.sum(labels[validated] == 0)), least=1)
    if monitor == "val_auroc" and not (labels[validated] == 1).any():
        raise SettingsError(
            f"train.monitor = val_auroc needs defects in the split {VALIDATION_SPLIT}, and {store.path} has none "
            "there with all features. Where all defects were recorded in one session, a split by sessions has none to "
            f"give: put some into {VALIDATION_SPLIT} by a manifest's SPLIT column or in sessions of their own. Or use "
            "--set train.monitor=val_loss, which looks at normals alone."
        )
    return ChosenSamples(
        train=normals,
        validation=validated,
        defects_left_out=int(np.sum((splits == TRAIN_SPLIT) & (labels == 1))),
        train_lacking={name: int(np.sum(labels[rows] == 0)) for name, rows in train.left_out.items()},
        validation_lacking={name: len(rows) for name, rows in validation.left_out.items()},
        train_without=train_without,
        validation_without={name: len(np.intersect1d(rows, validated)) for name, rows in validation.without.items()},
        untrained=untrained,
        twins=twins,
    )


def split_rows(
    store: FeatureStore, split: str, *, recipe: Recipe, untrained: Collection[str] = frozenset()
) -> SplitRows:
    """The rows of `split` that `recipe` can use, and the others by what they lack.

    A feature set that a row may lack is one that the data set has no readable file for. A row that was not extracted
    yet is left out instead: it would otherwise be trained on as if its files were not there. Modalities that are
    `untrained` do not matter: who has nothing else has nothing, and who lacks them lacks nothing.

    Raises:
        NotFoundError: if the split is not there, or none of its rows can be used.
    """
    rows = _rows_of(store, split)
    needs = recipe.needs()
    hidden = needs.sets_of(untrained)
    optional = {name: name in needs.optional for name in needs.feature_sets if name not in hidden}
    status = {name: store.status(name)[rows] for name in optional}
    lacking = {
        name: codes == Status.MISSING if optional[name] else codes != Status.COMPLETE for name, codes in status.items()
    }
    absent = {
        modality: np.any([status[name] != Status.COMPLETE for name in names], axis=0)
        for modality, names in needs.dispensable.items()
        if modality not in untrained
    }
    if all(optional.values()):  # a row that has nothing at all lacks everything
        nothing = np.all([status[name] != Status.COMPLETE for name in optional], axis=0)
        lacking = {name: missing | nothing for name, missing in lacking.items()}
    out = np.any(list(lacking.values()), axis=0)
    left_out = {name: rows[missing] for name, missing in lacking.items() if missing.any()}
    if out.all():
        never = any((codes == Status.MISSING).any() for codes in status.values())
        counts = ", ".join(f"{name} for {len(missing)}" for name, missing in left_out.items())
        raise NotFoundError(
            f"{store.path}: none of the {count_of(len(rows), 'row')} of the split {split} has all features; there is "
            f"no {counts}. {_how_to_have_them(split, never=never)}"
        )
    without = {modality: rows[missing & ~out] for modality, missing in absent.items()}
    return SplitRows(rows[~out], left_out, {name: found for name, found in without.items() if len(found)})


def _rows_of(store: FeatureStore, split: str) -> Rows:
    rows: Rows = np.flatnonzero(store.index.splits == split)
    if len(rows):
        return rows
    held = sorted(set(store.index.splits.tolist()) - {LEFT_OUT})
    has = f"it has {listed(held)}" if held else "it has none"
    raise NotFoundError(
        f"{store.path} has no rows of the split {split} ({has}). If the data set has some, run `weldcache extract "
        f"--split {split}`. If it has none, give it some: by a manifest's SPLIT column, or, where whole sessions are "
        "dealt to the splits, by more sessions, of normals and of defects."
    )


def _how_to_have_them(split: str, *, never: bool) -> str:
    if never:
        return f"Run `weldcache extract --split {split}`."
    return (
        "All were looked for, and the data set has no readable files for them, so that extracting again alone cannot "
        "help. `weldcache info` says why for each; see that data.root is right and that the files are there."
    )


def _require_normals(store: FeatureStore, split: str, *, count: int, least: int) -> None:
    if count < least:
        of_split = (store.index.splits == split) & (store.index.labels == 0)
        there = count_of(int(np.count_nonzero(of_split)), "normal row")
        raise NotFoundError(
            f"{store.path} has {count_of(count, 'normal row')} with all features in the split {split}, out of {there} "
            f"there; at least {least} are needed. Run `weldcache extract --split {split}` if some were not extracted "
            "yet; otherwise look at `weldcache info` for what they lack, and at how the data is split."
        )

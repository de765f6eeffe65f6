"""Which rows of a store take part: those that the task trains on, and of the validation split those it measures on.

What is trained on judges nothing under another name: such twins are found by the hashes that the store keeps of the
files that its rows were made from.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ...cache.splits import LEFT_OUT
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...errors import NotFoundError, SettingsError
from ...wording import count_of, listed, shortened
from ..recipes.recipe import Fitted, Recipe, limits_of
from ..tasks import Task
from ..types import Needs
from .features import Rows, targets_of

TRAIN_SPLIT = "train"
VALIDATION_SPLIT = "val"

_NO_FILES = -1
_CLASSES_SHOWN = 5  # in a message
_FEW = 2  # rows; what more are all made from tells nothing of any of them


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
        train: rows that the task trains on.
        validation: rows that it measures on.
        train_left_out: rows of the train split that it would measure on, and never trains on, such as defects.
        train_lacking: rows to train on that are left out, by the feature set that they lack; one may count for several.
        validation_lacking: the same of the validation split.
        train_without: rows that take part although they lack a modality, by its name.
        validation_without: the same of the validation split.
        untrained: modalities that no row to train on has; the model is shown them of no sample.
        twins: samples of other splits that are the same as one that is trained on, which is named behind each.
            Those of the validation split are left out of it.
    """

    train: Rows
    validation: Rows
    train_left_out: int
    train_lacking: Mapping[str, int]
    validation_lacking: Mapping[str, int]
    train_without: Mapping[str, int]
    validation_without: Mapping[str, int]
    untrained: frozenset[str]
    twins: Mapping[str, str]


def choose_samples(store: FeatureStore, recipe: Recipe, *, task: Task, monitor: str) -> ChosenSamples:
    """The rows to train and validate on.

    Raises:
        NotFoundError: if a split is not there, not extracted, or has too few rows for the task; or if the modalities
            that there are teach the recipe nothing.
        SettingsError: if validation lacks what the monitor needs.
    """
    targets, parts = targets_of(store), store.index.parts
    trainable, judged = task.training_rows(targets), task.judged_rows(targets)
    if not judged.any():
        raise NotFoundError(_nothing_known(store, task))
    train = split_rows(store, TRAIN_SPLIT, recipe=recipe)
    _rows_of(store, VALIDATION_SPLIT)
    trained_on = train.usable[trainable[train.usable]]
    require = partial(_require_rows, store, of_task=trainable, called=task.trains_on)
    require(trained_on, TRAIN_SPLIT, least=2)
    train_without = {name: int(trainable[rows].sum()) for name, rows in train.without.items()}
    untrained = frozenset(name for name, count in train_without.items() if count == len(trained_on))
    limits_of(recipe, recipe.needs().modalities.keys() - untrained)

    validation = split_rows(store, VALIDATION_SPLIT, recipe=recipe, untrained=untrained)
    elsewhere = np.flatnonzero(~np.isin(parts, (TRAIN_SPLIT, LEFT_OUT)))
    twins = find_twins(store, elsewhere, trained_on, recipe=recipe).same
    known = validation.usable[judged[validation.usable]]
    validated = known[~np.isin(store.index.keys[known], list(twins))]
    lost = {key: twins[key] for key in store.index.keys[known[trainable[known]]].tolist() if key in twins}
    require(validated[trainable[validated]], VALIDATION_SPLIT, least=1, twins=lost)
    obstacle = task.obstacle(monitor, {name: target[validated] for name, target in targets.items()})
    if obstacle and not isinstance(recipe, Fitted):  # which has no epochs to choose among
        raise SettingsError(
            f"train.monitor = {monitor} cannot be measured on the split {VALIDATION_SPLIT} of {store.path}: {obstacle}"
        )
    return ChosenSamples(
        train=trained_on,
        validation=validated,
        train_left_out=int(np.sum((parts == TRAIN_SPLIT) & judged & ~trainable)),
        train_lacking={name: int(trainable[rows].sum()) for name, rows in train.left_out.items()},
        validation_lacking={name: int(judged[rows].sum()) for name, rows in validation.left_out.items()},
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
    `untrained` do not count: a row that has these alone is left out, and one that lacks these alone lacks nothing.

    Raises:
        NotFoundError: if the split is not there, or none of its rows can be used.
    """
    rows = _rows_of(store, split)
    needs = recipe.needs()
    status = {name: store.status(name)[rows] for name in needs.sets_shown(untrained)}
    lacking, absent = who_lacks(needs, status, untrained=untrained)
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


def who_lacks(
    needs: Needs, status: Mapping[str, NDArray[np.uint8]], *, untrained: Collection[str]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]]:
    """Which rows cannot be used, by the feature set that they lack; and which do not have all of a modality, by its
    name. `status` is that of the rows, by each feature set that the recipe is shown."""
    optional = {name: name in needs.optional for name in status}
    lacking = {
        name: codes == Status.MISSING if optional[name] else codes != Status.COMPLETE for name, codes in status.items()
    }
    absent = {
        modality: np.any([status[name] != Status.COMPLETE for name in names], axis=0)
        for modality, names in needs.dispensable.items()
        if modality not in untrained
    }
    if all(optional.values()):  # a row that has nothing at all lacks everything
        nothing = np.all([codes != Status.COMPLETE for codes in status.values()], axis=0)
        lacking = {name: missing | nothing for name, missing in lacking.items()}
    return lacking, absent


def _rows_of(store: FeatureStore, split: str) -> Rows:
    rows: Rows = np.flatnonzero(store.index.parts == split)
    if len(rows):
        return rows
    held = sorted(set(store.index.parts.tolist()) - {LEFT_OUT})
    has = f"it has {listed(held)}" if held else "it has none"
    raise NotFoundError(
        f"{store.path} has no rows of the split {split} ({has}). If the data set has some, run `weldcache extract "
        f"--split {split}`. If it has none, give it some there, or, where whole groups are dealt to the splits, more "
        "groups, of normals and of defects; or make another split with `weldcache split`."
    )


def _nothing_known(store: FeatureStore, task: Task) -> str:
    told = f"{store.path} knows the {task.target} of no {store.noun}"
    classes = store.index.targets.get("class")
    if task.target != "label" or classes is None or classes.spec.classes is None:
        return f"{told}; say it in the data set, and run `weldcache extract` again."
    names = shortened([repr(name) for name in classes.spec.classes], most=_CLASSES_SHOWN)
    return (
        f"{told}, as none of its classes is normal ({names}). Name those that are in data.normal_classes and run "
        "`weldcache extract --relabel`, or train to tell them apart: --set train.task=classification with "
        "--set recipe.name=linear_probe."
    )


def _how_to_have_them(split: str, *, never: bool) -> str:
    if never:
        return f"Run `weldcache extract --split {split}`."
    return (
        "All were looked for, and the data set has no readable files for them, so that extracting again alone cannot "
        "help. `weldcache info` says why for each; see that data.root is right and that the files are there."
    )


def _require_rows(
    store: FeatureStore,
    rows: Rows,
    split: str,
    *,
    of_task: NDArray[np.bool_],
    called: str,
    least: int,
    twins: Mapping[str, str] = MappingProxyType({}),
) -> None:
    if len(rows) < least:
        there = count_of(int(np.count_nonzero((store.index.parts == split) & of_task)), called)
        known = f", and {len(twins):,} that train has under other names ({in_pairs(twins)})" if twins else ""
        raise NotFoundError(
            f"{store.path} has {count_of(len(rows), called)} with all features in the split {split}, out of "
            f"{there} there{known}; at least {least} are needed. Run `weldcache extract --split {split}` if some were "
            "not extracted yet; otherwise look at `weldcache info` for what they lack, and at how the data is split."
        )


@dataclass(frozen=True)
class Twins:
    """Rows that share files with one of the rows that they were compared with: the key of that one by their own.

    Attributes:
        same: most of the modalities that both have come from the same files: one sample under two names.
        sharing: fewer do. One file that stands for many, such as the silence of a failed microphone, is no recording
            that was seen before.
    """

    same: Mapping[str, str]
    sharing: Mapping[str, str]


def find_twins(store: FeatureStore, rows: Rows, others: Rows, *, recipe: Recipe) -> Twins:
    """Compare the files of `rows` with those of `others`, modality by modality as `recipe` looks at them."""
    codes = _file_codes(store, recipe, np.union1d(rows, others))
    known, same, sharing = codes[others], dict[str, str](), dict[str, str]()
    shared = np.zeros(codes.shape, dtype=bool)
    for place, column in enumerate(codes.T):
        shared[:, place] = np.isin(column, known[:, place]) & (column != _NO_FILES)
    for row in rows[shared[rows].any(axis=1)]:  # nearly nobody
        both = (known != _NO_FILES) & (codes[row] != _NO_FILES)
        equal = (known == codes[row]) & both
        share = equal.sum(axis=1) / np.maximum(1, both.sum(axis=1))
        share[others == row] = 0
        nearest = int(share.argmax())
        if share[nearest] > 0:
            found = same if share[nearest] > 0.5 else sharing
            found[str(store.index.keys[row])] = str(store.index.keys[others[nearest]])
    return Twins(same, sharing)


def in_pairs(twins: Mapping[str, str]) -> str:
    """The first few pairs of names, in words."""
    return shortened([f"{key} = {other}" for key, other in twins.items()], most=3)


def _file_codes(store: FeatureStore, recipe: Recipe, rows: Rows) -> NDArray[np.int64]:
    """For each row of the store and each modality a number that stands for the contents of its files; of other rows
    than `rows`, and where there are none, `_NO_FILES`."""
    numbers: dict[frozenset[str], int] = {}
    needs = recipe.needs()
    modalities = list(needs.modalities.values())
    of_modalities = {name for names in modalities for name in names}
    modalities += [(name,) for name in needs.feature_sets if name not in of_modalities]
    codes = np.full((len(store.index), len(modalities)), _NO_FILES, dtype=np.int64)
    for place, names in enumerate(modalities):
        for name in names:
            complete = rows[store.status(name)[rows] == Status.COMPLETE]
            for row, files in zip(complete.tolist(), store.sources(name, complete), strict=True):
                # Sets of one modality, such as the blocks of the photographs, are made from the same files.
                # Equal numbers of a table are no recording: many samples may have the same few.
                if contents := frozenset(file.sha256 for file in files if not file.is_numbers):
                    codes[row, place] = numbers.setdefault(contents, len(numbers))
        made = codes[:, place] != _NO_FILES
        if made.sum() > _FEW and len(np.unique(codes[made, place])) == 1:
            codes[:, place] = _NO_FILES  # of one file that all are made from, such as a table
    return codes

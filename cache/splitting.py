"""Making further splits of a store's rows: whole groups dealt to train, val and test, or to folds, by their labels.

A split tells how well a model does on what it has not seen only if what was recorded together stands together. So rows
are dealt in groups: the data set's own, or whatever else is asked for, such as the values of an attribute. Where a data
set says no split, its source draws one before there are rows (`extract/sources/group_split.py`), which stores keep.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from ..atomic import locked_folder
from ..configs.place import StorePlace, require_folder
from ..errors import OutputExistsError, SettingsError, disk_errors
from ..wording import count_of, listed, shortened
from .index import Column, Index
from .splits import LEFT_OUT, Split, check_name, parts_in
from .store import FeatureStore
from .targets import CLASS, DEFECT, LABEL

_GROUP = "group"  # the name by which the index's own groups are asked for
_PARTS = ("train", "val", "test")
_SHOWN = 3  # groups in a sentence


@dataclass(frozen=True)
class Dealing:
    """How rows are dealt.

    Attributes:
        by: what keeps rows together: `group`, the name of an attribute, or a target with classes.
        stratify: the target whose classes all parts are to have in equal shares, `none`, or `auto`: `label`, or else
            `class`, as far as the store has them. By labels, groups of defects alone are not dealt to train, which
            would leave them out.
        val, test: shares of validation and of test; train has the rest.
        folds: of how many splits every row is in test once, and in val once; 0: one split by the shares.
        val_values, test_values: values of `by` whose rows are validated on and tested on; without any, they are drawn.
        only: values by what has them, as in `by`; rows that have others take no part.
    """

    by: str = _GROUP
    stratify: str = "auto"
    val: float = 0.2
    test: float = 0.2
    folds: int = 0
    val_values: Sequence[str] = ()
    test_values: Sequence[str] = ()
    seed: int = 0
    only: Mapping[str, str] = field(default_factory=dict)


def make_splits(name: str, index: Index, dealing: Dealing) -> Iterator[Split]:
    """The split called `name` of the rows that the data set lists; of folds, `name_1` to `name_k`.

    Raises:
        SettingsError: if there is nothing by that name to deal by, there are too few groups, shares that leave no rows
            for train, or both folds and values.
    """
    taking_part = index.parts != LEFT_OUT
    for column, value in dealing.only.items():
        taking_part &= _chosen(_column(index, column), [value], by=column)
    rows = np.flatnonzero(taking_part)
    dealt_rows = index.select(rows)
    if dealing.folds and (dealing.val_values or dealing.test_values):
        raise SettingsError("Folds are drawn, and values are chosen: ask for one of the two.")
    if dealing.folds:
        dealt_to = _folds(dealt_rows, dealing)
    elif dealing.val_values or dealing.test_values:
        dealt_to = {"": _by_value(dealt_rows, dealing)}
    else:
        shares = _shares(dealing.val, dealing.test)
        dealt_to = {"": _drawn(dealt_rows, _column(dealt_rows, dealing.by), shares, dealing, by=dealing.by)}
    for suffix, parts in dealt_to.items():
        if "train" not in parts:
            raise SettingsError(
                f"The split {name} would have nothing in train: ask for smaller shares or other values."
            )
        whole = np.full(len(index), LEFT_OUT)
        whole[rows] = parts
        yield Split(check_name(f"{name}{suffix}"), whole, _made_by(dealing, suffix))


def _drawn(index: Index, groups: Column, shares: Float64[np.ndarray, " part"], dealing: Dealing, *, by: str) -> Column:
    """The part of each row, where whole groups are drawn for train, val and test by these shares."""
    names, place = np.unique(groups, return_inverse=True)
    _require_groups(len(names), least=int(np.count_nonzero(shares)), by=by)
    name, strata = _strata(index, dealing.stratify)
    barred = np.zeros(len(names), dtype=bool)
    if name == LABEL.name:
        barred[:] = True
        barred[place[index.labels != DEFECT]] = False
    generator = np.random.default_rng(dealing.seed)
    chosen = dealt(_counts(place, strata), shares, generator=generator, never_first=barred)
    parts: Column = np.array(_PARTS)[chosen][place]
    return parts


def _folds(index: Index, dealing: Dealing) -> dict[str, Column]:
    """Splits by suffix: in each, one fold is tested on, and the next one validated on."""
    if dealing.folds < 3:
        raise SettingsError(f"{dealing.folds} folds leave nothing to train on beside val and test; ask for 3 at least.")
    names, place = np.unique(_column(index, dealing.by), return_inverse=True)
    _require_groups(len(names), least=dealing.folds, by=dealing.by)
    _, strata = _strata(index, dealing.stratify)
    shares, generator = np.full(dealing.folds, 1 / dealing.folds), np.random.default_rng(dealing.seed)
    fold = dealt(_counts(place, strata), shares, generator=generator)[place]
    return {
        f"_{number + 1}": np.select([fold == number, fold == (number + 1) % dealing.folds], ["test", "val"], "train")
        for number in range(dealing.folds)
    }


def _by_value(index: Index, dealing: Dealing) -> Column:
    """The rows of the values that are named; where none are for validation, it gets groups of what is left."""
    column = _column(index, dealing.by)
    validated, tested = (_chosen(column, values, by=dealing.by) for values in (dealing.val_values, dealing.test_values))
    if not tested.any():
        raise SettingsError(f"Say which values of {dealing.by} are tested on, too.")
    if (validated & tested).any():
        raise SettingsError(f"One value of {dealing.by} cannot be in val and in test.")
    parts = np.select([tested, validated], ["test", "val"], "train")
    left = np.flatnonzero(~tested)
    if not dealing.val_values and dealing.val > 0 and len(left):
        rest = index.select(left)
        parts[left] = _drawn(rest, rest.groups, _shares(dealing.val, 0.0), dealing, by=_GROUP)
    return parts


def dealt(
    counts: Int64[np.ndarray, "group stratum"],
    shares: Float64[np.ndarray, " part"],
    *,
    generator: np.random.Generator,
    never_first: NDArray[np.bool_] | None = None,
) -> Int64[np.ndarray, " group"]:
    """The part of each group, so that every part has its share of every stratum, as nearly as whole groups allow.

    Groups are taken from the largest to the smallest, equal ones in a random order, each into the part where the shares
    are then nearest to what they should be. A part that is to have something and got nothing takes the group over whose
    leaving does the least harm. Groups that are `never_first` go into any part but the first.
    """
    order = generator.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    totals = np.maximum(counts.sum(axis=0), 1)
    wanted = shares[:, None] * totals
    allowed = np.tile(shares > 0, (len(counts), 1))
    if never_first is not None:
        allowed[never_first, 0] = False
        others = counts[never_first].sum(axis=0)
        # Of what the first part cannot have, the others have all, in the ratio of their shares.
        wanted[1:] += (shares[1:] / max(shares[1:].sum(), 1e-12))[:, None] * (shares[0] * others)
        wanted[0] -= shares[0] * others
    held, part_of = np.zeros_like(wanted), np.full(len(counts), -1, dtype=np.int64)

    def harm(group: int, part: int) -> float:
        """How much farther from what is wanted the part is with the group."""
        before, after = (held[part] - wanted[part]) / totals, (held[part] + counts[group] - wanted[part]) / totals
        return float((after**2).sum() - (before**2).sum())

    for group in order.tolist():
        part = min(np.flatnonzero(allowed[group]).tolist(), key=lambda part: harm(group, part))
        held[part] += counts[group]
        part_of[group] = part
    for part in np.flatnonzero(shares > 0).tolist():
        sizes = np.bincount(part_of, minlength=len(shares))
        spare = [group for group in order.tolist() if allowed[group, part] and sizes[part_of[group]] > 1]
        if not sizes[part] and spare:
            group = min(spare, key=lambda group: harm(group, part))
            held[part_of[group]] -= counts[group]
            held[part] += counts[group]
            part_of[group] = part
    return part_of


def split_store(path: StorePlace, name: str, dealing: Dealing, *, overwrite: bool) -> tuple[FeatureStore, list[Split]]:
    """Make splits in the store at `path`; no feature is touched.

    Raises:
        OutputExistsError: if one of that name is there and is not to be overwritten.
        BusyError: if somebody writes to the store.
        SettingsError: as `make_splits`, and if the store is in a bucket.
        StoreError: if the store can only be read, or the disk refuses the write.
    """
    path = require_folder(path, what="deals splits in")
    store = FeatureStore.open(path)
    with locked_folder(path), disk_errors(path):
        store = FeatureStore.open(path)  # as it is now that nobody else writes to it
        made = list(make_splits(name, store.index, dealing))
        taken = [split.name for split in made if split.name in store.splits()]
        if taken and not overwrite:
            raise OutputExistsError(
                f"{path} has a split {taken[0]} already. Choose another name, or replace it with --overwrite: runs "
                "that were trained on it can then be judged no more."
            )
        store.add_splits(made)
    return store, made


def torn_groups(index: Index, split: Split, *, noun: str) -> str | None:
    """The index's own groups that stand in several parts of a split, as a sentence; None where each is whole."""
    rows = zip(index.groups.tolist(), split.parts.tolist(), strict=True)
    counted = Counter(row for row in rows if row[1] != LEFT_OUT)
    parts_of: dict[str, dict[str, int]] = {}
    for (group, part), number in counted.items():
        parts_of.setdefault(group, {})[part] = number
    torn = {group: parts for group, parts in sorted(parts_of.items()) if len(parts) > 1}
    if not torn:
        return None
    several = count_of(len(torn), "group stands", "groups stand")
    affected = count_of(sum(sum(parts.values()) for parts in torn.values()), noun)
    examples = [f"{group} in {listed(parts_in(np.array(list(parts))))}" for group, parts in torn.items()]
    return f"{several} in several parts of the split {split.name}, with {affected}: {shortened(examples, most=_SHOWN)}."


def _shares(val: float, test: float) -> Float64[np.ndarray, " part"]:
    if min(val, test) < 0 or not 0 < val + test < 1:
        raise SettingsError(f"Shares of {val:g} for val and {test:g} for test leave train nothing, or take nothing.")
    return np.array([1 - val - test, val, test])


def _column(index: Index, by: str) -> Column:
    """The column in which rows that stay together have one text."""
    with_classes = _with_classes(index)
    if by == _GROUP:
        return index.groups
    if by in index.attributes:
        values = index.attributes[by]
        return values if values.dtype.kind == "U" else np.array([f"{value:g}" for value in values.tolist()])
    if by in with_classes:
        return index.targets[by].class_names()
    raise SettingsError(
        f"There is no {by} to split by; there are {listed([_GROUP, *index.attributes, *with_classes])}."
    )


def _strata(index: Index, stratify: str) -> tuple[str, Int64[np.ndarray, " row"]]:
    """The target whose classes are shared out, and the class of each row; the unknown are one too."""
    known = _with_classes(index)
    if stratify == "auto":
        stratify = next((name for name in (LABEL.name, CLASS) if name in known), "none")
    if stratify == "none":
        return stratify, np.zeros(len(index), dtype=np.int64)
    if stratify not in known:
        raise SettingsError(f"There is no {stratify} to stratify by; there are {listed([*known, 'auto', 'none'])}.")
    return stratify, index.targets[stratify].values.astype(np.int64) + 1


def _with_classes(index: Index) -> list[str]:
    """Names of the targets that say one class for each row."""
    return [name for name, target in index.targets.items() if target.spec.classes and target.spec.shape == ()]


def _counts(place: NDArray[np.int64], strata: Int64[np.ndarray, " row"]) -> Int64[np.ndarray, "group stratum"]:
    counts = np.zeros((int(place.max()) + 1, int(strata.max()) + 1), dtype=np.int64)
    np.add.at(counts, (place, strata), 1)
    return counts


def _chosen(groups: Column, values: Sequence[str], *, by: str) -> NDArray[np.bool_]:
    if missing := sorted(set(values) - set(groups.tolist())):
        held = sorted(set(groups.tolist()))
        raise SettingsError(f"No row has {missing[0]!r} as its {by}; the values are {shortened(held, most=10)}.")
    return np.isin(groups, list(values))


def _require_groups(number: int, *, least: int, by: str) -> None:
    if number < least:
        raise SettingsError(
            f"There are {number} values of {by} to deal, and {least} are needed; ask for fewer parts, or split by "
            "something else."
        )


def _made_by(dealing: Dealing, suffix: str) -> Mapping[str, str | float | int | list[str] | None]:
    fold = {"fold": int(suffix.removeprefix("_"))} if suffix else {}
    told: dict[str, str | float | int | list[str] | None] = {
        "by": dealing.by,
        "stratify": dealing.stratify,
        "seed": dealing.seed,
        **fold,
        **({"only": [f"{column}={value}" for column, value in dealing.only.items()]} if dealing.only else {}),
    }
    if dealing.folds:
        return told | {"folds": dealing.folds}
    if dealing.val_values or dealing.test_values:
        told |= {"val_values": list(dealing.val_values), "test_values": list(dealing.test_values)}
    return told | {"val": dealing.val, "test": dealing.test}

"""Who each row of a store is: key, group, attributes, targets, and its part in a split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Int8, Integer, Shaped
from numpy.typing import NDArray

from ..errors import FingerprintError, SourceError, StoreError
from ..wording import count_of, lined_up
from .splits import LEFT_OUT
from .targets import CLASS, LABEL, NORMAL, UNKNOWN, UNKNOWN_CLASS, Target, TargetSpec, check_spec, taken_over

Column = Shaped[np.ndarray, " row"]  # text or float64

_SHOWN = 10  # differences in a message


@dataclass(frozen=True)
class Index:
    """One entry a row, in the order of rows; rows are only ever appended."""

    keys: Column
    groups: Column  # what was recorded together, such as a session: it should not cross the parts of a split
    splits: Column  # the part of each row in the split that the store was opened with
    targets: Mapping[str, Target]
    attributes: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def labels(self) -> Int8[np.ndarray, " row"]:
        """0 normal, 1 defect, -1 unknown: the target `label`, all unknown where there is none."""
        label = self.targets.get(LABEL.name)
        return np.full(len(self), UNKNOWN, dtype=np.int8) if label is None else label.values

    @property
    def class_names(self) -> Column:
        """What each row is in the data set's own words: the target `class`."""
        kind = self.targets.get(CLASS)
        return np.full(len(self), UNKNOWN_CLASS) if kind is None else kind.class_names()

    def columns(self) -> dict[str, Column]:
        """Every column of the group `index` by its name in it."""
        named = {"keys": self.keys, "groups": self.groups}
        return named | {f"attributes/{name}": column for name, column in self.attributes.items()}

    def row_of(self) -> dict[str, int]:
        """Row by key."""
        return {str(key): row for row, key in enumerate(self.keys)}

    def select(self, rows: NDArray[np.int64]) -> "Index":
        """The entries of `rows`, in that order."""
        return Index(
            keys=self.keys[rows],
            groups=self.groups[rows],
            splits=self.splits[rows],
            targets={name: target.select(rows) for name, target in self.targets.items()},
            attributes={name: column[rows] for name, column in self.attributes.items()},
        )

    def following(self, data_set: "Index", *, relabel: bool = False) -> "Index":
        """This index as `data_set` is now, or this object itself where nothing has changed.

        Rows that only `data_set` has are appended. Rows that it does not have are left out: their split becomes
        `LEFT_OUT`, until it has them again. With `relabel`, what it says otherwise of a row (its split, group, targets
        or attributes) is taken over; no feature depends on it.

        Raises:
            FingerprintError: without `relabel`, if a key that both have differs in anything but its row: a sample would
                be trained on that was held back before. Always, if they have different attributes.
        """
        if self.attributes.keys() != data_set.attributes.keys():
            names = ", ".join(sorted(self.attributes.keys() ^ data_set.attributes.keys()))
            raise FingerprintError(
                f"Only one of the cache and the data has the attributes {names}: the data set has another layout. "
                "Extract into another cache with --cache."
            )
        row_of = self.row_of()
        known = np.array([str(key) in row_of for key in data_set.keys], dtype=bool)
        rows = np.array([row_of[str(key)] for key in data_set.keys[known]], dtype=np.int64)
        mine, theirs = self.select(rows), data_set.select(np.flatnonzero(known))
        if not relabel:
            told = mine.differences(theirs)
            _refuse([*_declared_otherwise(self, data_set), *(f"{key}: {line}" for key in told for line in told[key])])
        gone = np.ones(len(self), dtype=bool)
        gone[rows] = False
        changed = (
            not known.all()
            or (self.splits[gone] != LEFT_OUT).any()
            or bool(mine.differences(theirs, even_left_out=True))
            or self.targets.keys() != data_set.targets.keys()
            or any(not self.targets[name].spec.holds(target.spec) for name, target in data_set.targets.items())
        )
        if not changed:
            return self
        return Index(
            keys=np.concatenate([self.keys, data_set.keys[~known]]),
            groups=_taken_over(self.groups, data_set.groups, rows=rows, known=known),
            splits=_taken_over(np.where(gone, LEFT_OUT, self.splits), data_set.splits, rows=rows, known=known),
            targets={
                name: taken_over(self.targets.get(name), target, num_rows=len(self), rows=rows, known=known)
                for name, target in data_set.targets.items()
            },
            attributes={
                name: _taken_over(column, data_set.attributes[name], rows=rows, known=known)
                for name, column in self.attributes.items()
            },
        )

    def differences(self, other: "Index", *, even_left_out: bool = False) -> dict[str, list[str]]:
        """What `other`, of the same keys, says otherwise, in words by key; not of rows that are left out here, unless
        these are asked for too."""
        compared = np.ones(len(self), dtype=bool) if even_left_out else self.splits != LEFT_OUT
        found: dict[str, list[str]] = {}
        mine, theirs = self._plain_columns(), other._plain_columns()
        for name in mine:
            for row in np.flatnonzero(_differ(mine[name], theirs[name]) & compared).tolist():
                told = f"{name} is {mine[name][row]} in the cache, {theirs[name][row]} in the data"
                found.setdefault(str(self.keys[row]), []).append(told)
        for name in (name for name in self.targets if name in other.targets):
            here, there = self.targets[name], other.targets[name]
            for row in np.flatnonzero(here.differs(there) & compared).tolist():
                told = f"{name} is {here.told(row)} in the cache, {there.told(row)} in the data"
                found.setdefault(str(self.keys[row]), []).append(told)
        return found

    def _plain_columns(self) -> dict[str, Column]:
        attributes = {f"attributes/{name}": column for name, column in self.attributes.items()}
        return {"split": self.splits, "group": self.groups, **attributes}


def index_of(
    *,
    keys: Sequence[str],
    splits: Sequence[str],
    groups: Sequence[str],
    class_names: Sequence[str],
    labels: Sequence[int],
    attributes: Mapping[str, Sequence[float | str]],
) -> Index:
    """Build the index of samples whose targets are a class and a label; errors as `index_with`."""
    return index_with(
        keys=keys,
        splits=splits,
        groups=groups,
        targets=class_and_label(np.asarray(class_names, dtype=np.str_), np.asarray(labels, dtype=np.int64)),
        attributes=attributes,
    )


def class_and_label(class_names: Column, labels: Integer[np.ndarray, " row"]) -> dict[str, Target]:
    """The targets `class` and `label` from the names of classes; the codes of normal classes come first, then those of
    defects, each by name."""
    if not np.isin(labels, (NORMAL, 1, UNKNOWN)).all():
        raise SourceError("A label is 0 (normal), 1 (defect) or -1 (unknown), and the data set has others.")
    known = class_names != UNKNOWN_CLASS
    names, codes = np.unique(class_names[known], return_inverse=True)
    label_of = np.full(len(names), UNKNOWN, dtype=np.int8)
    label_of[codes] = labels[known]
    order = np.lexsort((names, label_of.astype(np.uint8)))  # where -1 comes last
    kinds = np.full(len(known), UNKNOWN, dtype=np.int16)
    kinds[known] = np.argsort(order)[codes]
    spec = TargetSpec(CLASS, "int16", classes=tuple(names[order].tolist()))
    check_spec(spec)
    codes_of_labels = labels.astype(np.int8)
    return {
        LABEL.name: Target(LABEL, lambda: (codes_of_labels, None), len(labels)),
        CLASS: Target(spec, lambda: (kinds, None), len(kinds)),
    }


def index_with(
    *,
    keys: Sequence[str],
    splits: Sequence[str],
    groups: Sequence[str],
    targets: Mapping[str, Target],
    attributes: Mapping[str, Sequence[float | str]],
) -> Index:
    """Build an index from plain columns; a column of numbers becomes float64, any other text.

    Raises:
        StoreError: if a key occurs twice.
    """
    unique, counts = np.unique(np.asarray(keys, dtype=np.str_), return_counts=True)
    if (counts > 1).any():
        raise StoreError(f"The key {unique[counts > 1][0]} occurs {counts[counts > 1][0]} times; keys must be unique.")
    return Index(
        keys=np.asarray(keys, dtype=np.str_),
        groups=np.asarray(groups, dtype=np.str_),
        splits=np.asarray(splits, dtype=np.str_),
        targets=targets,
        attributes={name: _column(values) for name, values in attributes.items()},
    )


def _column(values: Sequence[float | str]) -> Column:
    if any(isinstance(value, str) for value in values):
        return np.asarray([str(value) for value in values], dtype=np.str_)
    return np.asarray(values, dtype=np.float64)


def _differ(mine: Column, theirs: Column) -> Bool[np.ndarray, " row"]:
    if mine.dtype.kind != theirs.dtype.kind:  # numbers that are text by now
        return np.ones(len(mine), dtype=bool)
    differs: NDArray[np.bool_] = mine != theirs
    return differs & ~(np.isnan(mine) & np.isnan(theirs)) if mine.dtype.kind == "f" else differs


def _taken_over(
    mine: NDArray[Any], theirs: NDArray[Any], *, rows: NDArray[np.int64], known: NDArray[np.bool_]
) -> Column:
    column = np.concatenate([mine, theirs[~known]])
    column[rows] = theirs[known]
    return column


def _declared_otherwise(held: Index, asked: Index) -> Iterator[str]:
    """Targets that only one of two indices has, or that are something else by now, in words."""
    for name in sorted(held.targets.keys() | asked.targets.keys()):
        mine, theirs = held.targets.get(name), asked.targets.get(name)
        if mine is None or theirs is None:
            yield f"only the {'data' if mine is None else 'cache'} has the target {name}"
        elif not mine.spec.is_like(theirs.spec):
            yield f"the target {name} is declared as {mine.spec} in the cache, {theirs.spec} in the data"


def _refuse(lines: Sequence[str]) -> None:
    if lines:
        raise FingerprintError(
            f"The cache and the data disagree on {count_of(len(lines), 'entry', 'entries')}:\n"
            f"{lined_up(lines, most=_SHOWN)}\n"
            "Restore the data as it was; or take over what it says now, without computing a feature again, with "
            "`weldcache extract --relabel`."
        )

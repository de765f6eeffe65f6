"""Who each row of a store is: key, group, attributes, targets, and its part in a split."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int8, Integer, Shaped
from numpy.typing import NDArray

from ..errors import SourceError, StoreError
from .targets import CLASS, LABEL, NORMAL, UNKNOWN, UNKNOWN_CLASS, Target, TargetSpec, check_spec

ATTRIBUTE_NAME = r"[A-Za-z0-9_]{1,100}"
"""What an attribute is called in a store, where it is an array of its own."""

Column = Shaped[np.ndarray, " row"]  # text or float64


@dataclass(frozen=True)
class Index:
    """One entry a row, in the order of rows; rows are only ever appended."""

    keys: Column
    groups: Column  # what was recorded together, such as a session: it should not cross the parts of a split
    parts: Column  # of each row in the split that the store was opened with
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
        """The row of each sample, by its key."""
        return {key: row for row, key in enumerate(self.keys.tolist())}

    def select(self, rows: NDArray[np.int64]) -> "Index":
        """The entries of `rows`, in that order."""
        if np.array_equal(rows, np.arange(len(self))):
            return self  # and no second one of a million rows
        return Index(
            keys=self.keys[rows],
            groups=self.groups[rows],
            parts=self.parts[rows],
            targets={name: target.select(rows) for name, target in self.targets.items()},
            attributes={name: column[rows] for name, column in self.attributes.items()},
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
    parts: Sequence[str],
    groups: Sequence[str],
    targets: Mapping[str, Target],
    attributes: Mapping[str, Sequence[float | str]],
) -> Index:
    """Build an index from plain columns; a column of numbers becomes float64, any other text.

    Raises:
        StoreError: if a key occurs twice, or an attribute's name is none of an array.
    """
    if strange := [name for name in attributes if not re.fullmatch(ATTRIBUTE_NAME, name)]:
        raise StoreError(
            f"The attribute {strange[0]!r} cannot be stored: its source must call it by letters, digits and "
            "underscores."
        )
    if len(set(keys)) < len(keys):
        key, times = max(Counter(keys).items(), key=lambda counted: counted[1])
        raise StoreError(f"The key {key} occurs {times} times; keys must be unique.")
    return Index(
        keys=np.asarray(keys, dtype=np.str_),
        groups=np.asarray(groups, dtype=np.str_),
        parts=np.asarray(parts, dtype=np.str_),
        targets=targets,
        attributes={name: _column(values) for name, values in attributes.items()},
    )


def _column(values: Sequence[float | str]) -> Column:
    if any(isinstance(value, str) for value in values):
        return np.asarray([str(value) for value in values], dtype=np.str_)
    return np.asarray(values, dtype=np.float64)

"""Who each row of a store is: key, split, class, session, label, and what is known of it without any media."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray

from ..errors import FingerprintError, StoreError
from ..wording import count_of, lined_up

Column = Shaped[np.ndarray, " row"]  # text or float64

TEXT_COLUMNS = ("keys", "splits", "class_names", "sessions")

LEFT_OUT = "left_out"
"""The split of a row whose weld the data set does not list any more: it takes no part in anything, and is kept."""

_SHOWN = 10  # differences in a message


@dataclass(frozen=True)
class Index:
    """One entry a row, in the order of rows; rows are only ever appended."""

    keys: Column
    splits: Column
    class_names: Column
    sessions: Column
    labels: UInt8[np.ndarray, " row"]  # 0 normal, 1 anomalous
    attributes: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def columns(self) -> dict[str, Column]:
        """Every column by its name in the store; what is known without media as `attributes/<name>`."""
        named = {name: getattr(self, name) for name in (*TEXT_COLUMNS, "labels")}
        return named | {f"attributes/{name}": column for name, column in self.attributes.items()}

    def row_of(self) -> dict[str, int]:
        """Row by key."""
        return {str(key): row for row, key in enumerate(self.keys)}

    def select(self, rows: NDArray[np.int64]) -> "Index":
        """The entries of `rows`, in that order."""
        return Index(
            keys=self.keys[rows],
            splits=self.splits[rows],
            class_names=self.class_names[rows],
            sessions=self.sessions[rows],
            labels=self.labels[rows],
            attributes={name: column[rows] for name, column in self.attributes.items()},
        )

    def following(self, data_set: "Index", *, relabel: bool = False) -> "Index":
        """This index as `data_set` is now, or this object itself where nothing has changed.

        Rows that only `data_set` has are appended. Rows that it does not have are left out: their split becomes
        `LEFT_OUT`, until it has them again. With `relabel`, what it says otherwise of a row (its split, class, label,
        session or attributes) is taken over; no feature depends on it.

        Raises:
            FingerprintError: without `relabel`, if a key that both have differs in anything but its row: a weld would
                be trained on that was held back before. Always, if they have different columns.
        """
        mine, theirs = self.columns(), data_set.columns()
        if mine.keys() != theirs.keys():
            names = ", ".join(sorted(mine.keys() ^ theirs.keys()))
            raise FingerprintError(
                f"Only one of the cache and the data has the columns {names}: the data set has another layout. "
                "Extract into another cache with --cache."
            )
        row_of = self.row_of()
        known = np.array([str(key) in row_of for key in data_set.keys], dtype=bool)
        rows = np.array([row_of[str(key)] for key in data_set.keys[known]], dtype=np.int64)
        if not relabel:
            _refuse_differences(self.select(rows), data_set.select(np.flatnonzero(known)))
        merged = {name: np.concatenate([column, theirs[name][~known]]) for name, column in mine.items()}
        for name, column in merged.items():
            column[rows] = theirs[name][known]
        gone = np.ones(len(self), dtype=bool)
        gone[rows] = False
        merged["splits"] = np.where(np.pad(gone, (0, int(np.sum(~known)))), LEFT_OUT, merged["splits"])
        if not (~known).any() and all(np.array_equal(merged[name], column) for name, column in mine.items()):
            return self
        attributes = {name.removeprefix("attributes/"): merged.pop(name) for name in list(merged) if "/" in name}
        return Index(attributes=attributes, **merged)

    def differences(self, other: "Index") -> dict[str, list[str]]:
        """What `other`, of the same keys and columns, says otherwise, in words by key; not of rows left out here."""
        mine, theirs = self.columns(), other.columns()
        listed = self.splits != LEFT_OUT
        found: dict[str, list[str]] = {}
        for name in mine:
            for row in np.flatnonzero((mine[name] != theirs[name]) & listed):
                found.setdefault(str(self.keys[row]), []).append(
                    f"{name} is {mine[name][row]} in the cache, {theirs[name][row]} in the data"
                )
        return found


def index_of(
    *,
    keys: Sequence[str],
    splits: Sequence[str],
    class_names: Sequence[str],
    sessions: Sequence[str],
    labels: Sequence[int],
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
        splits=np.asarray(splits, dtype=np.str_),
        class_names=np.asarray(class_names, dtype=np.str_),
        sessions=np.asarray(sessions, dtype=np.str_),
        labels=np.asarray(labels, dtype=np.uint8),
        attributes={name: _column(values) for name, values in attributes.items()},
    )


def _column(values: Sequence[float | str]) -> Column:
    if any(isinstance(value, str) for value in values):
        return np.asarray([str(value) for value in values], dtype=np.str_)
    return np.asarray(values, dtype=np.float64)


def _refuse_differences(held: Index, asked: Index) -> None:
    lines = [f"{key}: {told}" for key, all_told in held.differences(asked).items() for told in all_told]
    if lines:
        raise FingerprintError(
            f"The cache and the data disagree on {count_of(len(lines), 'entry', 'entries')}:\n"
            f"{lined_up(lines, most=_SHOWN)}\n"
            "Restore the data as it was; or take over what it says now, without computing a feature again, with "
            "`weldcache extract --relabel`."
        )

"""Who each row of a store is: key, split, class, session, label, and what is known of it without any media."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray

from ..errors import FingerprintError, StoreError

Column = Shaped[np.ndarray, " row"]  # text or float64

TEXT_COLUMNS = ("keys", "splits", "class_names", "sessions")


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

    def extended_by(self, request: "Index") -> "Index":
        """This index with the rows of `request` that it lacks appended.

        Raises:
            FingerprintError: if a key that both have differs in anything but its row. A row's features would then be
                read under another split or label than they were stored with.
        """
        mine = self.row_of()
        known = np.array([str(key) in mine for key in request.keys], dtype=bool)
        shared = np.flatnonzero(known)
        differences = _differences(
            self.select(np.array([mine[str(k)] for k in request.keys[known]], int)), request, shared
        )
        if differences:
            shown = "\n  ".join(differences[:10])
            raise FingerprintError(
                f"The cache and the data disagree on {len(differences)} entries:\n  {shown}\n"
                "Restore the data as it was, or extract into another cache with --cache."
            )
        return _concatenated(self, request.select(np.flatnonzero(~known)))


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


def _differences(stored: Index, request: Index, shared: NDArray[np.int64]) -> list[str]:
    requested = request.select(shared)
    mine, theirs = stored.columns(), requested.columns()
    if mine.keys() != theirs.keys():
        return [f"column {name} is only in one of them" for name in sorted(mine.keys() ^ theirs.keys())]
    found = []
    for name in mine:
        for row in np.flatnonzero(mine[name] != theirs[name]):
            found.append(
                f"{requested.keys[row]}: {name} is {mine[name][row]} in the cache, {theirs[name][row]} in the data"
            )
    return found


def _concatenated(first: Index, second: Index) -> Index:
    if not len(second):
        return first
    appended = second.columns()
    merged = {name: np.concatenate([column, appended[name]]) for name, column in first.columns().items()}
    attributes = {name.removeprefix("attributes/"): merged.pop(name) for name in list(merged) if "/" in name}
    return Index(attributes=attributes, **merged)

"""A table of scores: what a trained model says of each sample, next to what is known of the sample."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..atomic import replaced_file
from ..cache.index import Index
from ..errors import MetricError
from ..wording import spreadsheet_cell

# On which scale a score is: of a sample that lacks nothing; put there by what normals score
# without what it lacks; or on one of its own, which no
# threshold speaks of.
ScoreScale = Literal["whole", "rescaled", "own"]

# What is known of each sample without its media: numbers or strings by name, one value a sample.
Attributes = Mapping[str, NDArray[np.float64] | NDArray[np.character]]


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """One row a sample; every field has the same length, and higher scores are more anomalous.

    Attributes:
        keys: unique identifiers.
        parts: the part of the split, such as test, that each sample belongs to.
        class_names: "what it is" in the data set's own words; normals have one too.
        groups: what was recorded together, such as in one session; "" where unknown.
        labels: 0 normal, 1 defect, -1 unknown.
        scores: from the averaged (EMA) weights, the ones a run ships.
        raw_scores: from the weights of the same epoch as the optimiser left them, before averaging; None for a run that
            is fitted, which has no others than it ships.
        lacks: the modalities that each sample lacks, `+` between them; "" for none.
        scales: on which scale its two scores are.
        attributes: settings, materials and the like, as the media-free control sees them; may be empty.

    Raises:
        MetricError: lengths differ, a key occurs twice, a label is none of 0, 1 and -1, or a score is not finite.
    """

    keys: tuple[str, ...]
    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    raw_scores: NDArray[np.float64] | None
    lacks: tuple[str, ...]
    scales: tuple[ScoreScale, ...]
    attributes: Attributes

    def __post_init__(self) -> None:
        self._check_lengths()
        if len(set(self.keys)) < len(self.keys):
            key, count = Counter(self.keys).most_common(1)[0]
            raise MetricError(f"The key {key!r} occurs {count} times in a score table, where keys are unique.")
        if not np.isin(self.labels, (-1, 0, 1)).all():
            raise MetricError("Labels in a score table must be 0 (normal), 1 (defect) or -1 (unknown).")
        for name, scores in (("scores", self.scores), ("raw_scores", self.raw_scores)):
            broken = np.flatnonzero(~np.isfinite([] if scores is None else scores))
            if broken.size:
                raise MetricError(
                    f"{broken.size} of {len(self)} {name} are not finite, the first is of {self.keys[broken[0]]!r}. "
                    "Look for a diverged training or broken features."
                )

    def _check_lengths(self) -> None:
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "attributes"}
        columns |= {f"attribute {name!r}": values for name, values in self.attributes.items()}
        for name, column in columns.items():
            if column is not None and len(column) != len(self.keys):
                raise MetricError(f"A score table has {len(self.keys)} keys but {len(column)} values of {name}.")

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, mask: NDArray[np.bool_]) -> "ScoreTable":
        """The rows where `mask` (one value a row) is true, in the same order."""
        assert mask.shape == (len(self),), mask.shape
        return ScoreTable(
            keys=tuple(compress(self.keys, mask)),
            parts=tuple(compress(self.parts, mask)),
            class_names=tuple(compress(self.class_names, mask)),
            groups=tuple(compress(self.groups, mask)),
            labels=self.labels[mask],
            scores=self.scores[mask],
            raw_scores=None if self.raw_scores is None else self.raw_scores[mask],
            lacks=tuple(compress(self.lacks, mask)),
            scales=tuple(compress(self.scales, mask)),
            attributes={name: values[mask] for name, values in self.attributes.items()},
        )


def score_table(
    entries: Index,
    *,
    scores: NDArray[np.float64],
    raw_scores: NDArray[np.float64] | None,
    lacks: Sequence[str] | None = None,
) -> ScoreTable:
    """The table of an index's samples, in their order, with these scores; where not told, none lacks anything."""
    whole: ScoreScale = "whole"
    return ScoreTable(
        keys=tuple(entries.keys.tolist()),
        parts=tuple(entries.parts.tolist()),
        class_names=tuple(entries.class_names.tolist()),
        groups=tuple(entries.groups.tolist()),
        labels=entries.labels.astype(np.int64),
        scores=scores,
        raw_scores=raw_scores,
        lacks=("",) * len(entries) if lacks is None else tuple(lacks),
        scales=(whole,) * len(entries),
        attributes=entries.attributes,
    )


def spreadsheet_cells(names: Sequence[str]) -> list[str]:
    """Names for a CSV file, changed where a spreadsheet would run them as formulas."""
    return [spreadsheet_cell(name) for name in names]


def sample_columns(table: ScoreTable) -> dict[str, Sequence[object]]:
    """Who each sample is: with these columns, in this order, begins what a judge tells in `scores_<split>.csv`."""
    return {
        "key": spreadsheet_cells(table.keys),
        "split": spreadsheet_cells(table.parts),
        "class_name": spreadsheet_cells(table.class_names),
        "group": spreadsheet_cells(table.groups),
    }


def write_columns(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Write columns of one length as CSV; each number reads back as the very same float."""
    with replaced_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))

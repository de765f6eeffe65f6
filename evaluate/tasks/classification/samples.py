"""The samples of a report on a classifier: what it is sure of and wrong about, what is usual, a table of all."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from ...exhibits import Gallery, SampleColumn, SampleTable, Shelf
from ...scores import ScoreTable
from ...section import Section

_MOST = 6  # samples on a shelf
_COLUMNS = (
    SampleColumn("key", "sample"),
    SampleColumn("class_name", "class", choice=True),
    SampleColumn("predicted", "predicted", choice=True),
    SampleColumn("confidence", "confidence", style=".3f"),
    SampleColumn("outcome", "outcome", choice=True),
)
_GROUP = SampleColumn("group", "group", choice=True)


def sample_sections(
    table: ScoreTable, true: Int64[np.ndarray, " rows"], shares: Float[np.ndarray, "rows classes"], names: Sequence[str]
) -> tuple[Section, Section]:
    """A gallery and a table of the samples; `shares` is what the model gives each class, (row, class)."""
    predicted, confidence = shares.argmax(axis=1), shares.max(axis=1)
    wrong, surest = predicted != true, np.argsort(-confidence, kind="stable")
    errors, right = surest[wrong[surest]], surest[~wrong[surest]]
    shelves = (
        Shelf(
            "Wrong, and sure of it", errors[:_MOST].tolist(), f"{len(errors)} of {len(table)} are given another class."
        ),
        Shelf("Right, and least sure of it", right[::-1][:_MOST].tolist()),
        Shelf("Right, and surest of it", right[: _MOST // 2].tolist()),
    )
    columns = [
        table.keys,
        table.class_names,
        [names[code] for code in predicted.tolist()],
        confidence.tolist(),
        ["wrong" if each else "right" for each in wrong.tolist()],
    ]
    # Where each sample is a group of its own, it says nothing that the key does not.
    has_groups = len(set(table.groups)) < len(table)
    rows = list(zip(*columns, *([table.groups] if has_groups else []), strict=True))
    shown = (*_COLUMNS, _GROUP) if has_groups else _COLUMNS
    return (
        Section("gallery", "Samples worth seeing", exhibits=[Gallery(shelves)]),
        Section("samples", "Every sample", exhibits=[SampleTable(shown, rows)]),
    )

"""How the samples of a store are divided: who is in which part of the split."""

import numpy as np

from ..cache.splits import LEFT_OUT
from ..cache.store import FeatureStore
from ..train.data.features import Rows
from ..wording import count_of
from .section import Column, Section
from .section import Rows as Table

_COLUMNS = (
    Column("part", "part", of_text=True),
    Column("num_samples", "samples"),
    Column("num_normal", "normal"),
    Column("num_defect", "defect"),
    Column("num_unknown", "not known"),
    Column("num_groups", "groups"),
    Column("num_shared", "groups shared"),
)


def parts_section(store: FeatureStore, *, judged: Rows, split: str) -> Section:
    """Samples, labels and groups of each part; `judged` are the rows of `split` that the figures are of."""
    index = store.index
    parts = [part for part in dict.fromkeys(index.parts.tolist()) if part != LEFT_OUT]
    groups = {part: set(index.groups[index.parts == part].tolist()) - {""} for part in parts}
    values = []
    for part in parts:
        labels = index.labels[index.parts == part]
        elsewhere = set().union(*(groups[other] for other in parts if other != part))
        counts = [int(np.count_nonzero(labels == label)) for label in (0, 1, -1)]
        values.append((part, len(labels), *counts, len(groups[part]), len(groups[part] & elsewhere)))
    shared = sum(row[-1] for row in values)
    groups_told = (
        "No group is in two parts."
        if any(groups.values()) and not shared
        else "The data set records no groups: it cannot be told whether parts share any."
        if not any(groups.values())
        else "Samples of a group resemble each other: where parts share groups, figures are better than those of new "
        "groups will be."
    )
    note = (
        f"The split is {store.split}, by its hash {store.split_hash[:8]}. Figures are of "
        f"{count_of(len(judged), 'sample')} of {split}. {groups_told}"
    )
    return Section("parts", "Splits and groups", rows=[Table("by_part", _COLUMNS, values)], note=[note])

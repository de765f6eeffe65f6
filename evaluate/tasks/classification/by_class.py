"""How a classifier does with each class, and which it takes for which; of many classes, what is worth a look.

Programs find every class and every count whatever people are shown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ....metrics.classes import ClassFigures
from ....wording import count_of, visible
from ...figures import Intervals
from ...section import Column, Rows, Section

_MOST = 24  # classes that are all shown; of more, a half of these at either end
_CONFUSED = 12  # pairs

_COLUMNS = (
    Column("class", "Class", of_text=True),
    Column("num", "n"),
    Column("recall", "found"),
    Column("precision", "right where predicted"),
    Column("f1", "F1"),
)


def by_class_section(by_class: Mapping[str, ClassFigures], *, chance: float) -> Section:
    """Each class in a table and a figure; `chance` is what the majority control gets right of all."""
    shown, tables = by_class, [_table("by_class", by_class)]
    if len(by_class) > _MOST:
        there = [name for name, each in by_class.items() if each.num]
        order = sorted(there, key=lambda name: by_class[name].num_found / by_class[name].num)
        shown = {name: by_class[name] for name in (*order[: _MOST // 2], *order[-_MOST // 2 :])}
        tables = [
            _table(
                "found_least_and_most", shown, title=f"The {_MOST // 2} found least, and the {_MOST // 2} found most"
            ),
            _table("by_class", by_class, title=f"All {count_of(len(by_class), 'class', 'classes')}", detail=True),
        ]
    recalls = [(f"{visible(name)} ({each.num})", each.recall) for name, each in shown.items()]
    figure = Intervals(
        "Share of each class that is found, with intervals",
        "share found (dashed: majority control over all)",
        [(name, recall, "model") for name, recall in recalls if recall is not None],
        chance=chance,
    )
    return Section("by_class", "By class", rows=tables, figures=[figure], brief=True)


def _table(rows_id: str, by_class: Mapping[str, ClassFigures], *, title: str = "", detail: bool = False) -> Rows:
    values = [(name, each.num, each.recall, each.precision, each.f1) for name, each in by_class.items()]
    return Rows(rows_id, _COLUMNS, values, title, detail=detail)


def confusion_section(names: Sequence[str], counts: NDArray[np.int64]) -> Section:
    """The counts, true classes in rows; of many classes, the pairs that are confused most often."""
    many = len(names) > _MOST
    columns = (
        Column("true", None if many else "", of_text=True),
        *(Column(f"predicted_{name}", None if many else name) for name in names),
    )
    rows = [Rows("counts", columns, [(name, *each) for name, each in zip(names, counts.tolist(), strict=True)])]
    if many:
        rows.insert(0, _confused_most(names, counts))
    title = "What is taken for what most often" if many else "True classes in rows, predicted ones in columns"
    return Section("confusion", title, rows=rows)


def _confused_most(names: Sequence[str], counts: NDArray[np.int64]) -> Rows:
    columns = (
        Column("true", "class", of_text=True),
        Column("predicted", "taken for", of_text=True),
        Column("num", "n"),
        Column("share", "share of the class"),
    )
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    pairs = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSED]
    found = [
        (true, told) for true, told in zip(*np.unravel_index(pairs, wrong.shape), strict=True) if wrong[true, told]
    ]
    values = [
        (names[true], names[told], int(wrong[true, told]), float(wrong[true, told] / counts[true].sum()))
        for true, told in found
    ]
    return Rows("confused_most", columns, values)

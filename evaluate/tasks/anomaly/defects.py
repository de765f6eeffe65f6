"""The defects of a split in groups, by class and by what else the data set says of them; each against all normals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....cache.targets import CLASS, LABEL, UNKNOWN_CLASS, Target
from ....metrics.clustered import FEWEST_GROUPS, grouped_auroc
from ....metrics.estimate import Estimate
from ....metrics.ranking import average_precision, fpr_at_tpr
from ....wording import visible
from ...figures import Intervals, Tone
from ...scores import ScoreTable
from ...section import Column, Rows, Section

SMALLEST_GROUP = 5
TOO_SMALL_NOTE = "n too small"
TOO_FEW_GROUPS_NOTE = f"fewer than {FEWEST_GROUPS} groups"
_MOST_VALUES = 12  # of a target, beyond which it tells rather which sample than which kind of defect


@dataclass(frozen=True)
class ClassResult:
    """How one kind of defect, `num` samples, is told from all normals; `note` says where these are too few to judge.

    `ap` is its average precision, whose chance level is the share of the kind, and `fpr_at_95_tpr` the false-alarm rate
    where 95 % of it are found.
    """

    auroc: Estimate
    ap: float
    fpr_at_95_tpr: float
    num: int
    note: str | None


@dataclass(frozen=True)
class TargetResult:
    """The defects by the values of one target, and what the data set says of it."""

    by_value: Mapping[str, ClassResult]
    caveat: str | None


def class_results(test: ScoreTable, names: Sequence[str]) -> dict[str, ClassResult]:
    """The defects by `names`, one a sample, in alphabetical order."""
    named = np.array(names)
    normal, defect = test.labels == 0, test.labels == 1
    results = {}
    for name in sorted(set(named[defect].tolist())):
        of_name = defect & (named == name)
        num, among = int(np.count_nonzero(of_name)), normal | of_name
        note = TOO_SMALL_NOTE if num < SMALLEST_GROUP else None
        part = test.select(among)
        found = grouped_auroc(part.scores, part.labels, groups=part.groups)
        if note is None and found.of_too_few:
            note = TOO_FEW_GROUPS_NOTE
        results[name] = ClassResult(
            found,
            ap=average_precision(part.scores, part.labels),
            fpr_at_95_tpr=fpr_at_tpr(part.scores, part.labels, tpr=0.95),
            num=num,
            note=note,
        )
    return results


def target_results(test: ScoreTable, targets: Mapping[str, Target]) -> dict[str, TargetResult]:
    """By target, of the same samples as `test`, those beside label and class that tell its defects apart."""
    found = {}
    for name, target in targets.items():
        if name in (LABEL.name, CLASS) or target.spec.classes is None or target.spec.shape:
            continue
        values = target.class_names()
        by_value = class_results(test, values.tolist())
        by_value.pop(UNKNOWN_CLASS, None)
        if 2 <= len(by_value) <= _MOST_VALUES:
            found[name] = TargetResult(by_value, target.spec.caveat)
    return found


def target_section(results: Mapping[str, TargetResult]) -> Section | None:
    """A table for each target; None where there are none."""
    if not results:
        return None
    columns = (
        Column("value", "defects", of_text=True),
        Column("num", "n"),
        Column("auroc", "AUROC"),
        Column("note", "note", of_text=True),
    )
    tables: list[Rows] = []
    bars: list[tuple[str, Estimate, Tone]] = []
    for target, found in results.items():
        values = [(value, each.num, each.auroc, each.note) for value, each in found.by_value.items()]
        tables.append(Rows(target, columns, values, title=f"Defects by {visible(target)}"))
        for value, each in found.by_value.items():
            bars.append((f"{visible(target)}: {visible(value)} ({each.num})", each.auroc, "contrast"))
    return Section(
        id="by_target",
        title="Defects by what else is known of them",
        rows=tables,
        figures=[Intervals("AUROC by further targets with intervals", "AUROC (dashed: chance)", bars)],
        points=[f"{target}: {found.caveat}" for target, found in results.items() if found.caveat],
        note=["Each row holds the defects of which the data set says so against all normals."],
        brief=True,
    )

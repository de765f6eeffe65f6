"""Each member of a model that puts several together: what its scores tell by themselves, on the same samples."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ....metrics.clustered import grouped_auroc
from ....metrics.estimate import Estimate
from ....metrics.repeats import RepeatsEstimate, mean_auroc_difference
from ....train.recipes.recipe import MEMBERS, Joined
from ....train.runs.trained_run import TrainedRun
from ...figures import Intervals, Tone
from ...scoring import Scored
from ...section import Column, Rows, Section
from .scale import Placed


@dataclass(frozen=True)
class MemberResult:
    """One member by itself.

    Attributes:
        auroc: on the samples that it has a score of; None, as the change, where these are of one label.
        change: that AUROC less the whole model's on the same samples.
        num_without: how many samples it has no score of.
    """

    auroc: Estimate | None
    change: RepeatsEstimate | None
    num_without: int


def member_results(placed: Placed, run: TrainedRun) -> dict[str, MemberResult]:
    """Every member by its name; empty where the model has none.

    Raises:
        MetricError: if a score is infinite.
    """
    recipe, scores = run.recipe, placed.scored.outputs.get(MEMBERS)
    if scores is None or not isinstance(recipe, Joined):
        return {}
    columns = zip(recipe.member_names, scores.astype(np.float64).T, strict=True)
    return {name: _result(placed, column) for name, column in columns}


def member_columns(scored: Scored, run: TrainedRun) -> dict[str, list[float | None]]:
    """Each member's score of each sample, `member_<name>`, in standard deviations of normals, as the joint score puts
    them together; None where it has none, no column where the run has no members."""
    recipe, scores = run.recipe, scored.outputs.get(MEMBERS)
    if scores is None or not isinstance(recipe, Joined):
        return {}
    return {
        f"member_{name}": [None if math.isnan(score) else score for score in column.tolist()]
        for name, column in zip(recipe.member_names, scores.T, strict=True)
    }


def _result(placed: Placed, scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> MemberResult:
    there = ~np.isnan(scores)
    of_member = placed.table.select(there)
    own, whole, labels = scores[there], of_member.scores, of_member.labels
    num_without = int(np.count_nonzero(~there))
    if len(set(labels.tolist())) < 2:
        return MemberResult(None, None, num_without)
    change = mean_auroc_difference(own[np.newaxis], whole[np.newaxis], labels, groups=of_member.groups)
    return MemberResult(grouped_auroc(own, labels, groups=of_member.groups), change, num_without)


def member_section(results: Mapping[str, MemberResult], *, whole: Estimate) -> Section | None:
    """Each member beside the whole model, whose AUROC is `whole`; None where there are none."""
    if not results:
        return None
    columns = (
        Column("member", "by itself", of_text=True),
        Column("auroc", "AUROC"),
        Column("change", "against all together", style="+.3f"),
        Column("num_without", "without a score"),
    )
    values = [(name, found.auroc, found.change, found.num_without) for name, found in results.items()]
    shown: list[tuple[str, Estimate, Tone]] = [("all together", whole, "model")]
    shown += [(name, found.auroc, "third") for name, found in results.items() if found.auroc is not None]
    return Section(
        id="members",
        title="Each member by itself",
        rows=[Rows("by_member", columns, values)],
        figures=[Intervals("AUROC of each member and of all together", "AUROC (dashed: chance)", shown)],
        note=[
            "The model puts these scores together, each in standard deviations of normal samples. What a member "
            "reaches by itself can be had without the others; the change is to the whole model on the samples that the "
            "member has a score of, with an interval for pairs."
        ],
        brief=True,
    )

"""The model without one modality: what its scores lose where samples count as if they had none of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ....metrics.clustered import grouped_auroc
from ....metrics.estimate import Estimate, with_span
from ....metrics.ranking import SMALLEST_CLASS_FOR_DELONG
from ....metrics.repeats import Method, RepeatsEstimate, mean_auroc_difference
from ....train.runs.trained_run import TrainedRun
from ....wording import count_of, listed
from ...section import Column, Rows, Section
from .scale import Placed, Scales, on_whole_scale

# A chosen limit: a change this small would not decide between two sensors' prices.
NO_CHANGE = 0.01


@dataclass(frozen=True)
class ModalityResult:
    """The model as if no sample had one modality.

    Attributes:
        auroc: on the same samples; None, as the change, where no sample has the modality.
        change: that AUROC less the whole model's; negative where the modality is of use.
        num_having: how many normals and how many defects of the samples have it.
        num_lacking: how many of the samples lack it anyway.
        num_rescaled: how many of those were put on the scale of the whole samples, see `scale`.
        seen_missing: whether training left it out now and then. If not, the change mixes how much the modality is
            needed with how strange its absence is.
    """

    auroc: Estimate | None
    change: RepeatsEstimate | None
    num_having: tuple[int, int]
    num_lacking: int
    num_rescaled: int
    seen_missing: bool


def modality_results(placed: Placed, *, seen_missing: Collection[str]) -> dict[str, ModalityResult]:
    """AUROC without each modality that was hidden in `placed`, and the difference to the whole model's.

    The differences are between AUROCs of the same samples, with the intervals of `metrics.repeats` for pairs.

    Args:
        placed: a split of both labels.
        seen_missing: modalities that training left out now and then.

    Raises:
        MetricError: if a score without a modality is not finite, of a sample that lacks nothing.
    """
    return {modality: _result(placed, modality, seen_missing=modality in seen_missing) for modality in placed.without}


def _result(placed: Placed, modality: str, *, seen_missing: bool) -> ModalityResult:
    whole, labels, scores = placed.table.scores, placed.table.labels, placed.without[modality]
    having = ~placed.scored.lacking.get(modality, np.zeros(len(labels), dtype=bool))
    num_normal, num_defect = (int(np.count_nonzero(having & (labels == label))) for label in (0, 1))
    # Who lacks all the others has nothing left to be scored by.
    lacking = np.any([~having, *placed.scored.lacking.values()], axis=0)
    left = np.isfinite(scores) | ~lacking
    scores, whole, labels = scores[left], whole[left], labels[left]
    groups = placed.table.select(left).groups
    tells = having.any() and len(set(labels.tolist())) > 1
    return ModalityResult(
        auroc=grouped_auroc(scores, labels, groups=groups) if tells else None,
        change=mean_auroc_difference(scores[np.newaxis], whole[np.newaxis], labels, groups=groups) if tells else None,
        num_having=(num_normal, num_defect),
        num_lacking=placed.num_lacking.get(modality, 0),
        num_rescaled=placed.num_rescaled.get(modality, 0),
        seen_missing=seen_missing,
    )


def contributions(placed: Placed, *, scales: Scales) -> dict[str, list[float | None]]:
    """By how much each sample's score is higher than without a modality, `contribution_<modality>`: both on the scale
    of whole samples, so None where either is not on it, or the sample lacks the modality anyway."""
    scored, scores, found = placed.scored, placed.table.scores, dict[str, list[float | None]]()
    for modality, way in scored.hidden.items():
        without, known = on_whole_scale(scored.ways[way], way, lacking=scored.lacking_sets, scales=scales)
        known &= scored.whole | placed.rescaled
        known &= ~scored.lacking.get(modality, np.zeros(len(scores), dtype=bool))
        change = (scores - without).tolist()
        found[f"contribution_{modality}"] = [
            value if is_known else None for value, is_known in zip(change, known.tolist(), strict=True)
        ]
    return found


def modalities_seen_missing(run: TrainedRun) -> frozenset[str]:
    """The modalities that some samples lacked in training, by themselves or because training hid them."""
    needs, counts = run.recipe.needs(), run.manifest["counts"]
    lacked = counts.get("train_without", counts.get("train_normals_without", {}))
    return frozenset(needs.dispensable) & {*needs.hidden, *lacked}


def unseen_note(results: Mapping[str, ModalityResult]) -> str | None:
    """What the changes mean where training never left a modality out; None where it left out each."""
    unseen = [modality for modality, result in results.items() if not result.seen_missing]
    if not unseen:
        return None
    return (
        f"Training never left out {listed(unseen, last='or')}: what changes without it mixes how much it is needed "
        "with how strange its absence is. Train with --set recipe.modality_dropout=0.1 or so to tell the two apart."
    )


def lacking_caveats(placed: Placed, *, seen_missing: Collection[str]) -> Iterator[str]:
    """What to know of samples that lack a modality that training had."""
    lacking = {modality: num for modality, num in placed.num_lacking.items() if num}
    if lacking:
        counts = listed(f"{num} lack {modality}" for modality, num in lacking.items())
        yield (
            f"Of the {count_of(len(placed.table), 'sample')} of {placed.scored.split}, {counts}; they are scored all "
            "the same, with a learned stand-in for what they lack, and are in every figure."
        )
    unseen = [modality for modality in lacking if modality not in seen_missing]
    if unseen:
        yield (
            f"Training saw no sample without {listed(unseen, last='or')}, so it was not learned from any how to score "
            "those. Train with --set recipe.modality_dropout=0.1 or so."
        )


def change_caveats(results: Mapping[str, ModalityResult]) -> Iterator[str]:
    """What leaving a modality out showed, where enough samples have it to show something."""
    none = [name for name, result in results.items() if result.change is None]
    if none:
        yield f"No sample has {listed(none, last='or')}: what the model does without cannot be told from these."
    few = [name for name, result in results.items() if result.change is not None and not _tells(result)]
    if few:
        yield (
            f"Fewer than {SMALLEST_CLASS_FOR_DELONG} normals or fewer than {SMALLEST_CLASS_FOR_DELONG} defects have "
            f"{listed(few, last='or')}: what changes without is not to be judged from so few."
        )
    changes = {name: result.change for name, result in results.items() if result.change is not None and _tells(result)}
    unmoved = [name for name, found in changes.items() if found.low == found.high]
    if unmoved:
        yield (
            f"Leaving out {listed(unmoved, last='or')} moves no sample past one of the other class: with these samples "
            "nothing can be told of what it is worth."
        )
    idle = [name for name, found in changes.items() if found.low < found.high]
    idle = [name for name in idle if max(-changes[name].low, changes[name].high) <= NO_CHANGE]
    if idle:
        yield (
            f"Leaving out {listed(idle, last='or')} changes nothing (the AUROC by less than {NO_CHANGE:g}): this model "
            "does without."
        )
    for name, found in changes.items():
        if found.low > 0 and found.value > NO_CHANGE:
            yield (
                f"The model is better without {name}: the AUROC changes by {with_span(found, sign='+')}. What it "
                f"learned from {name} may hold for the training samples alone."
            )


def _tells(result: ModalityResult) -> bool:
    return min(result.num_having) >= SMALLEST_CLASS_FOR_DELONG


_METHODS: Mapping[Method, str] = {
    "delong": "DeLong's for pairs",
    "clustered": "Obuchowski's for pairs, which knows groups",
    "newcombe": "Newcombe's of both AUROCs, put together as if these were independent, so rather too wide (fewer than "
    f"{SMALLEST_CLASS_FOR_DELONG} samples of a class, few groups, or complete separation)",
    "equal": "of no width, as every sample keeps its place",
}


def modality_section(results: Mapping[str, ModalityResult]) -> Section | None:
    """The model without each modality; None where it can do without none."""
    if not results:
        return None
    columns = (
        Column("modality", "without", of_text=True),
        Column("auroc", "AUROC"),
        Column("change", "change", style="+.3f"),
        Column("num_lacking", "lack it anyway"),
        Column("num_rescaled", "put on one scale"),
        Column("num_normal_having", None),
        Column("num_defect_having", None),
        Column("seen_missing", None),
    )
    rows = [
        (
            name,
            found.auroc,
            found.change,
            found.num_lacking,
            found.num_rescaled,
            *found.num_having,
            found.seen_missing,
        )
        for name, found in results.items()
    ]
    note = unseen_note(results)
    return Section(
        id="without_modality",
        title="Without one modality",
        note=[_explanation(results)],
        points=[] if note is None else [note],
        rows=[Rows("by_modality", columns, rows)],
        brief=True,
    )


def _explanation(results: Mapping[str, ModalityResult]) -> str:
    return (
        "All samples, scored as if none had the modality. The change is to the whole model on the same samples; its "
        f"interval is {_how_intervals_were_made(results)}. Where all of it lies within {NO_CHANGE:g} of zero and "
        f"{SMALLEST_CLASS_FOR_DELONG} normals and {SMALLEST_CLASS_FOR_DELONG} defects at least have the modality, "
        "nothing changes. Where samples lack a modality, their scores are put on the scale of those that lack none, if "
        "enough validation normals say where it lies."
    )


def _how_intervals_were_made(results: Mapping[str, ModalityResult]) -> str:
    made = {name: result.change.method for name, result in results.items() if result.change is not None}
    used = {method: [name for name, its in made.items() if its == method] for method in dict.fromkeys(made.values())}
    if len(used) == 1:
        return _METHODS[next(iter(used))]
    return "; ".join(f"{_METHODS[method]}, of {listed(names)}" for method, names in used.items()) or "not to be had"

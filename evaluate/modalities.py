"""The model without one modality: what its scores lose where samples count as if they had none of it."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from ..configs.load import settings_from_record
from ..configs.schema import Settings
from ..metrics.auroc import SMALLEST_CLASS_FOR_DELONG, auroc_interval
from ..metrics.estimate import with_span
from ..metrics.repeats import mean_auroc_difference
from ..train.recipes.registry import recipe_of
from ..train.runs.trained_run import TrainedRun
from ..wording import count_of, listed
from .results import ModalityResult
from .scoring import ScoredSplit

# A chosen limit: a change this small would not decide between two sensors' prices.
NO_CHANGE = 0.01


def modality_results(scored: ScoredSplit, *, seen_missing: Collection[str]) -> dict[str, ModalityResult]:
    """AUROC without each modality that was hidden in `scored`, and the difference to the whole model's.

    The differences are between AUROCs of the same samples, with the intervals of `metrics.repeats` for pairs.

    Args:
        scored: a split of both labels.
        seen_missing: modalities that training left out now and then.

    Raises:
        MetricError: if a score without a modality is not finite.
    """
    return {modality: _result(scored, modality, seen_missing=modality in seen_missing) for modality in scored.without}


def _result(scored: ScoredSplit, modality: str, *, seen_missing: bool) -> ModalityResult:
    whole, labels, scores = scored.table.scores, scored.table.labels, scored.without[modality]
    having = ~scored.lacking.get(modality, np.zeros(len(labels), dtype=bool))
    num_normal, num_defect = (int(np.count_nonzero(having & (labels == label))) for label in (0, 1))
    return ModalityResult(
        auroc=auroc_interval(scores, labels) if having.any() else None,
        change=mean_auroc_difference(scores[np.newaxis], whole[np.newaxis], labels) if having.any() else None,
        num_having=(num_normal, num_defect),
        num_lacking=scored.num_lacking.get(modality, 0),
        num_rescaled=scored.num_rescaled.get(modality, 0),
        seen_missing=seen_missing,
    )


def modalities_seen_missing(run: TrainedRun) -> frozenset[str]:
    """The modalities that some samples lacked in training, by themselves or because modality dropout hid them."""
    lacked = run.manifest["counts"].get("train_normals_without", {})
    return frozenset(run.recipe.needs().dispensable) - (_never_hidden(run.manifest, run.settings) - set(lacked))


def _never_hidden(manifest: Mapping[str, Any], settings: Settings) -> set[str]:
    """The modalities that dropout did not hide; of a fused run those that it did not hide from a member."""
    if "members" in manifest:
        members = [(member, settings_from_record(member["settings"])) for member in manifest["members"]]
        return {modality for member, own in members for modality in _never_hidden(member, own)}
    return set() if settings.train.modality_dropout > 0 else set(recipe_of(manifest, settings).needs().dispensable)


def unseen_note(results: Mapping[str, ModalityResult]) -> str | None:
    """What the changes mean where training never left a modality out; None where it left out each."""
    unseen = [modality for modality, result in results.items() if not result.seen_missing]
    if not unseen:
        return None
    return (
        f"Training never left out {listed(unseen, last='or')}: what changes without it mixes how much it is needed "
        "with how strange its absence is. Train with --set train.modality_dropout=0.1 or so to tell the two apart."
    )


def lacking_caveats(scored: ScoredSplit, *, split: str, seen_missing: Collection[str]) -> Iterator[str]:
    """What to know of samples that lack a modality that training had."""
    lacking = {modality: num for modality, num in scored.num_lacking.items() if num}
    if lacking:
        counts = listed(f"{num} lack {modality}" for modality, num in lacking.items())
        yield (
            f"Of the {count_of(len(scored.table), 'sample')} of {split}, {counts}; they are scored all the same, with "
            "a learned stand-in for what they lack, and are in every figure."
        )
    unseen = [modality for modality in lacking if modality not in seen_missing]
    if unseen:
        yield (
            f"Training saw no sample without {listed(unseen, last='or')}, so it was not learned from any how to score "
            "those. Train with --set train.modality_dropout=0.1 or so."
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
    idle = [name for name, found in changes.items() if max(-found.low, found.high) <= NO_CHANGE]
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

"""The numbers of a bench: one row a variant, from the scores of its trials, and the controls once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...cache.index import Index
from ...metrics.estimate import Estimate
from ...metrics.ranking import auroc
from ...metrics.repeats import RepeatsEstimate, mean_auroc, mean_auroc_difference
from ..controls import MediaFreeControl, media_free_control, random_control
from ..scores import Attributes, ScoreTable, score_table
from .record import TrialRecord, TrialScores
from .variant_list import Recorded

_FIGURE = re.compile(r"[-+]?\d[\d.,]*%?")


@dataclass(frozen=True, eq=False)
class TrialOutcome:
    """A trial that was done: with which seed, its figures and its scores."""

    seed: int
    record: TrialRecord
    scores: TrialScores


@dataclass(frozen=True, eq=False)
class VariantOutcome:
    """What became of a variant: the trials that were done, and in a line each why others were not."""

    name: str
    recorded: Recorded
    trials: tuple[TrialOutcome, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class VariantResult:
    """A row of the table; what is None could not be had.

    Attributes:
        seeds: of the trials that were done.
        auroc: on the split, mean over seeds, with its interval.
        by_seed: the AUROC of each seed.
        difference: of the mean from the reference's, over the seeds that both have, with its interval.
        val_auroc: mean over seeds of the best epochs'. They were chosen by it, so it flatters.
        parameters: that are trained.
        seconds: of training, median over seeds.
        failures: why trials were not done, a line each.
    """

    name: str
    recorded: Recorded
    seeds: tuple[int, ...]
    auroc: RepeatsEstimate | None
    by_seed: tuple[float, ...]
    difference: RepeatsEstimate | None
    val_auroc: float | None
    parameters: int | None
    seconds: float | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The table.

    Attributes:
        reference: the variant that the others are compared with.
        num_normal: samples that every variant scored, normals.
        num_defect: the same of defects; all figures on the split are of these samples.
        num_not_shared: samples that some variants scored and others did not; they are in no figure.
        media_free: the control that sees attributes alone; None, as the next, where nothing was scored.
        random: random scores.
        caveats: what `weldcache eval` says of the trials, each kind once.
    """

    reference: str
    variants: tuple[VariantResult, ...]
    num_normal: int
    num_defect: int
    num_not_shared: int
    media_free: MediaFreeControl | None
    random: Estimate | None
    caveats: tuple[str, ...]


def compare(outcomes: Sequence[VariantOutcome], *, index: Index, train_attributes: Attributes, seed: int) -> Comparison:
    """Put variants beside each other, the first being the reference.

    Args:
        outcomes: in the order of the table.
        index: of the store, for what the controls look at.
        train_attributes: of the normals that were trained on.
        seed: of the random control.

    Raises:
        MetricError: if the samples that all variants scored lack a class.
    """
    done = [trial.scores for outcome in outcomes for trial in outcome.trials]
    everyone = {key for scores in done for key in scores.keys}
    shared = set.intersection(*(set(scores.keys) for scores in done)) if done else set()
    rows = np.flatnonzero(np.isin(index.keys, sorted(shared)))
    entries = index.select(rows)
    labels = entries.labels.astype(np.int64)
    aligned = {
        outcome.name: {trial.seed: _aligned(trial.scores, entries.keys.tolist()) for trial in outcome.trials}
        for outcome in outcomes
    }
    reference = outcomes[0].name
    return Comparison(
        reference=reference,
        variants=tuple(
            _result(outcome, aligned[outcome.name], reference=aligned[reference], labels=labels) for outcome in outcomes
        ),
        num_normal=int(np.count_nonzero(labels == 0)),
        num_defect=int(np.count_nonzero(labels == 1)),
        num_not_shared=len(everyone) - len(shared),
        media_free=media_free_control(_blank(entries), train_attributes=train_attributes) if done else None,
        random=random_control(_blank(entries), generator=np.random.default_rng(seed)) if done else None,
        caveats=_caveats(outcomes),
    )


def _caveats(outcomes: Sequence[VariantOutcome]) -> tuple[str, ...]:
    """The warnings of all trials, in the order in which they come, those that differ in figures alone as one.

    A warning says which variants it is about, unless all, and whose figures it gives where they differ.
    """
    texts: dict[str, list[tuple[str, int, str]]] = {}
    for outcome in outcomes:
        for trial in outcome.trials:
            for text in trial.record.warnings:
                texts.setdefault(_FIGURE.sub("", text), []).append((outcome.name, trial.seed, text))
    tried = [outcome.name for outcome in outcomes if outcome.trials]
    found = []
    for warned in texts.values():
        names = list(dict.fromkeys(name for name, _, _ in warned))
        about = "" if names == tried else f" of {', '.join(names)}"
        name, seed, text = warned[0]
        whose = f" (in figures of {name}, seed {seed})" if len({text for _, _, text in warned}) > 1 else ""
        found.append(f"Warning{about}{whose}: {text}")
    return tuple(found)


def _aligned(scores: TrialScores, keys: Sequence[str]) -> NDArray[np.float64]:
    position = {key: position for position, key in enumerate(scores.keys)}
    return scores.scores[[position[key] for key in keys]]


def _result(
    outcome: VariantOutcome,
    scores: Mapping[int, NDArray[np.float64]],
    *,
    reference: Mapping[int, NDArray[np.float64]],
    labels: NDArray[np.int64],
) -> VariantResult:
    records = [trial.record for trial in outcome.trials]
    val_aurocs = [record.val_auroc for record in records if record.val_auroc is not None]
    return VariantResult(
        name=outcome.name,
        recorded=outcome.recorded,
        seeds=tuple(scores),
        auroc=mean_auroc(np.stack(list(scores.values())), labels) if scores else None,
        by_seed=tuple(auroc(values, labels) for values in scores.values()),
        difference=None if scores is reference else _difference(scores, reference, labels=labels),
        val_auroc=float(np.mean(val_aurocs)) if val_aurocs else None,
        parameters=records[0].parameters if records else None,
        seconds=float(np.median([record.seconds for record in records])) if records else None,
        failures=outcome.failures,
    )


def _difference(
    scores: Mapping[int, NDArray[np.float64]],
    reference: Mapping[int, NDArray[np.float64]],
    *,
    labels: NDArray[np.int64],
) -> RepeatsEstimate | None:
    both = [seed for seed in scores if seed in reference]
    if not both:
        return None
    return mean_auroc_difference(
        np.stack([scores[seed] for seed in both]), np.stack([reference[seed] for seed in both]), labels
    )


def _blank(entries: Index) -> ScoreTable:
    """The samples as the controls take them, which make scores of their own."""
    nothing = np.zeros(len(entries))
    return score_table(entries, scores=nothing, raw_scores=nothing)

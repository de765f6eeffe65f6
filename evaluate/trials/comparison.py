"""The numbers of a bench: one row a variant, from the scores of its trials, and the controls once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cache.index import Index
from ...metrics.repeats import RepeatsEstimate
from ...train.runs.reports import Headline
from ..judge import Judge
from .measure import Ground, Truth
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
        mean: of the judge's first headline figure over seeds, on the split, with its interval.
        by_seed: the figure of each seed.
        difference: of the mean from the reference's, over the seeds that both have, with its interval.
        others: means of the other headline figures, by name.
        validation: mean over seeds of the figure of the best epochs. They were chosen by it, so it flatters.
        parameters: that are trained.
        seconds: of training, median over seeds.
        failures: why trials were not done, a line each.
    """

    name: str
    recorded: Recorded
    seeds: tuple[int, ...]
    mean: RepeatsEstimate | None
    by_seed: tuple[float, ...]
    difference: RepeatsEstimate | None
    others: Mapping[str, float]
    validation: float | None
    parameters: int | None
    seconds: float | None
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """The table.

    Attributes:
        judge: whose headline figures it shows.
        reference: the variant that the others are compared with.
        ground: the samples that every variant scored, which all figures on the split are of, and the controls on
            them; none where nothing was scored.
        num_not_shared: samples that some variants scored and others did not; they are in no figure.
        caveats: what `weldcache eval` says of the trials, each kind once.
    """

    judge: Judge[Any]
    reference: str
    variants: tuple[VariantResult, ...]
    ground: Ground
    num_not_shared: int
    caveats: tuple[str, ...]

    @property
    def figure(self) -> Headline:
        """What the variants are compared by."""
        return self.judge.headline[0]

    @property
    def others(self) -> Sequence[Headline]:
        """What is shown beside it."""
        return [figure for figure in self.judge.headline[1:] if "list" in figure.told_in]


def compare(
    outcomes: Sequence[VariantOutcome], *, judge: Judge[Any], index: Index, train: Index, seed: int
) -> Comparison:
    """Put variants beside each other, the first being the reference.

    Args:
        outcomes: in the order of the table.
        judge: of all variants.
        index: of the store, for what is true of the samples and for what the controls look at.
        train: the samples that were trained on.
        seed: of random controls.

    Raises:
        MetricError: if the judge cannot measure anything on the samples that all variants scored.
    """
    done = [trial.scores for outcome in outcomes for trial in outcome.trials]
    everyone = {key for scores in done for key in scores.keys}
    shared = set.intersection(*(set(scores.keys) for scores in done)) if done else set()
    rows = np.flatnonzero(np.isin(index.keys, sorted(shared)))
    entries = index.select(rows)
    truth, groups = judge.measure.truth(entries), entries.groups.tolist()
    aligned = {
        outcome.name: {trial.seed: _aligned(trial.scores, entries.keys.tolist()) for trial in outcome.trials}
        for outcome in outcomes
    }
    reference = outcomes[0].name
    return Comparison(
        judge=judge,
        reference=reference,
        variants=tuple(
            _result(outcome, aligned[outcome.name], judge, reference=aligned[reference], truth=truth, groups=groups)
            for outcome in outcomes
        ),
        ground=judge.measure.ground(entries, train=train, seed=seed),
        num_not_shared=len(everyone) - len(shared),
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
    judge: Judge[Any],
    *,
    reference: Mapping[int, NDArray[np.float64]],
    truth: Truth,
    groups: Sequence[str],
) -> VariantResult:
    measure, records = judge.measure, [trial.record for trial in outcome.trials]
    validated = [record.validation.get(f"val_{judge.headline[0].name}") for record in records]
    known = [value for value in validated if value is not None]
    answers = np.stack(list(scores.values())) if scores else None
    both = [] if scores is reference else [seed for seed in scores if seed in reference]
    mine, theirs = (np.stack([side[seed] for seed in both]) if both else None for side in (scores, reference))
    return VariantResult(
        name=outcome.name,
        recorded=outcome.recorded,
        seeds=tuple(scores),
        mean=None if answers is None else measure.mean(answers, truth, groups=groups),
        by_seed=tuple(measure.value(values, truth) for values in scores.values()),
        difference=None if mine is None or theirs is None else measure.difference(mine, theirs, truth, groups=groups),
        others={} if answers is None else measure.others(answers, truth),
        validation=float(np.mean(known)) if known else None,
        parameters=records[0].parameters if records else None,
        seconds=float(np.median([record.seconds for record in records])) if records else None,
        failures=outcome.failures,
    )

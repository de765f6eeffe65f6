"""The numbers of a bench: a ranking of the variants, from the scores of their trials, and the controls once.

Each variant is held against the best one and against a control that sees no sample, paired by sample and by seed, with
Holm's correction over the variants. That the best was found on these samples favours it, so a tie with it says that
nobody knows which of the two is ahead, and not that they are alike.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cache.index import Index
from ...metrics.repeats import RepeatsEstimate
from ...train.runs.reports import Headline
from ..judge import Judge
from .measure import Difference, Ground, Measure, RepeatedAnswers, Truth, measured_difference, with_holm
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
        rank: its place by the mean, from 1.
        seeds: of the trials that were done.
        mean: of the judge's first headline figure over seeds, on the split, with its interval.
        by_seed: the figure of each seed.
        difference: of the mean from the reference's, over the seeds that both have, with its interval.
        behind: how far it is from the best variant, over the seeds that both have; None of the best itself.
        beside_rival: the same from the control that all are held against.
        others: means of the other headline figures, by name.
        validation: mean over seeds of the figure of the best epochs. They were chosen by it, so it flatters.
        parameters: as of `TrialRecord`.
        seconds: of training, median over seeds.
        score_seconds: of scoring the split, median over seeds.
        peak_bytes: memory that training and scoring took beside what was there before, the most over seeds.
        failures: why trials were not done, a line each.
    """

    name: str
    recorded: Recorded
    seeds: tuple[int, ...] = ()
    mean: RepeatsEstimate | None = None
    by_seed: tuple[float, ...] = ()
    difference: RepeatsEstimate | None = None
    others: Mapping[str, float] = field(default_factory=dict)
    validation: float | None = None
    parameters: int | None = None
    seconds: float | None = None
    score_seconds: float | None = None
    peak_bytes: int | None = None
    failures: tuple[str, ...] = ()
    rank: int | None = None
    behind: Difference | None = None
    beside_rival: Difference | None = None

    @property
    def ties_with_best(self) -> bool:
        """Whether it is not known which of it and the best is ahead; not of the best itself."""
        return self.behind is not None and self.behind.is_tie


@dataclass(frozen=True)
class Comparison:
    """The table of one split.

    Attributes:
        judge: whose headline figures it shows.
        divided_by: the split of the store that all variants went by; "" where several did.
        reference: the variant that the others are compared with.
        variants: the best first; those of which nothing was scored last.
        ground: the samples that every variant scored, which all figures on the split are of, and the controls on
            them; none where nothing was scored.
        num_not_shared: samples that some variants scored and others did not; they are in no figure.
        caveats: what `weldcache eval` says of the trials, each kind once.
        passed_over: variants whose features the store lacks, with the reason.
    """

    judge: Judge[Any]
    divided_by: str
    reference: str
    variants: tuple[VariantResult, ...]
    ground: Ground
    num_not_shared: int
    caveats: tuple[str, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def figure(self) -> Headline:
        """What the variants are compared by."""
        return self.judge.headline[0]

    @property
    def others(self) -> Sequence[Headline]:
        """What is shown beside it."""
        return [figure for figure in self.judge.headline[1:] if "list" in figure.told_in]


def compare(
    outcomes: Sequence[VariantOutcome],
    *,
    judge: Judge[Any],
    index: Index,
    train: Index,
    seed: int,
    divided_by: str = "",
    passed_over: Mapping[str, str] = MappingProxyType({}),
) -> Comparison:
    """Put variants beside each other, the first being the reference.

    Args:
        divided_by, passed_over: as of `Comparison`.
        outcomes: in the order of the list.
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
    ground = judge.measure.ground(entries, train=train, seed=seed)
    aligned = {
        outcome.name: {trial.seed: _aligned(trial.scores, entries.keys.tolist()) for trial in outcome.trials}
        for outcome in outcomes
    }
    reference = outcomes[0].name
    results = [
        _result(outcome, aligned[outcome.name], judge, reference=aligned[reference], truth=truth, groups=groups)
        for outcome in outcomes
    ]
    return Comparison(
        judge=judge,
        divided_by=divided_by,
        reference=reference,
        variants=_ranked(results, aligned, judge, truth=truth, groups=groups, rival=ground.rival_answers),
        ground=ground,
        num_not_shared=len(everyone) - len(shared),
        caveats=_caveats(outcomes),
        passed_over=passed_over,
    )


Aligned = Mapping[int, NDArray[np.float64]]
"""By seed, answers of one variant in the order of the samples."""


def _ranked(
    results: Sequence[VariantResult],
    aligned: Mapping[str, Aligned],
    judge: Judge[Any],
    *,
    truth: Truth,
    groups: Sequence[str],
    rival: NDArray[np.float64] | None,
) -> tuple[VariantResult, ...]:
    """The results from the best to the worst, each held against the best and against the control's answers."""
    sign = 1 if judge.headline[0].lower_is_better else -1
    scored = sorted(
        ((each.mean.value, each) for each in results if each.mean is not None), key=lambda found: sign * found[0]
    )
    order = [each for _, each in scored]
    behind = behind_best([each.name for each in order], aligned, judge.measure, truth=truth, groups=groups)
    beside: dict[str, Difference] = {}
    if rival is not None:
        for each in order:
            answers = np.stack(list(aligned[each.name].values()))
            theirs = np.broadcast_to(rival, answers.shape)
            beside[each.name] = measured_difference(judge.measure, answers, theirs, truth, groups=groups)
        beside = dict(zip(beside, with_holm([*beside.values()]), strict=True))
    ranked = [
        replace(each, rank=rank, behind=behind.get(each.name), beside_rival=beside.get(each.name))
        for rank, each in enumerate(order, start=1)
    ]
    return (*ranked, *(each for each in results if each.mean is None))


def behind_best(
    order: Sequence[str], aligned: Mapping[str, Aligned], measure: Measure, *, truth: Truth, groups: Sequence[str]
) -> dict[str, Difference]:
    """How far each is behind the first of `order`, with Holm's correction over all that have a seed in common with
    it."""
    found: dict[str, Difference] = {}
    for name in order[1:]:
        if sides := _of_both(aligned[name], aligned[order[0]]):
            found[name] = measured_difference(measure, *sides, truth, groups=groups)
    return dict(zip(found, with_holm([*found.values()]), strict=True))


def _of_both(mine: Aligned, theirs: Aligned) -> tuple[RepeatedAnswers, RepeatedAnswers] | None:
    """Answers of both sides with the seeds that both have; None where there is none."""
    both = [seed for seed in mine if seed in theirs]
    return (np.stack([mine[seed] for seed in both]), np.stack([theirs[seed] for seed in both])) if both else None


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
    scores: Aligned,
    judge: Judge[Any],
    *,
    reference: Aligned,
    truth: Truth,
    groups: Sequence[str],
) -> VariantResult:
    measure, records = judge.measure, [trial.record for trial in outcome.trials]
    validated = [record.validation.get(f"val_{judge.headline[0].name}") for record in records]
    known = [value for value in validated if value is not None]
    answers = np.stack(list(scores.values())) if scores else None
    sides = None if scores is reference else _of_both(scores, reference)
    return VariantResult(
        name=outcome.name,
        recorded=outcome.recorded,
        seeds=tuple(scores),
        mean=None if answers is None else measure.mean(answers, truth, groups=groups),
        by_seed=tuple(measure.value(values, truth) for values in scores.values()),
        difference=None if sides is None else measure.difference(*sides, truth, groups=groups)(0.95),
        others={} if answers is None else measure.others(answers, truth),
        validation=float(np.mean(known)) if known else None,
        parameters=records[0].parameters if records else None,
        seconds=float(np.median([record.seconds for record in records])) if records else None,
        score_seconds=_if_any(np.median, [record.score_seconds for record in records]),
        peak_bytes=None if (peak := _if_any(np.max, [record.peak_bytes for record in records])) is None else int(peak),
        failures=outcome.failures,
    )


def _if_any(of: Callable[[list[float]], float], values: Sequence[float | None]) -> float | None:
    """A mean, or the like, of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(of(known)) if known else None

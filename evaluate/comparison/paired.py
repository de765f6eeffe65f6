"""Runs ranked by what they said of the same samples, with the difference of any two, paired sample by sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from ...errors import MetricError, TrainingError
from ...metrics.repeats import RepeatsEstimate
from ...train.runs.reports import Headline
from ...wording import listed
from ..judge import Judge
from ..trials.measure import Answers, Difference, Measure, Truth, measured_difference, with_holm
from .said import Said


@dataclass(frozen=True)
class OfClass:
    """The difference on one class; None, with a `note`, where it cannot be had."""

    name: str
    num: int
    difference: Difference | None
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """The figure of `run` less that of `reference`; its p values and those of classes are for themselves."""

    run: str
    reference: str
    difference: Difference
    by_class: tuple[OfClass, ...]

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "run": self.run,
            "reference": self.reference,
            **self.difference.as_json(),
            "by_class": [
                {"class": each.name, "num": each.num, "note": each.note}
                | ({} if each.difference is None else each.difference.as_json())
                for each in self.by_class
            ],
        }


@dataclass(frozen=True)
class Ranked:
    """A run's place.

    Attributes:
        rank: one more than there are runs that are known to be ahead of it, so that ties have one rank.
        figure: with the interval of its own.
        tied_with: the runs above it in the table of which it is not known whether they are ahead.
    """

    run: str
    rank: int
    figure: RepeatsEstimate
    tied_with: tuple[str, ...]


@dataclass(frozen=True)
class Paired:
    """Runs that are held against each other.

    Attributes:
        figure: what they are compared by.
        num_samples: that all of them were judged on.
        ranking: the best first.
        pairs: every two of them, the one that is lower in the ranking less the higher; first those with the best.
        ways: how intervals of figures and of differences were made, in words.
        scored_now: the runs whose samples were scored for this.
    """

    split: str
    figure: Headline
    num_samples: int
    ranking: tuple[Ranked, ...]
    pairs: tuple[Pair, ...]
    ways: tuple[str, ...]
    scored_now: tuple[str, ...]

    def behind_the_first(self) -> Mapping[str, Pair]:
        """The pairs with the best run, by the other run's name."""
        return {pair.run: pair for pair in self.pairs if pair.reference == self.ranking[0].run}

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "split": self.split,
            "figure": self.figure.name,
            "num_samples": self.num_samples,
            "ranking": [{**vars(each), "figure": dict(vars(each.figure))} for each in self.ranking],
            "pairs": [pair.as_json() for pair in self.pairs],
            "ways": list(self.ways),
            "scored_now": list(self.scored_now),
        }


def paired(said: Sequence[Said], *, split: str) -> Paired:
    """Hold runs against each other that are judged on the same samples (`said.refusals`).

    Raises:
        MetricError: if the judge cannot measure anything on these samples.
    """
    judge = said[0].judge
    samples = _Samples.of(said, judge, split=split)
    figures = {run.name: samples.figure_of(run.name) for run in said}
    sign = 1 if judge.headline[0].lower_is_better else -1
    order = sorted(figures, key=lambda name: sign * figures[name].value)
    couples = [(lower, higher) for higher, lower in combinations(order, 2)]
    differences = with_holm([samples.difference(*couple) for couple in couples])
    pairs = tuple(
        Pair(run, reference, found, samples.by_class(run, reference))
        for (run, reference), found in zip(couples, differences, strict=True)
    )
    return Paired(
        split=split,
        figure=judge.headline[0],
        num_samples=len(samples.truth),
        ranking=tuple(_ranked(name, figures[name], pairs) for name in order),
        pairs=pairs,
        ways=_ways(judge.measure, list(figures.values()), pairs),
        scored_now=tuple(run.name for run in said if run.scored_now),
    )


@dataclass(frozen=True, eq=False)
class _Samples:
    """The samples that all runs answered."""

    measure: Measure
    truth: Truth
    answers: Mapping[str, Answers]
    class_names: Sequence[str]
    groups: Sequence[str] | None

    @classmethod
    def of(cls, said: Sequence[Said], judge: Judge[Any], *, split: str) -> "_Samples":
        keys = said[0].keys
        tables = [run.in_order_of(keys) for run in said]
        try:
            read = judge.measure.read(tables)
        except (KeyError, ValueError) as error:
            raise TrainingError(
                f"What was written of {listed(run.name for run in said)} on {split} cannot be read ({error!r}): judge "
                "them again with `weldcache eval`."
            ) from None
        truth, answers = read[0][0], {run.name: each for run, (_, each) in zip(said, read, strict=True)}
        assert all(np.array_equal(truth, other) for other, _ in read)  # as `refusals` has seen
        return cls(judge.measure, truth, answers, tables[0]["class_name"], tables[0].get("group"))

    def figure_of(self, run: str) -> RepeatsEstimate:
        return self.measure.mean(self.answers[run][np.newaxis], self.truth, groups=self.groups)

    def difference(self, run: str, reference: str, chosen: np.ndarray | None = None) -> Difference:
        """With the p value by itself; of all samples, or of the `chosen` ones."""
        mask = np.ones(len(self.truth), dtype=bool) if chosen is None else chosen
        mine, theirs, truth = (values[mask] for values in (self.answers[run], self.answers[reference], self.truth))
        groups = None if self.groups is None else np.asarray(self.groups)[mask].tolist()

        sides = mine[np.newaxis], theirs[np.newaxis]
        return measured_difference(self.measure, *sides, truth, groups=groups)

    def by_class(self, run: str, reference: str) -> tuple[OfClass, ...]:
        """The difference on each class, with Holm's correction over those that can be had."""
        names = np.asarray(self.class_names)
        found: list[OfClass] = []
        for name, chosen in self.measure.classes(self.truth, self.class_names).items():
            num = int(np.count_nonzero(names[chosen] == name))
            try:
                found.append(OfClass(name, num, self.difference(run, reference, chosen)))
            except MetricError as error:
                found.append(OfClass(name, num, None, str(error)))
        adjusted = iter(with_holm([each.difference for each in found if each.difference is not None]))
        return tuple(each if each.difference is None else replace(each, difference=next(adjusted)) for each in found)


def _ranked(name: str, figure: RepeatsEstimate, pairs: Sequence[Pair]) -> Ranked:
    below = [pair for pair in pairs if pair.run == name]
    tied = tuple(pair.reference for pair in below if pair.difference.is_tie)
    return Ranked(name, 1 + len(below) - len(tied), figure, tied)


def _ways(measure: Measure, figures: Sequence[RepeatsEstimate], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """How intervals were made: of the figures, then of their differences, each way once."""
    means = [measure.ways_of_mean[method] for method in dict.fromkeys(figure.method for figure in figures)]
    used = dict.fromkeys(
        each.value.method
        for pair in pairs
        for each in (pair.difference, *(of.difference for of in pair.by_class))
        if each is not None
    )
    return (
        f"95% intervals of {measure.plural}: {'; '.join(means)}.",
        f"Of differences: {'; '.join(measure.ways_of_difference[method] for method in used)}.",
    )

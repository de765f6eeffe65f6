"""What a classifier predicts on the way of a target of several values, such as attributes that are present or absent.

A recipe says so by an output that has the target's name: the chance of each value that it is present.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....cache.index import Index
from ....metrics.estimate import with_span
from ....metrics.multilabel import MultilabelFigures, multilabel_figures
from ....wording import count_of
from ...figures import Group, Spreads
from ...section import Column, Fact, Rows, Section

_SHOWN = 5  # values at either end of the table for people
_FEW = 5


@dataclass(frozen=True, eq=False)
class PredictedValues:
    """The values of one target, as they are predicted of the judged samples.

    Attributes:
        names: of the values.
        figures: of each value, and their means.
    """

    target: str
    names: Sequence[str]
    figures: MultilabelFigures

    @property
    def no_better(self) -> NDArray[np.bool_]:
        """Which values are told right no more often than by always giving the answer that is usual in training."""
        return self.figures.ranked & (self.figures.accuracy <= self.figures.usual_accuracy)


def targets_predicted(outputs: Sequence[str], index: Index) -> list[str]:
    """Those of a recipe's outputs that are chances of the values of a target of present, absent and not known."""
    there = [(name, index.targets[name]) for name in outputs if name in index.targets]
    return [
        name
        for name, target in there
        if target.spec.is_integer and len(target.spec.shape) == 1 and not target.spec.is_ragged
        if target.values.max(initial=0) <= 1
    ]


def predicted_values(
    outputs: Mapping[str, NDArray[np.float32]], *, judged: Index, train: Index, seed: int
) -> Iterator[PredictedValues]:
    """How well each target is predicted; `outputs` are the chances, (judged sample, value), by the target's name."""
    for name, chances in outputs.items():
        spec, of_train = judged.targets[name].spec, train.targets[name].values
        yield PredictedValues(
            name,
            spec.value_names or [f"value {number}" for number in range(1, chances.shape[1] + 1)],
            multilabel_figures(
                chances,
                judged.targets[name].values,
                usual=(of_train == 1).sum(axis=0) > (of_train == 0).sum(axis=0),
                groups=judged.groups.tolist(),
                generator=np.random.default_rng(seed),
            ),
        )


def predicted_caveats(predicted: Sequence[PredictedValues]) -> Iterator[str]:
    """Targets that the model may know nothing of."""
    for each in predicted:
        mean = each.figures.means.get("auroc")
        if mean is not None and mean.low <= 0.5:
            yield (
                f"What the model predicts of {each.target} is not shown to be better than chance: the mean AUROC of "
                f"its values is {with_span(mean)}."
            )


def predicted_section(each: PredictedValues) -> Section:
    """How well the values of one target are predicted, in a section of its own."""
    figures, title = each.figures, f"What is predicted of {each.target}"
    if not figures.means:
        nothing = "The judged samples have no value that some of them are known to have and others not to have."
        return Section(f"predicted_{each.target}", title, note=[nothing])
    ranked = np.flatnonzero(figures.ranked)
    best = ranked[np.argsort(-figures.auroc[ranked], kind="stable")]
    unranked = np.setdiff1d(np.arange(len(each.names)), best)
    # By the AUROC of a value that hardly any sample has, or hardly any has not, it would be last or first by chance.
    rarer = figures.num_known * np.minimum(figures.prevalence, 1 - figures.prevalence)
    sound = best[rarer[best] >= _FEW - 0.5]
    shown = min(_SHOWN, len(sound) // 2)
    ends = [*sound[:shown], *sound[len(sound) - shown :]]
    tables = [
        Rows(
            "best_and_worst",
            _COLUMNS,
            [_row(each, place) for place in ends],
            f"The {shown} told best and worst, of those that {_FEW} samples have and {_FEW} have not",
        ),
        Rows(
            "by_value",
            _COLUMNS,
            [_row(each, place) for place in (*best, *unranked)],
            f"All {count_of(len(each.names), 'value')}",
            detail=True,
        ),
    ]
    spread = Spreads(
        f"How the AUROCs of the values of {each.target} spread",
        "AUROC of a value",
        [Group("values", figures.auroc[best], "model")],
        shape="histograms",
        mark=0.5,
        mark_name="chance",
        share="% of the values",
    )
    return Section(
        f"predicted_{each.target}",
        title,
        facts=_facts(each),
        rows=tables,
        figures=[spread],
        note=[_HOW],
        look="tiles",
        brief=True,
    )


_COLUMNS = (
    Column("value", "value", of_text=True),
    Column("num_known", "known"),
    Column("prevalence", "present"),
    Column("auroc", "AUROC"),
    Column("ap", "AP"),
    Column("f1", "F1"),
    Column("accuracy", "accuracy"),
    Column("usual", "usual"),
)
_HOW = (
    "Each value is judged on the samples of which it is known. Means take all values alike that some of these have and "
    "others have not; their intervals are for other samples (jackknife). A value is said to be present where its "
    "chance is 0.5 or more; the usual answer is the one that is more frequent in training, mostly that it is absent."
)


def _facts(each: PredictedValues) -> list[Fact]:
    """The means beside what they are without any knowledge of the samples."""
    figures, means = each.figures, each.figures.means
    prevalence = figures.prevalence[figures.ranked]
    chance = float(prevalence.mean())
    present_f1 = float((2 * prevalence / (1 + prevalence)).mean())
    usual = float(figures.usual_accuracy[figures.ranked].mean())
    num = len(prevalence)
    return [
        Fact("mean_auroc", "Mean AUROC", means["auroc"], note=f"{count_of(num, 'value')}; chance is 0.5"),
        Fact("mean_ap", "Mean average precision", means["ap"], note=f"chance is {chance:.3f}"),
        Fact("mean_f1", "Mean F1", means["f1"], note=f"always saying present gives {present_f1:.3f}"),
        Fact("mean_accuracy", "Mean accuracy", means["accuracy"], note=f"the usual answer gives {usual:.3f}"),
        Fact(
            "num_no_better",
            "No more often right than the usual answer",
            int(each.no_better.sum()),
            note=f"of {count_of(num, 'value')}",
        ),
        Fact("num_values", None, num),
        Fact("mean_prevalence", None, chance),
        Fact("always_present_f1", None, present_f1),
        Fact("usual_accuracy", None, usual),
    ]


def _row(each: PredictedValues, place: int) -> tuple[str | float | int | None, ...]:
    figures = each.figures
    shares = (figures.prevalence, figures.auroc, figures.ap, figures.f1, figures.accuracy, figures.usual_accuracy)
    told = [float(share[place]) for share in shares]
    return (
        each.names[place],
        int(figures.num_known[place]),
        *(None if np.isnan(share) else share for share in told),
    )

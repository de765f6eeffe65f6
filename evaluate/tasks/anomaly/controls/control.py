"""A control: scores of the same samples that can be had without the model, and how the model stands beside them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .....metrics.clustered import grouped_auroc
from .....metrics.estimate import Estimate
from .....metrics.p_value import Permutation
from .....metrics.repeats import RepeatsEstimate, mean_auroc_difference
from ....scores import ScoreTable

# The scores of a control, higher where a sample is more likely a defect, NaN where it has none of a sample; or why it
# has none at all, in words.
Found = NDArray[np.float64] | str


@dataclass(frozen=True)
class Rival:
    """What a control is, before it is asked.

    Attributes:
        name: as it stands in a sentence behind "the".
        sees: all that it looks at, as it stands before "alone".
        of_media: whether it looks at what the samples show, as a model does, but is not trained.
        leads: whether it stands beside the model at the head of a report.
        needed: whether a result without it is doubtful.
    """

    name: str
    sees: str
    of_media: bool = False
    leads: bool = False
    needed: bool = False

    @property
    def heading(self) -> str:
        """Its name as it stands by itself."""
        return self.name[0].upper() + self.name[1:]

    def measured(self, found: Found, table: ScoreTable, *, told: str = "") -> "Control":
        """The control on the samples of `table`, whose scores are the model's.

        Raises:
            MetricError: if the samples are of one label, or a score is infinite.
        """
        if isinstance(found, str):
            return Control(self, auroc=None, reason=found)
        there = ~np.isnan(found)
        part = table.select(there)
        own, model, labels = found[there], part.scores, part.labels
        if not there.all():
            told = f"{told}; of the {int(there.sum())} of {len(table)} samples that have it".removeprefix("; ")
            if len(set(labels.tolist())) < 2:
                return Control(self, auroc=None, reason="the samples that have it are of one label")
        difference = mean_auroc_difference(model[np.newaxis], own[np.newaxis], labels, groups=part.groups)
        return Control(self, grouped_auroc(own, labels, groups=part.groups), difference=difference, told=told)


@dataclass(frozen=True)
class Control:
    """What a control reaches on the judged samples.

    Attributes:
        auroc: None where it cannot be had, for the `reason` given.
        difference: the model's AUROC less this one, on the samples that it has a score of; None where it is not known.
        told: what the control found, in words, such as a rule; empty where there is nothing to tell.
    """

    rival: Rival
    auroc: Estimate | None
    reason: str | None = None
    difference: RepeatsEstimate | None = None
    told: str = ""

    @property
    def note(self) -> str:
        """What belongs beside its figure."""
        return self.reason or self.told or f"{self.rival.sees} alone"

    def beats(self, model: Estimate) -> bool:
        """Whether it is better than guessing, and as good as the model or better."""
        return self.auroc is not None and self.auroc.value > 0.5 and self.auroc.value >= model.value

    def comes_close(self, model: Estimate) -> bool:
        """Whether it lies within the model's interval or above, or the difference of the two may be none.

        Where neither is shown to be better than guessing, that says it all, and nothing is close.
        """
        if self.auroc is None or max(self.auroc.low, model.low) <= 0.5:
            return False
        if self.difference is None:
            return self.auroc.overlaps(model)
        return self.auroc.value >= model.low or self.difference.low <= 0


@dataclass(frozen=True)
class Controls:
    """What can be had without a model.

    Attributes:
        random: AUROC of seeded random scores.
        rivals: by the name of their figure in a report, in the order in which they are told.
        permutation: what the model's scores reach where labels are dealt out anew.
        separating: rules in words, by attribute, each of which alone tells all defects from all normals.
        chance_ap: average precision of random scores, which is the share of defects.
        majority_accuracy: accuracy of always answering the more frequent label.
    """

    random: Estimate
    rivals: Mapping[str, Control]
    permutation: Permutation
    separating: Mapping[str, str]
    chance_ap: float
    majority_accuracy: float

    def nearest_to(self, model: Estimate) -> Control | None:
        """The gravest of those that beat the model or come close to it, which is not always the one of the highest
        AUROC: one that beats it before one that is close, one that sees no media before one that does; None where none
        does."""
        near = [each for each in self.rivals.values() if each.beats(model) or each.comes_close(model)]

        def gravity(each: Control) -> tuple[bool, bool, float]:
            return each.beats(model), not each.rival.of_media, each.auroc.value if each.auroc else 0.0

        return max(near, key=gravity, default=None)

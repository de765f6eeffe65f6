"""What each modality does for a classifier: how often it is right where the judged samples have that of one another."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....metrics.clustered import grouped_share
from ....metrics.estimate import Estimate, with_span
from ....metrics.repeats import RepeatsEstimate, mean_share_difference
from ...section import Column, Rows, Section
from .controls import Classes


@dataclass(frozen=True)
class DealtModality:
    """A modality that was dealt out anew among the samples.

    Attributes:
        accuracy: of the same model then.
        difference: the model's accuracy less that, paired by sample.
    """

    name: str
    accuracy: Estimate
    difference: RepeatsEstimate

    @property
    def is_idle(self) -> bool:
        """Whether the model may do as well without what it says of each sample."""
        return self.difference.low <= 0


def dealt_modalities(
    true: Classes,
    predicted: Classes,
    dealt: Mapping[str, Mapping[str, NDArray[np.float32]]],
    *,
    groups: Sequence[str],
) -> tuple[DealtModality, ...]:
    """Each modality, from the logits that the model gives where it is dealt out; `predicted` is where none is."""
    right = (predicted == true)[np.newaxis]
    found = []
    for name, outputs in dealt.items():
        then = (outputs["logits"].argmax(axis=1) == true)[np.newaxis]
        difference = mean_share_difference(right, then, groups=groups)
        found.append(DealtModality(name, grouped_share(then[0], groups=groups), difference))
    return tuple(found)


def modality_caveats(modalities: Sequence[DealtModality]) -> Iterator[str]:
    """Modalities that may do nothing, where there are others."""
    for each in modalities:
        if len(modalities) > 1 and each.is_idle:
            yield (
                f"The model is not clearly worse where the samples have {each.name} of one another "
                f"({with_span(each.accuracy)}): it is not shown to make use of it."
            )


def modalities_section(modalities: Sequence[DealtModality]) -> Section:
    """What each modality does, in a table."""
    columns = (
        Column("modality", "dealt out anew", of_text=True),
        Column("accuracy", "accuracy then"),
        Column("difference", "lost by it", style="+.3f"),
    )
    return Section(
        "modalities",
        "What each modality does",
        rows=[Rows("by_modality", columns, [(each.name, each.accuracy, each.difference) for each in modalities])],
        note=[
            "Each row is the same model, with one modality of every sample exchanged for that of another sample of the "
            "same split, by chance, and the others left as they are. What is lost is what the model takes from it; a "
            "model that is shown one modality alone is left with chance."
        ],
    )

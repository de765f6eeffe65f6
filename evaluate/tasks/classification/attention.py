"""How much each modality has a part in what a classifier with attention makes of a sample."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from ....metrics.classes import ClassFigures
from ...section import Column, Rows, Section
from .controls import Classes

_DECILES = (10, 90)


def attention_section(
    shares: Float[np.ndarray, "rows modalities"],
    true: Classes,
    *,
    modalities: Sequence[str],
    by_class: Mapping[str, ClassFigures],
    names: Sequence[str],
) -> Section:
    """The shares over all samples, and their means in each class that is there.

    Args:
        shares: how much each modality moves a sample's embedding, of what all do.
        true: the classes.
        modalities: their names.
        by_class: the classes that are told of.
        names: of all classes, in the order of their numbers.
    """
    lowest, highest = np.percentile(shares, _DECILES, axis=0)
    columns = (
        Column("modality", "", of_text=True),
        Column("mean", "share on average"),
        Column("low", "a tenth has less"),
        Column("high", "a tenth has more"),
    )
    means = shares.mean(axis=0, dtype=np.float64)
    over_all = [
        (name, float(means[place]), float(lowest[place]), float(highest[place]))
        for place, name in enumerate(modalities)
    ]
    there = [name for name, each in by_class.items() if each.num]
    of_class = [(name, *shares[true == names.index(name)].mean(axis=0, dtype=np.float64).tolist()) for name in there]
    class_columns = (Column("class", "class", of_text=True), *(Column(f"share_{name}", name) for name in modalities))
    return Section(
        "attention",
        "How much each modality moves the embedding",
        rows=[
            Rows("by_modality", columns, over_all),
            Rows("by_class", class_columns, of_class, "On average of each class"),
        ],
        note=[
            "Learned tokens ask each modality in turn by attention; a share is the length of what one of them brings, "
            "of that of all. It says where the embedding comes from and not what is right: what is lost without a "
            "modality stands above."
        ],
    )

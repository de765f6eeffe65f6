"""Attributes: a target of many values a sample, from 0 for absent to 1 for present, of which some are not known.

They are learned from where they are known, and predicted of every sample. They are never an input that is read off the
target itself: a recipe that encodes them reads its own prediction, or a feature that is named as an oracle's.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ...errors import SettingsError
from ..types import Shapes

UNSEEN = 0.5
"""What stands for an attribute that is not known where attributes are an input: halfway between absent and present."""


def num_attributes(shapes: Shapes, target: str) -> int:
    """How many attributes a target has.

    Raises:
        SettingsError: if it has one value a sample.
    """
    shape = shapes.get(f"targets/{target}", ())
    if len(shape) != 1:
        raise SettingsError(
            f"The target {target} has not several values a sample, which recipe.target asks for: name another one."
        )
    return shape[0]


def attribute_loss(
    logits: Float[Tensor, "batch attributes"], attributes: Shaped[Tensor, "batch attributes"]
) -> Float[Tensor, ""]:
    """Binary cross-entropy, mean over all that is known; 0 where nothing is."""
    known, wanted = _known(attributes)
    losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


class Prevalence:
    """How many of the training rows have each attribute, of those of which it is known."""

    def __init__(self, num: int) -> None:
        self._present, self._known = torch.zeros(num), torch.zeros(num)

    def add(self, attributes: Shaped[Tensor, "batch attributes"]) -> None:
        known, values = _known(attributes.cpu())
        self._known += known.sum(dim=0)
        self._present += values.sum(dim=0)

    def begin(self, layer: nn.Linear) -> None:
        """Make a layer's first logits say of each attribute how frequent it is, whatever it is shown; of one that is
        never known, that it may be there or not."""
        share = (self._present + 1) / (self._known + 2)  # never 0 or 1, whose logits are infinite
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(share.logit())


def as_input(attributes: Shaped[Tensor, "batch attributes"]) -> Float[Tensor, "batch attributes"]:
    """Attributes of the target as a classifier is shown them while it learns, UNSEEN where they are not known."""
    known, values = _known(attributes)
    return torch.where(known, values, UNSEEN)


def _known(attributes: Tensor) -> tuple[Tensor, Float[Tensor, "batch attributes"]]:
    """Which are known, and their values, 0 where they are not: -1 in a target of integers, NaN in one of floats."""
    known = attributes >= 0
    return known, torch.where(known, attributes.float(), 0.0)

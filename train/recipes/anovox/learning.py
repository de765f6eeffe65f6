"""What the recipes share: a module, points without their padding, and a loss of two kinds of unequal number."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ....errors import SettingsError, TrainingError
from ...types import Batch, FeatureRequest, Shapes

Network = TypeVar("Network", bound=nn.Module)


class BinaryModule(nn.Module, Generic[Network]):
    """A network with what a positive counts in its loss."""

    pos_weight: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("pos_weight", torch.ones(()))


class PointRequests:
    """The arrays of a feature of the kind cloud."""

    def __init__(self, feature: str) -> None:
        self.points = FeatureRequest(feature, "points")
        self.length = FeatureRequest(feature, "points_length")

    @property
    def labels(self) -> str:
        """The name of the target that has a label of each point."""
        return f"{self.points.feature_set}/labels"

    def num_channels(self, shapes: Shapes) -> int:
        """Numbers of a point.

        Raises:
            SettingsError: if the feature has no points.
        """
        shape = shapes[self.points.name]
        if len(shape) != 2:
            raise SettingsError(f"{self.points.name} has the shape {list(shape)} and holds no points.")
        return shape[1]

    def read(self, batch: Batch) -> tuple[Float[Tensor, "batch points channels"], Bool[Tensor, "batch points"]]:
        """The points, with zeros for padding, and which of them are real."""
        points = batch.features[self.points.name].float()
        lengths = batch.features[self.length.name].unsqueeze(1)
        real = torch.arange(points.shape[1], device=lengths.device) < lengths
        # Not a product: padding is NaN.
        return torch.where(real.unsqueeze(-1), points, 0.0), real


class Ratio:
    """How many negatives there are of each positive, counted part by part."""

    def __init__(self) -> None:
        self._negatives = self._positives = 0

    def add(self, labels: Shaped[Tensor, "..."]) -> None:
        """Count labels of 0 and 1; others are not known."""
        self._negatives += int((labels == 0).sum())
        self._positives += int((labels == 1).sum())

    @property
    def value(self) -> float:
        """Negatives over positives.

        Raises:
            TrainingError: if there is nothing of either.
        """
        if not self._negatives or not self._positives:
            raise TrainingError(
                f"There are {self._negatives:,} negatives and {self._positives:,} positives to learn from, "
                "and both are needed. See that train.task is detection or points, not anomaly, "
                "which trains on normals; and that the split train has frames with anomalies and without."
            )
        return self._negatives / self._positives


def binary_loss(
    logits: Float[Tensor, "..."], labels: Shaped[Tensor, "..."], *, pos_weight: Float[Tensor, ""], focal: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of what is known, labels of 0 and 1, in which a positive counts `pos_weight` times; 0 where
    nothing is.

    With `focal` = g each term is multiplied by (1 - p)^g, p being what the model gives the true label (Lin et al.
    2017, Focal loss for dense object detection, equation 4). The weights' sum divides, so that the loss of a constant
    does not hang on the ratio of the labels.
    """
    known = (labels == 0) | (labels == 1)
    chosen, true = logits[known].float(), labels[known].float()
    each = nn.functional.binary_cross_entropy_with_logits(chosen, true, reduction="none")
    weights = torch.where(true == 1, pos_weight, torch.ones_like(each))
    if focal:
        each = (1 - torch.exp(-each)) ** focal * each
    return (weights * each).sum() / weights.sum().clamp(min=1e-12)


def points_advice(missing: Sequence[str]) -> str:
    """What to do where a store lacks features of camera and lidar."""
    return (
        f"Run `weldcache extract` with {' and '.join(missing)} among extract.features (the preset anovox has them); if "
        "they are there under another name, say so with --set recipe.points=..., recipe.image=... or recipe.pixels=..."
    )

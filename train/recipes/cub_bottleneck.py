"""A concept bottleneck: a photograph's attributes are predicted, and its class from these alone.

Whatever the classifier knows of a new photograph are numbers that have a name each, so that one can see what a mistake
came of. Attributes that people saw are learned from and never read of a sample that is judged.

Sources: Koh, Nguyen, Tang, Mussmann, Pierson, Kim and Liang, Concept Bottleneck Models, ICML 2020, section 3. There the
two parts of `independent` and `sequential` learn one after the other; here in the same epochs, which is the same where
the classifier moves nothing of the predictor.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...cache.targets import UNKNOWN
from ...configs.section import NonNegative, PlainName, Width
from ..nn.standardise import ChannelStatistics, Standardise
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .attributes import Prevalence, as_input, attribute_loss, num_attributes
from .linear_probe import TARGET, classes_predicted, hidden_layers, num_classes_of
from .vectors import VectorRecipe, VectorSettings


class CubBottleneckSettings(VectorSettings):
    """Photograph to attributes to class; for train.task=classification."""

    name: Literal["cub_bottleneck"] = Field("cub_bottleneck", description="What is learned, and how it predicts.")
    target: PlainName = Field(
        "attributes", description="Target whose values are the attributes, from 0 for absent to 1 for present."
    )
    training: Literal["independent", "sequential", "joint"] = Field(
        "joint",
        description="What the classifier learns from. independent: the attributes that people saw; sequential: those "
        "that are predicted; joint: the same, and its errors move the prediction too.",
    )
    attribute_weight: NonNegative = Field(
        10.0, description="Weight of the loss of the attributes beside that of the class; where training is joint."
    )
    hidden: tuple[Width, ...] = Field(
        (),
        max_length=8,
        description="Widths of hidden layers between photograph and attributes, each with ReLU and dropout.",
    )


class Bottleneck(nn.Module):
    """Logits of attributes, and logits of classes from attributes alone."""

    def __init__(self, width: int, *, num_attributes: int, num_classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.standardise = Standardise(width)
        self.hidden = hidden_layers(width, hidden)
        self.attributes = nn.Linear((width, *hidden)[-1], num_attributes)
        self.classes = nn.Linear(num_attributes, num_classes)

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Float[Tensor, "batch attributes"]:
        """Logits of the attributes, in float32 whatever the arithmetic."""
        logits: Tensor = self.attributes(self.hidden(self.standardise(vectors)))
        return logits.float()

    def classify(self, attributes: Float[Tensor, "batch attributes"]) -> Float[Tensor, "batch classes"]:
        """Logits of the classes, of attributes from 0 to 1."""
        logits: Tensor = self.classes(2 * attributes - 1)  # so that what is not known is 0
        return logits.float()


class CubBottleneckRecipe(VectorRecipe):
    """Attributes by the mean vector of each sample, and classes by these."""

    def __init__(self, settings: CubBottleneckSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def needs(self) -> Needs:
        needs = super().needs()
        measures = (*(request.name for request in needs.features), self._settings.target)
        return replace(
            needs, measures=measures, targets=(TARGET, self._settings.target), outputs=("logits", self._settings.target)
        )

    def build(self, shapes: Shapes) -> Bottleneck:
        return Bottleneck(
            self.width(shapes),
            num_attributes=num_attributes(shapes, self._settings.target),
            num_classes=num_classes_of(shapes),
            hidden=self._settings.hidden,
        )

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Mean and deviation of each channel, and how frequent each attribute is."""
        assert isinstance(model, Bottleneck)
        statistics = ChannelStatistics(len(model.standardise.mean))
        prevalence = Prevalence(model.attributes.out_features)
        for batch in train:  # once, for both
            for vectors in self.training_vectors([batch]):
                statistics.add(vectors)
            prevalence.add(batch.targets[self._settings.target])
        model.standardise.use(statistics)
        prevalence.begin(model.attributes)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        vectors, _ = self.vectors(batch)
        return {"attributes": model(vectors)}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """That of the attributes, and that of the classes by what `training` says."""
        assert isinstance(model, Bottleneck)
        settings = self._settings
        told = targets[settings.target]
        predicted = encodings["attributes"].sigmoid()
        shown = {"joint": predicted, "sequential": predicted.detach(), "independent": as_input(told)}[settings.training]
        logits = model.classify(shown)
        of_class = nn.functional.cross_entropy(logits, targets[TARGET].long(), ignore_index=UNKNOWN)
        of_attributes = attribute_loss(encodings["attributes"], told)
        # The two parts share nothing unless they learn together, so that no weight decides between them.
        weight = settings.attribute_weight if settings.training == "joint" else 1.0
        return Losses(of_class + weight * of_attributes, {"class": of_class, "attributes": of_attributes})

    @property
    def varied(self) -> Collection[str] | None:
        return ()

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """Classes by the predicted attributes, whatever the classifier learned from."""
        assert isinstance(model, Bottleneck)
        attributes = encodings["attributes"].sigmoid()
        return classes_predicted(model.classify(attributes), {self._settings.target: attributes})

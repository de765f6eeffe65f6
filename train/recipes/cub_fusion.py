"""Photograph and attributes in one classifier: the original architecture on cached features, and honest inputs for it.

A hidden layer of the photograph, two of the attributes, a scalar gate on both, two layers on what comes of it. With 312
attributes, 200 classes and vectors of 2,048 numbers these are 2,709,449 parameters, to ResNet-50's 23,508,032. The gate
is read as one number of both hidden layers together, 1024-512-tanh-1-sigmoid, that multiplies both alike: a number for
each of the two would be 513 parameters more than were recorded.

The original read the attributes that people had seen in the very photograph that was to be classified, in which one can
look up the class. Here they are those that a linear map predicts of the photograph; or they come from a feature that is
named as an oracle's, and the report says so.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...cache.targets import UNKNOWN
from ...configs.section import Like, NonNegative, PlainName
from ..settings import RecipeSettings, StoredArray
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .attributes import Prevalence, attribute_loss, num_attributes
from .linear_probe import TARGET, classes_predicted, num_classes_of
from .vectors import VectorRecipe, VectorSettings

_WIDTH, _FUSED = 512, 256
_DROPOUT = 0.1
_PREDICTED = "predicted"


class CubFusionSettings(RecipeSettings):
    """Photograph and attributes with a gate; for train.task=classification."""

    name: Literal["cub_fusion"] = Field("cub_fusion", description="What is learned, and how it predicts.")
    image: StoredArray = Field(
        "auto",
        description="Array of the photograph, such as image/last/mean; where it has many vectors a sample, their mean. "
        "auto: the first array of the store that is called embedding, mean or values.",
    )
    attributes: Annotated[
        str, Like(rf"{_PREDICTED}|[a-z0-9_]+(/[a-z0-9_]+)+", "predicted, or oracle_attributes/values")
    ] = Field(
        _PREDICTED,
        description="Where the attributes come from. predicted: of the photograph, by a linear map that learns them; "
        "or an array of the store, such as oracle_attributes/values, which no new sample has.",
    )
    inputs: Literal["both", "image", "attributes"] = Field("both", description="What the classifier is shown.")
    gate: bool = Field(True, description="Whether a scalar, of both, weighs both; where both are shown.")
    target: PlainName = Field("attributes", description="Target that is learned where attributes are predicted.")
    attribute_weight: NonNegative = Field(
        1.0, description="Weight of the loss of the attributes beside that of the class; where they are predicted."
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With an array of the photograph that the store holds."""
        chosen = VectorSettings(name=self.name, array=self.image).for_store(arrays)
        return self.model_copy(update={"image": chosen.array})


class Fusion(nn.Module):
    """Logits of classes from what is shown of photograph and attributes, either of which may be left out.

    Args:
        image: width of the photograph's vectors; None: they are not shown.
        attributes: how many there are; None: they are not shown.
        predicted_from: width of the vectors that they are predicted from; None: they are given.
    """

    def __init__(
        self,
        *,
        image: int | None,
        attributes: int | None,
        predicted_from: int | None,
        num_classes: int,
        gate: bool,
    ) -> None:
        super().__init__()
        shown = _WIDTH * sum(width is not None for width in (image, attributes))
        if predicted_from is not None and attributes is not None:
            self.predictor = nn.Linear(predicted_from, attributes)
        if image is not None:
            self.image = _layers(image, _WIDTH)
        if attributes is not None:
            self.attributes = _layers(attributes, _WIDTH, _WIDTH)
        if gate:
            self.gate = nn.Sequential(nn.Linear(shown, _WIDTH), nn.Tanh(), nn.Linear(_WIDTH, 1), nn.Sigmoid())
        self.fusion = _layers(shown, _WIDTH, _FUSED)
        self.classes = nn.Linear(_FUSED, num_classes)

    def forward(
        self, image: Float[Tensor, "batch width"] | None, attributes: Float[Tensor, "batch attributes"] | None
    ) -> Float[Tensor, "batch classes"]:
        """Logits, in float32 whatever the arithmetic; None for what is not shown."""
        shown = [] if image is None else [self.image(image)]
        shown += [] if attributes is None else [self.attributes(attributes)]
        joined = torch.cat(shown, dim=1)
        if hasattr(self, "gate"):
            joined = joined * self.gate(joined)
        logits: Tensor = self.classes(self.fusion(joined))
        return logits.float()


def _layers(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU, batch normalisation and dropout behind each, as the original has them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.BatchNorm1d(after), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers)


class CubFusionRecipe:
    """Classes by photograph and attributes."""

    def __init__(self, settings: CubFusionSettings) -> None:
        self._settings = settings
        self._shows = {side: settings.inputs in ("both", side) for side in ("image", "attributes")}
        self._predicts = self._shows["attributes"] and settings.attributes == _PREDICTED
        self._image = VectorRecipe(VectorSettings(name=settings.name, array=settings.image), setting="recipe.image")
        self._given = (
            None
            if self._predicts or not self._shows["attributes"]
            else VectorRecipe(
                VectorSettings(name=settings.name, array=settings.attributes), setting="recipe.attributes"
            )
        )

    @property
    def _arrays(self) -> list[VectorRecipe]:
        reads_image = self._shows["image"] or self._predicts
        return [*([self._image] if reads_image else []), *([] if self._given is None else [self._given])]

    def needs(self) -> Needs:
        predicted = (self._settings.target,) if self._predicts else ()
        needs = Needs.of_all([array.needs() for array in self._arrays])
        return replace(needs, measures=predicted, targets=(TARGET, *predicted), outputs=("logits", *predicted))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Choose features that are there with --set recipe.image=<feature set>/<array> and recipe.attributes, or "
            "run `weldcache extract` with these among extract.features."
        )

    def build(self, shapes: Shapes) -> Fusion:
        settings = self._settings
        width = self._image.width(shapes) if self._shows["image"] or self._predicts else None
        attributes = None
        if self._shows["attributes"]:
            given = self._given
            attributes = num_attributes(shapes, settings.target) if given is None else given.width(shapes)
        return Fusion(
            image=width if self._shows["image"] else None,
            attributes=attributes,
            predicted_from=width if self._predicts else None,
            num_classes=num_classes_of(shapes),
            gate=settings.gate and settings.inputs == "both",
        )

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """How frequent each attribute is, where they are predicted; the original takes the vectors as they are."""
        assert isinstance(model, Fusion)
        if self._predicts:
            prevalence = Prevalence(model.predictor.out_features)
            for batch in train:
                prevalence.add(batch.targets[self._settings.target])
            prevalence.begin(model.predictor)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Logits of the classes and, where they are predicted, of the attributes; nothing is drawn."""
        assert isinstance(model, Fusion)
        image = self._image.vectors(batch)[0].float() if self._image in self._arrays else None
        given = None if self._given is None else self._given.vectors(batch)[0].float()
        told: dict[str, Tensor] = {}
        if self._predicts:
            told["attributes"] = model.predictor(image).float()
            # The class must not be learned through them, or they would be no attributes any more.
            given = told["attributes"].detach().sigmoid()
        return {"logits": model(image if self._shows["image"] else None, given), **told}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Cross-entropy of the classes, and what the attributes lack where they are predicted."""
        of_class = nn.functional.cross_entropy(encodings["logits"], targets[TARGET].long(), ignore_index=UNKNOWN)
        if not self._predicts:
            return Losses(of_class)
        of_attributes = attribute_loss(encodings["attributes"], targets[self._settings.target])
        total = of_class + self._settings.attribute_weight * of_attributes
        return Losses(total, {"class": of_class, "attributes": of_attributes})

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        predicted = {self._settings.target: encodings["attributes"].sigmoid()} if self._predicts else {}
        return classes_predicted(encodings["logits"], predicted)

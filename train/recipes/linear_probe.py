"""A linear probe: which class a sample is of, by softmax regression on one cached array.

It says what frozen features tell of the classes: there is one weight a class and channel, on vectors standardised by
the training rows, and nothing between. Its loss has no local minima, so that no weights are drawn: they begin at 0.
With hidden layers it is a perceptron on the same vectors, and says what a little more than a linear map finds in them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...cache.targets import UNKNOWN
from ...configs.section import Width
from ...errors import SettingsError
from ..nn.standardise import ChannelStatistics, Standardise
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .vectors import VectorRecipe, VectorSettings

TARGET = "class"
_DROPOUT = 0.1  # of hidden units


class LinearProbeSettings(VectorSettings):
    """Softmax regression on the mean vector of an array; for train.task=classification."""

    name: Literal["linear_probe"] = Field("linear_probe", description="What is learned, and how it predicts.")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="What a sample counts in the loss. none: all alike; balanced: each class of training alike, "
        "however rare, which macro F1 asks for and accuracy does not.",
    )
    hidden: tuple[Width, ...] = Field(
        (), max_length=8, description="Widths of hidden layers, each with ReLU and dropout; none: it is linear."
    )


def hidden_layers(width: int, hidden: Sequence[int]) -> nn.Sequential:
    """Layers of these widths with ReLU and dropout, behind vectors of `width`; of none the vectors come out again."""
    layers: list[nn.Module] = []
    for before, after in zip((width, *hidden), hidden, strict=False):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(_DROPOUT)]
    return nn.Sequential(*layers)


class LinearProbe(nn.Module):
    """Logits of standardised vectors; `class_weights` are what a sample of each class counts in the loss."""

    class_weights: Tensor

    def __init__(self, width: int, *, num_classes: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.standardise = Standardise(width)
        self.hidden = hidden_layers(width, hidden)
        self.linear = nn.Linear((width, *hidden)[-1], num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("class_weights", torch.ones(num_classes))

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Float[Tensor, "batch classes"]:
        """Logits, in float32 whatever the arithmetic."""
        logits: Tensor = self.linear(self.hidden(self.standardise(vectors)))
        return logits.float()


def num_classes_of(shapes: Shapes) -> int:
    """How many classes the data set names.

    Raises:
        SettingsError: if it names none.
    """
    if f"classes/{TARGET}" not in shapes:
        raise SettingsError(f"The target {TARGET} of this data set has no named classes, so none can be told.")
    return shapes[f"classes/{TARGET}"][0]


class LinearProbeRecipe(VectorRecipe):
    """Classes by the mean vector of each sample."""

    def __init__(self, settings: LinearProbeSettings) -> None:
        super().__init__(settings)
        self._balanced = settings.class_weights == "balanced"
        self._hidden = settings.hidden

    def needs(self) -> Needs:
        """The array, and the class of each training row; both are measured."""
        needs = super().needs()
        measures = (*(request.name for request in needs.features), TARGET)
        return replace(needs, measures=measures, targets=(TARGET,), outputs=("logits",))

    def build(self, shapes: Shapes) -> LinearProbe:
        """As wide as the vectors, and a logit for each class that the data set names, trained on or not."""
        return LinearProbe(self.width(shapes), num_classes=num_classes_of(shapes), hidden=self._hidden)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Mean and deviation of each channel; and of each class its weight, or else where its bias begins."""
        assert isinstance(model, LinearProbe)
        statistics, counts = ChannelStatistics(len(model.standardise.mean)), torch.zeros(len(model.class_weights))
        for batch in train:
            for vectors in self.training_vectors([batch]):
                statistics.add(vectors)
            classes = batch.targets[TARGET].long().cpu()
            counts += torch.bincount(classes[classes != UNKNOWN], minlength=len(counts))
        model.standardise.use(statistics)
        if self._balanced:
            # A class of validation that training lacks counts as a row of training does on average.
            balanced = counts.sum() / (torch.count_nonzero(counts) * counts)
            model.class_weights.copy_(balanced.masked_fill(counts == 0, 1.0))
        else:
            # Each class is as likely as it is frequent, so that training begins at the majority control and not below;
            # one more of each, as no logarithm is of 0.
            with torch.no_grad():
                model.linear.bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The logits; nothing is drawn."""
        vectors, _ = self.vectors(batch)
        return {"logits": model(vectors)}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """Cross-entropy, weighted by class, of the rows whose class is known."""
        assert isinstance(model, LinearProbe)
        classes = targets[TARGET].long()
        return Losses(
            nn.functional.cross_entropy(encodings["logits"], classes, weight=model.class_weights, ignore_index=UNKNOWN)
        )

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The logits; the score is how unsure it is, 1 - the chance of the likeliest class."""
        return classes_predicted(encodings["logits"])


def classes_predicted(
    logits: Float[Tensor, "batch classes"], outputs: Mapping[str, Tensor] | None = None
) -> Prediction:
    """What a classifier predicts, with further `outputs`; the score is 1 - the chance of the likeliest class."""
    unsure = 1 - logits.softmax(dim=1).amax(dim=1)
    return Prediction(unsure, outputs={"logits": logits, **(outputs or {})})

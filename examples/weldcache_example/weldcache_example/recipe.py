"""A recipe: how many standard deviations the strangest number of a sample is from the mean of normal samples."""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from weldcache.train.settings import RecipeSettings
from weldcache.train.types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes


class StandardScoreSettings(RecipeSettings):
    """Distance from the mean in standard deviations."""

    name: Literal["standard_score"] = Field("standard_score", description="What is learned, and how it predicts.")
    feature: str = Field("statistics", description="Feature that it looks at: one with an array `values`.")


class StandardScoreRecipe:
    """Fitted: it goes through the normal samples once."""

    Settings = StandardScoreSettings

    def __init__(self, settings: StandardScoreSettings) -> None:
        self._values = FeatureRequest(settings.feature, "values")

    def needs(self) -> Needs:
        return Needs((self._values,), modalities={self._values.feature_set: (self._values.feature_set,)})

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return "Choose a feature of the kind statistics or vector that is there, with --set recipe.feature=NAME."

    def build(self, shapes: Shapes) -> nn.Module:
        model = nn.Module()
        model.register_buffer("mean", torch.zeros(shapes[self._values.name]))
        model.register_buffer("deviation", torch.ones(shapes[self._values.name]))
        return model

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        count, total, squares = 0, torch.zeros(()), torch.zeros(())  # float64: squares of large numbers are close
        for batch in batches:
            values = batch.features[self._values.name].double().cpu()
            count, total, squares = count + len(values), total + values.sum(0), squares + values.square().sum(0)
        mean = total / count
        model.mean.copy_(mean)
        model.deviation.copy_((squares / count - mean.square()).clamp(min=1e-12).sqrt())

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        values = batch.features[self._values.name].float()
        return {"distance": ((values - model.mean) / model.deviation).abs()}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["distance"].amax(dim=1), maps={"distance": encodings["distance"]})

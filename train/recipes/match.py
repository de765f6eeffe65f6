"""Match: whether a result is the one that its process let expect, however usual each of the two is by itself.

Principal components of each array, a ridge regression from those of the process to those of the result, and the
Mahalanobis distance of its residual, all on normal samples. The residuals' covariance is that of rows that the
regression was not fitted to, shrunk as Ledoit and Wolf do: its own rows would leave too little.

Three passes: the components; sums for the regressions of each fold and of all; residuals. Memory holds a matrix as wide
as each array in double precision, and one of all components a fold.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import NonNegative, Positive
from ...errors import TooFewSamplesError, TrainingError
from ..nn.gaussian import ShrunkCovariance
from ..nn.match import FoldedRidge, Match, PrincipalComponents
from ..settings import NamedArray, RecipeSettings, of_last_block
from ..types import Batch, Encodings, Needs, Prediction, Shapes
from .folds import Folds
from .recipe import kept
from .vectors import VectorRecipe, VectorSettings

_SIDES = ("process", "result")
_ARRAYS = "arrays of the store; where one has many vectors a sample, their mean is looked at."


class MatchSettings(RecipeSettings):
    """The result given the process: distance of the result from what the process let expect."""

    name: Literal["match"] = Field("match", description="What is learned, and how it predicts.")
    process: tuple[NamedArray, ...] = Field(
        ("video/embedding", "sound_statistics/values", "sensor_statistics/values"),
        min_length=1,
        description=f"What is known of the process: {_ARRAYS}",
    )
    result: tuple[NamedArray, ...] = Field(
        ("image/last/mean", "pixels/values"), min_length=1, description=f"What came of it: {_ARRAYS}"
    )
    process_components: Positive = Field(12, description="Principal components of each array of the process.")
    result_components: Positive = Field(32, description="Principal components of each array of the result.")
    alpha: NonNegative = Field(
        20.0, description="Penalty of the ridge regression: that of so many rows in which nothing depends on anything."
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        10,
        description="Parts of the normal samples, each predicted by a regression on the others.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With the deepest blocks that the store holds."""
        both = {side: tuple(of_last_block(array, arrays) for array in getattr(self, side)) for side in _SIDES}
        return self.model_copy(update=both)


class MatchRecipe:
    """The result given the process."""

    def __init__(self, settings: MatchSettings) -> None:
        self._settings = settings
        sides = (("recipe.process", settings.process), ("recipe.result", settings.result))
        self._arrays = [
            VectorRecipe(VectorSettings(name=settings.name, array=array), setting=setting)
            for setting, arrays in sides
            for array in arrays
        ]

    def needs(self) -> Needs:
        return Needs.of_all([array.needs() for array in self._arrays])

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return (
            "Choose features that are there with --set recipe.process=[<feature set>/<array>,...] and recipe.result, "
            "or run `weldcache extract` with these among extract.features."
        )

    def build(self, shapes: Shapes) -> Match:
        widths, num_process = [array.width(shapes) for array in self._arrays], len(self._settings.process)
        return Match(
            widths[:num_process],
            widths[num_process:],
            process_components=self._settings.process_components,
            result_components=self._settings.result_components,
        )

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Measure components, regression and residuals; what is drawn are the folds.

        Raises:
            TooFewSamplesError: if there are fewer rows than folds.
            TrainingError: if a vector is not finite, or nothing is left to explain.
        """
        assert isinstance(model, Match)
        batches = kept(batches)
        folds = Folds(self._settings.folds, generator=generator)
        self._fit_components(model, batches)
        ridge = FoldedRidge(*model.weight.shape, folds=folds.number, alpha=self._settings.alpha)
        for batch, dealt in folds.deal(batches):
            ridge.add(*model.components(self._vectors(batch)), dealt)
        models = [ridge.without(fold) for fold in range(folds.number)]
        weights, biases = (torch.stack(part).float().to(model.bias.device) for part in zip(*models, strict=True))
        residuals = ShrunkCovariance(len(model.bias))
        for batch, dealt in folds.deal(batches):
            process, result = model.components(self._vectors(batch))
            for fold in range(folds.number):
                rows = dealt == fold
                residuals.add(result[rows] - (process[rows] @ weights[fold] + biases[fold]))
        weight, bias = ridge.whole()
        model.weight.copy_(weight)
        model.bias.copy_(bias)
        left = residuals.count * float(residuals.unshrunk.trace() + residuals.mean.square().sum())
        try:
            model.explained.fill_(1 - left / ridge.result_variance)
            model.distance.use(residuals)
        except (ValueError, ZeroDivisionError):
            raise TrainingError(
                "The results of the normal samples do not differ, so there is nothing to expect of a process; choose "
                "other arrays with --set recipe.result=[<feature set>/<array>]."
            ) from None

    def _fit_components(self, model: Match, batches: Iterable[Batch]) -> None:
        sides = [side for side in model.sides if isinstance(side, PrincipalComponents)]
        statistics = [ShrunkCovariance(len(side.mean)) for side in sides]
        for batch in batches:
            for array, vectors, measured in zip(self._arrays, self._vectors(batch), statistics, strict=True):
                array.require_finite(vectors)
                measured.add(vectors)
        if statistics[0].count < self._settings.folds:
            raise TooFewSamplesError(
                f"There are {statistics[0].count:,} normal samples, fewer than recipe.folds = {self._settings.folds}; "
                "lower it."
            )
        for side, measured in zip(sides, statistics, strict=True):
            side.use(measured)

    def _vectors(self, batch: Batch) -> list[Float[Tensor, "batch _"]]:
        return [array.vectors(batch)[0] for array in self._arrays]

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        return {"distance": model(self._vectors(batch))}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["distance"])

    def figures(self, model: nn.Module) -> Mapping[str, float]:
        assert isinstance(model, Match)
        return {"explained_variance": float(model.explained)}

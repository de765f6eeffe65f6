"""SimpleNet: normal features told from the same with noise, by a small discriminator.

Liu et al. 2023, "SimpleNet: A Simple Network for Image Anomaly Detection and Localization", arXiv 2303.15140. A linear
adaptor moves the features; noise is added to what comes of it, and the discriminator is to keep a margin between both.
The score is how far a feature lies on the side of the noise.

Layer normalisation stands for the original's batch normalisation: a batch's statistics are those of the raw weights and
not of averaged ones. The original's noise is told in the units of its features; here features are in units of their
spread over the training samples, and the noise in units of the spread of what the adaptor makes of them at first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive, Width
from ..nn.stack import Numbers
from ..nn.standardise import Standardise
from ..settings import NamedArray, of_last_block
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .joined_arrays import JoinedArrays, JoinedPlaces
from .places import PlaceSettings, mean_of_real, scored_places

_MARGIN = 0.5
_SLOPE = 0.2  # of LeakyReLU


class SimpleNetSettings(PlaceSettings):
    """Patches of normal samples against the same with noise."""

    name: Literal["simplenet"] = Field("simplenet", description="What is learned, and how it predicts.")
    beside: tuple[NamedArray, ...] = Field(
        (),
        description="Further arrays with the same places, such as those of another block: one vector with the first.",
    )
    vectors: Literal["each", "mean"] = Field(
        "each", description="each: every place by itself; mean: the mean vector of each array, such as of a pooled one."
    )
    noise: float = Field(0.5, gt=0, le=100, description="Standard deviation of the noise.")
    hidden: Width = Field(1024, description="Width of the discriminator's hidden layer.")
    standardise: bool = Field(True, description="Take each number in units of its spread over the training samples.")
    places: Positive | None = Field(
        256, description="Places of each sample, drawn at each step, that are learned from; null: all."
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        beside = tuple(of_last_block(array, arrays) for array in self.beside)
        return super().for_store(arrays).model_copy(update={"beside": beside})


class SimpleNet(nn.Module):
    """A linear adaptor, and a discriminator that gives a feature a number, higher for what is more usual; `noise` is
    the standard deviation of what is added to what the adaptor makes."""

    def __init__(self, width: int, *, hidden: int, noise: float) -> None:
        super().__init__()
        self.numbers = Numbers({"noise": noise})
        self.standardise = Standardise(width)
        self.adaptor = nn.Linear(width, width)
        self.discriminator = nn.Sequential(
            nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.LeakyReLU(_SLOPE), nn.Linear(hidden, 1, bias=False)
        )
        for layer in (self.adaptor, self.discriminator[0], self.discriminator[-1]):
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight)

    def forward(
        self, vectors: Float[Tensor, "*batch width"], noise: Float[Tensor, "*batch width"]
    ) -> tuple[Float[Tensor, " *batch"], Float[Tensor, " *batch"]]:
        """How usual each feature is, and the same with noise, which is given in units of its deviation; in float32."""
        adapted = self.adaptor(self.standardise(vectors))
        usual, noisy = self.discriminator(adapted), self.discriminator(adapted + self.numbers["noise"] * noise)
        return usual.squeeze(-1).float(), noisy.squeeze(-1).float()


class SimpleNetRecipe:
    """Settings of SimpleNet turned into a module, a loss and a score."""

    def __init__(self, settings: SimpleNetSettings) -> None:
        self._settings = settings
        self._by_place = settings.vectors == "each"
        arrays, standardise = (settings.array, *settings.beside), settings.standardise
        self._joined = (
            JoinedPlaces(arrays, recipe=settings.name, setting="recipe.array", measured=standardise)
            if self._by_place
            else JoinedArrays(
                arrays,
                recipe=settings.name,
                setting="recipe.array",
                vectors="mean",
                measured=standardise,
                optional=False,
            )
        )

    def needs(self) -> Needs:
        return self._joined.needs()

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return self._joined.advice()

    def build(self, shapes: Shapes) -> SimpleNet:
        settings = self._settings
        return SimpleNet(sum(self._joined.widths(shapes)), hidden=settings.hidden, noise=settings.noise)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Spread of each number over all training rows."""
        assert isinstance(model, SimpleNet)
        if self._settings.standardise:
            self._joined.measure(model.standardise, train)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """How usual each feature is, with noise and without; with a generator, as in training, of places that it draws
        and with noise of its own."""
        vectors, real = self._joined.learned_from(batch, most=self._settings.places, generator=generator)
        usual, noisy = model(vectors, _noise(vectors, generator))
        return {"usual": usual, "noisy": noisy, "real": real}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """What both miss of the margin."""
        real = encodings["real"]
        terms = {
            "normal": mean_of_real(torch.relu(_MARGIN - encodings["usual"]), real),
            "noise": mean_of_real(torch.relu(_MARGIN + encodings["noisy"]), real),
        }
        return Losses(terms["normal"] + terms["noise"], terms=terms)

    @property
    def varied(self) -> Collection[str] | None:
        return ("noise",)

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        distances, real = -encodings["usual"], encodings["real"]
        if not self._by_place:
            return Prediction(distances)
        return scored_places(distances.masked_fill(~real, torch.nan), real, settings=self._settings)


def _noise(
    vectors: Float[Tensor, "batch *axes width"], generator: torch.Generator | None
) -> Float[Tensor, "batch *axes width"]:
    """Normal noise; without a generator, as in validation, the same for every row and at every time."""
    if generator is not None:
        return torch.randn(vectors.shape, generator=generator, device=vectors.device)
    fixed = torch.Generator(vectors.device).manual_seed(0)
    return torch.randn(vectors.shape[1:], generator=fixed, device=vectors.device).expand(vectors.shape)

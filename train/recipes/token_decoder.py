"""Tokens rebuilt by a decoder that cannot copy them, learned on normal samples: Dinomaly, and INP-Former's prototypes.

Both go from the mean of the cached blocks through a bottleneck with dropout to a decoder, and take 1 - cosine between
what it gives and the blocks: at each place it is the map, over a whole picture at once the loss. What differs is how
the decoder is kept from copying, and how training is turned to the places that are hard (`train/nn/token_decoder.py`).

As far as the cached blocks allow: the originals rebuild eight middle blocks of a network in two groups of four. Of
blocks in the store two or more are two groups, and one is one. Their first 1,000 steps turn to what is hard by and by,
here it is so from the first step on; INP-Former's residual learning, which needs the pixels' labels, is left out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Fraction, NonNegative, Positive, Share
from ...errors import SettingsError
from ..nn.token_decoder import TokenDecoder
from ..settings import NamedArray, of_last_block
from ..types import Batch, Encodings, Losses, Needs, Prediction, Shapes
from .joined_arrays import JoinedPlaces
from .places import PlaceSettings, mean_of_real, scored_places


class DecoderSettings(PlaceSettings):
    """What can be set of both."""

    beside: tuple[NamedArray, ...] = Field(
        (),
        description="Shallower blocks with the same places and width, from the shallowest on, such as "
        "image/block_10/patch_tokens beside image/block_21/patch_tokens: they are rebuilt too, in two groups with it.",
    )
    depth: Annotated[int, Field(ge=2, le=64)] = Field(8, description="Blocks of the decoder.")
    num_heads: Positive = Field(8, description="Heads of its attention; they divide the width of the tokens.")
    dropout: Fraction = Field(0.2, description="Dropout in the bottleneck.")
    standardise: bool = Field(True, description="Take each number in units of its spread over the training samples.")

    def for_store(self, arrays: Collection[str]) -> Self:
        beside = tuple(of_last_block(array, arrays) for array in self.beside)
        return super().for_store(arrays).model_copy(update={"beside": beside})


class DinomalySettings(DecoderSettings):
    """A decoder with attention that cannot focus."""

    name: Literal["dinomaly"] = Field("dinomaly", description="What is learned, and how it predicts.")
    easy_share: Fraction = Field(0.9, description="Share of a step's places that are rebuilt best.")
    easy_gradient: Share = Field(0.1, description="What their gradient is multiplied by.")


class InpFormerSettings(DecoderSettings):
    """A decoder that sees nothing but a few prototypes of the sample's own tokens."""

    name: Literal["inp_former"] = Field("inp_former", description="What is learned, and how it predicts.")
    prototypes: Positive = Field(6, le=1000, description="Prototypes of a picture.")
    coherence: NonNegative = Field(0.2, description="Weight of the distance of each token from the nearest prototype.")
    focus: NonNegative = Field(
        3.0, description="Power of a place's error, in units of their mean, by which its gradient is multiplied."
    )


class TokenDecoderRecipe:
    """Both recipes, of which the settings say which it is."""

    def __init__(self, settings: DinomalySettings | InpFormerSettings) -> None:
        self._settings = settings
        self._joined = JoinedPlaces(
            (*settings.beside, settings.array),
            recipe=settings.name,
            setting="recipe.beside" if settings.beside else "recipe.array",
            measured=settings.standardise,
        )

    def needs(self) -> Needs:
        return self._joined.needs()

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return self._joined.advice()

    def build(self, shapes: Shapes) -> TokenDecoder:
        """As wide as the tokens.

        Raises:
            SettingsError: if blocks differ in their width, or the heads do not divide it.
        """
        settings, widths = self._settings, self._joined.widths(shapes)
        if len(set(widths)) > 1:
            raise SettingsError(
                f"The blocks of {settings.name} have tokens of the widths {widths}, which have no mean; choose blocks "
                "of one width with --set recipe.beside=..., such as those of a transformer."
            )
        if widths[0] % settings.num_heads:
            raise SettingsError(
                f"recipe.num_heads = {settings.num_heads} does not divide the tokens' width, {widths[0]}; choose "
                "another."
            )
        return TokenDecoder(
            widths[0],
            num_blocks=len(widths),
            depth=settings.depth,
            num_heads=settings.num_heads,
            dropout=settings.dropout,
            prototypes=settings.prototypes if isinstance(settings, InpFormerSettings) else 0,
        )

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        """Spread of each number over all training rows."""
        assert isinstance(model, TokenDecoder)
        if self._settings.standardise:
            self._joined.measure(model.standardise, train)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Errors of each place and of each picture, and which of them there are; a generator, which says that this is
        training, turns the gradient to places that are hard, whose measure is all rows of the batch."""
        tokens, real = self._joined.read(batch)
        rows = real.reshape(-1, real.shape[-1])  # a picture each
        targets, rebuilt, gathered = model(tokens.reshape(*rows.shape, -1), real=rows)
        places, pictures = [], []
        for target, found in zip(targets, rebuilt, strict=True):
            error = 1 - nn.functional.cosine_similarity(found.detach().float(), target.float(), dim=-1)
            learned = found.float() if generator is None else with_gradient(found.float(), self.shares(error, rows))
            places.append(error)
            pictures.append(_picture_error(learned, target, rows))
        encodings = {
            "distance": torch.stack(places).mean(dim=0).reshape(real.shape),
            "picture": torch.stack(pictures).mean(dim=0).reshape(len(real), -1),
            "real": real,
        }
        return encodings if gathered is None else encodings | {"coherence": gathered.reshape(real.shape)}

    def shares(
        self, errors: Float[Tensor, "pictures places"], real: Bool[Tensor, "pictures places"]
    ) -> Float[Tensor, "pictures places"]:
        """What the gradient of each place is multiplied by."""
        settings = self._settings
        if isinstance(settings, InpFormerSettings):
            return (errors / mean_of_real(errors, real).clamp(min=1e-12)) ** settings.focus
        known = errors[real]
        num_hard = max(1, round(len(known) * (1 - settings.easy_share)))
        return torch.where(errors < known.topk(num_hard).values[-1], settings.easy_gradient, 1.0)

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        """The error of whole pictures, and how far tokens are from prototypes."""
        real = encodings["real"]
        pictures = real.any(dim=-1).reshape(len(real), -1)
        terms = {"picture": mean_of_real(encodings["picture"], pictures)}
        if not isinstance(self._settings, InpFormerSettings):
            return Losses(terms["picture"], terms=terms)
        terms["coherence"] = mean_of_real(encodings["coherence"], real)
        return Losses(terms["picture"] + self._settings.coherence * terms["coherence"], terms=terms)

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        real = encodings["real"]
        return scored_places(encodings["distance"].masked_fill(~real, torch.nan), real, settings=self._settings)


def with_gradient(
    values: Float[Tensor, "*places width"], shares: Float[Tensor, " *places"]
) -> Float[Tensor, "*places width"]:
    """The same values, whose gradient is multiplied by these shares."""
    shares = shares.unsqueeze(-1)
    return values * shares + values.detach() * (1 - shares)


def _picture_error(
    found: Float[Tensor, "pictures places width"],
    target: Float[Tensor, "pictures places width"],
    real: Bool[Tensor, "pictures places"],
) -> Float[Tensor, " pictures"]:
    """1 - cosine of all of a picture at once, so that places count by their length."""
    found, target = (values.float().masked_fill(~real.unsqueeze(-1), 0.0).flatten(1) for values in (found, target))
    return 1 - nn.functional.cosine_similarity(found, target, dim=1)

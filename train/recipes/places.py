"""What recipes have in common that score the places of a sample, such as patches of pictures, tokens of sound, steps.

Each place has a distance; the mean over the strangest ones is that of a picture or series, and the strangest picture,
or the mean of all, decides of a sample that has several.
"""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from pydantic import Field
from torch import Tensor

from ...errors import SettingsError
from ..settings import NamedArray, RecipeSettings
from ..types import Prediction, Shapes
from .vectors import VectorSettings

TopPercent = Annotated[
    float,
    Field(
        gt=0,
        le=100,
        description="Part of a picture's patches, the strangest, over which the distance is averaged; one at least.",
    ),
]


class StrangestSettings(RecipeSettings):
    """How the distances of places become one score."""

    top_percent: TopPercent = 1.0
    views: Literal["max", "mean"] = Field(
        "max", description="Of a sample with several pictures: the strangest counts, or the mean of all."
    )


class PlaceSettings(StrangestSettings, VectorSettings):
    """Which places are looked at, and how their distances become one score."""

    array: NamedArray = Field(
        "image/last/patch_tokens",
        description="Array of the store that has vectors by place, such as image/block_10/patch_tokens or "
        "audio/tokens; image/last/patch_tokens are those of the deepest block that the store holds. Samples without it "
        "are neither learned from nor scored.",
    )


def require_places(array: str, shapes: Shapes, *, instead: str) -> None:
    """Refuse an array that is one vector a sample; `instead` says what looks at such ones.

    Raises:
        SettingsError: names the array.
    """
    if len(shapes[array]) < 2:
        raise SettingsError(
            f"{array} is one vector a sample, which has no places; choose another with --set recipe.array=..., or "
            f"{instead}."
        )


def scored_places(
    distances: Float[Tensor, "batch *axes places"],
    real: Bool[Tensor, "batch *axes places"],
    *,
    settings: StrangestSettings,
    weights: Float[Tensor, " batch *axes"] | None = None,
) -> Prediction:
    """The mean over the strangest places of each picture, by its weight where there are some, and of a sample's
    pictures what the settings say; by place too, NaN where there is padding."""
    pictures = top_mean(distances, real, percent=settings.top_percent)
    if weights is not None:
        pictures = pictures * weights
    there = real.any(dim=-1)
    while pictures.ndim > 1:
        if settings.views == "max":
            pictures = pictures.masked_fill(~there, -torch.inf).amax(dim=-1)
        else:
            pictures = pictures.masked_fill(~there, 0.0).sum(dim=-1) / there.sum(dim=-1)
        there = there.any(dim=-1)
    return Prediction(pictures.masked_fill(~there, torch.nan), maps={"distance": distances})


def top_mean(
    values: Float[Tensor, "rows *axes places"], real: Bool[Tensor, "rows *axes places"], *, percent: float
) -> Float[Tensor, " rows *axes"]:
    """Mean of the largest `percent` of the values that are `real` along the last axis, of one at least; NaN of none."""
    ordered = values.masked_fill(~real, -torch.inf).sort(dim=-1, descending=True).values
    wanted = (real.sum(dim=-1, keepdim=True) * percent / 100).ceil().clamp(max=real.shape[-1])
    among = (torch.arange(real.shape[-1], device=real.device) < wanted) & ordered.isfinite()
    return torch.where(among, ordered, 0.0).sum(dim=-1) / among.sum(dim=-1)


def drawn_places(
    real: Bool[Tensor, "batch *axes places"], *, most: int | None, generator: torch.Generator
) -> Int64[Tensor, "batch drawn"]:
    """Numbers of places of each row, drawn among those that are real as far as there are enough, for `at_places`;
    None: of all.

    What learns place by place learns as well from some of them at each step, in a fraction of the time.
    """
    flat = real.flatten(1)
    # Padding is drawn last.
    draws = torch.rand(flat.shape, generator=generator, device=flat.device).masked_fill(~flat, -1.0)
    return draws.topk(flat.shape[1] if most is None else min(most, flat.shape[1]), dim=1).indices


def at_places(
    values: Shaped[Tensor, "batch ..."], drawn: Int64[Tensor, "batch drawn"], *, width: bool
) -> Shaped[Tensor, "batch drawn ..."]:
    """What stands at these places; with `width` a place has a vector, and else a number."""
    if not width:
        return values.flatten(1).gather(1, drawn)
    vectors = values.flatten(1, -2)
    return vectors.gather(1, drawn.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))


def mean_of_real(values: Float[Tensor, " *places"], real: Bool[Tensor, " *places"]) -> Float[Tensor, ""]:
    """Mean over all that is no padding, whose values say nothing; without waiting for the device to count it."""
    return torch.where(real, values, 0.0).sum() / real.sum().clamp(min=1)

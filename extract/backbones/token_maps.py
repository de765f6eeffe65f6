"""Any frozen model of pictures behind one interface: normalised pixels to a list of token maps, block 1 first.

A way of reading models (`hf:`, ...) says how one is loaded and what maps it gives; all that follows is done here:
blocks by number or name, arrays of the store, cost. Such a model is run whole, whichever of its blocks are asked for:
where it could stop is its own affair.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Protocol

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from ...documents import Json
from ...errors import BackboneError
from ..decode.decoded import Photographs
from .preprocessing import PhotographPreparation, PixelPreprocessing, Triple
from .spec import BackboneSpec, Placement, Preparation, chosen_among, count_flops

Normalisation = tuple[Triple, Triple]  # mean and standard deviation

ARRAYS: Mapping[str, Json] = {
    "patch_tokens": "positions by rows, without tokens that are no position",
    "cls": "the first token that is no position, where there is one",
    "mean": "mean over positions, in float32",
    "std": "standard deviation over positions, in float32, where there is no cls",
}


@dataclass(frozen=True)
class Asked:
    """What the settings of a feature ask of a model; `key` is where they are, such as features.image."""

    key: str
    name: str  # the model's, without the way that it is read
    revision: str | None
    blocks: tuple[int | str, ...] | None  # None: the last
    size: int | None  # None: the model's own
    normalisation: Normalisation | None  # None: the model's own

    @property
    def setting(self) -> str:
        """The setting that names the model."""
        return f"{self.key}.model"


@dataclass(frozen=True)
class TokenMap:
    """What a block gives: a token for each position, by rows, and one for the whole where the model has it."""

    tokens: Float[Tensor, "pictures positions dim"]
    cls: Float[Tensor, "pictures dim"] | None = None

    def arrays(self) -> dict[str, Tensor]:
        """As the store keeps them: tokens in the model's arithmetic, what is pooled in float32."""
        mean = self.tokens.mean(dim=1, dtype=torch.float32)
        pooled = {"patch_tokens": self.tokens, "mean": mean}
        if self.cls is not None:
            return {**pooled, "cls": self.cls}
        return {**pooled, "std": self.tokens.float().std(dim=1, correction=0)}


@dataclass(frozen=True)
class Outline:
    """What a model gives of one picture, found without its weights where that can be done."""

    shapes: Mapping[
        str, Mapping[str, tuple[int, ...]]
    ]  # of each block's arrays by its name, without the axis of pictures
    flops: int

    @property
    def names(self) -> list[str]:
        """Names of the blocks, the first first."""
        return list(self.shapes)


class MapSource(Protocol):
    """A frozen model, however it was read."""

    placement: Placement

    def load(self) -> None:
        """Bring the weights into memory, unless they are there; raises BackboneError where that cannot be done."""

    def maps(self, pictures: Float[Tensor, "pictures 3 size size"]) -> Mapping[str, TokenMap]:
        """All maps of normalised pictures, which are on the device and in the arithmetic of `placement`, by the name
        of their block, the first first."""

    def outline(self, size: int) -> Outline:
        """What it gives of pictures of `size` pixels.

        Raises:
            BackboneError: if it cannot take them, or gives what is no map.
        """


class TokenMapBackbone:
    """A frozen model of pictures whose blocks are the maps that `source` gives."""

    def __init__(
        self,
        source: MapSource,
        *,
        outline: Outline,
        blocks: tuple[int, ...],
        pixels: PixelPreprocessing,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[Photographs] = PhotographPreparation(pixels)
        self.blocks = blocks
        self._source = source
        self._outline = outline
        self._pixels = pixels

    def shapes(self, block: int) -> Mapping[str, tuple[int, ...]]:
        return self._outline.shapes[self._outline.names[block - 1]]

    def load(self) -> None:
        self._source.load()

    @torch.inference_mode()
    def __call__(
        self, batch: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int] | None = None
    ) -> dict[int, dict[str, Tensor]]:
        placement = self._source.placement
        pictures = self._pixels.normalise(placement.move(batch)).to(placement.dtype)
        maps = list(self._source.maps(pictures).values())
        return {block: maps[block - 1].arrays() for block in chosen_among(self.blocks, blocks)}

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        """What one picture costs: the whole model, for any block."""
        return self._outline.flops


def token_map(values: Tensor, *, name: str, side: int | None, prefixes: Collection[int] = (0,)) -> TokenMap:
    """What a model gave, as a map: of four axes (channels first or last) or of three (tokens by rows).

    `side` is how many tokens stand in a row, where the model says it, and `prefixes` are the numbers of tokens that may
    stand before the positions. Raises BackboneError for what is no square grid of positions: which of its tokens are
    one is never guessed.
    """
    if values.ndim == 4:
        return TokenMap(_rows(values, name=name).contiguous())
    if values.ndim != 3:
        raise BackboneError(f"{name}: is of the shape {list(values.shape)}, and tokens by place have 3 or 4 axes.")
    num_tokens = values.shape[1]
    side = isqrt(num_tokens) if side is None else side
    num_prefix = num_tokens - side * side
    if num_prefix not in prefixes or side == 0:
        raise BackboneError(
            f"{name}: has {num_tokens} tokens, which are no grid of {side} x {side}, so that it is not known which of "
            "them are places of the picture; choose another block, size or model, or export the tokens of places alone."
        )
    return TokenMap(values[:, num_prefix:].contiguous(), values[:, 0] if num_prefix else None)


def _rows(values: Float[Tensor, "pictures a b c"], *, name: str) -> Float[Tensor, "pictures positions dim"]:
    """Tokens of a map by rows. A square picture has square maps, which tells where the axis of channels is."""
    first, second, third = values.shape[1:]
    if first == second == third:
        raise BackboneError(
            f"{name}: is of the shape {list(values.shape)}, which does not tell the axis of channels; choose another "
            "size."
        )
    if second == third:
        return rearrange(values, "pictures channels rows columns -> pictures (rows columns) channels")
    if first == second:
        return rearrange(values, "pictures rows columns channels -> pictures (rows columns) channels")
    raise BackboneError(f"{name}: is of the shape {list(values.shape)}, which is no square grid; choose another block.")


def outline_of(maps: Mapping[str, TokenMap], *, flops: int) -> Outline:
    """What the maps of one picture tell."""
    shapes = {
        block: {name: tuple(values.shape[1:]) for name, values in made.arrays().items()} for block, made in maps.items()
    }
    return Outline(shapes, flops)


@torch.inference_mode()
def outline_without_weights(
    make: Callable[[], Callable[[Tensor], Mapping[str, TokenMap]]], *, size: int, dtype: torch.dtype, model: str
) -> Outline:
    """The outline of what `make` makes on the meta device; raises BackboneError where that cannot be done."""
    made: dict[str, TokenMap] = {}
    picture = torch.empty((1, 3, size, size), dtype=dtype, device="meta")
    try:
        run = make()
        flops = count_flops(lambda: made.update(run(picture)))
    except BackboneError as error:
        raise BackboneError(f"{model}: {error}") from error
    except Exception as error:  # whatever a model that nobody here knows raises
        raise BackboneError(
            f"{model}: does not take pictures of {size} pixels ({type(error).__name__}: {error}); choose another size "
            "or model."
        ) from error
    return outline_of(made, flops=flops)

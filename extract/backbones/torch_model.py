"""`torch:NAME`: a module of an installed package, by its entry point in the group `weldcache.backbones`.

What the entry point names is called without arguments and gives a `TorchModel`. A file of settings names what is
installed and never a module, so that a stranger's file runs nothing.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from ...configs.section import Named
from ...documents import Json
from ...errors import BackboneError
from .checkpoint import hash_weights
from .preprocessing import PixelPreprocessing, Triple
from .pretrained import Models
from .spec import BackboneSpec, Placement, checked_blocks
from .token_maps import ARRAYS, Asked, Outline, TokenMap, TokenMapBackbone, outline_without_weights, token_map

BACKBONES = Named("backbone", group="weldcache.backbones", shipped={})


def _run(module: nn.Module, pictures: Tensor) -> Mapping[str, Tensor | TokenMap]:
    made: Mapping[str, Tensor | TokenMap] = module(pictures)
    return made


@dataclass(frozen=True)
class TorchModel:
    """What a package says of its model of pictures.

    `maps` runs the module and gives the maps of its blocks by name, the first block first: (pictures, channels, rows,
    columns), (pictures, positions, dim) with a square of positions by rows, or a `TokenMap`.
    """

    build: Callable[[], nn.Module]  # called on the meta device as well, where it is outlined
    weights: Sequence[Path]  # safetensors, all that the module's state has and nothing else
    size: int  # side of its pictures
    mean: Triple  # of red, green and blue, each from 0 to 1
    std: Triple
    maps: Callable[[nn.Module, Tensor], Mapping[str, Tensor | TokenMap]] = _run
    random_weights: bool = False
    revision: str = "local"
    origin: Mapping[str, Json] | None = None  # source and licence
    output: Mapping[str, Json] | None = None  # what else changes the numbers, such as a library's version


class TorchSource:
    """`MapSource` of a `TorchModel`."""

    def __init__(self, model: TorchModel, *, name: str, placement: Placement) -> None:
        self.placement = placement
        self.model = model
        self._name = name
        self.weights = hash_weights(model.weights)
        self._loaded: nn.Module | None = None

    def load(self) -> None:
        if self._loaded is not None:
            return
        self.weights.check_unchanged()
        state = {name: values for path in self.model.weights for name, values in load_file(path).items()}
        with torch.random.fork_rng(devices=[]):  # what is drawn here is overwritten
            module = self.model.build()
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            told = " ".join(str(error).split())
            raise BackboneError(f"{self._name}: its weights are not those of its module ({told}).") from error
        self.weights.check_unchanged()
        self._loaded = module.to(self.placement.device, self.placement.dtype).eval().requires_grad_(False)

    def maps(self, pictures: Float[Tensor, "pictures 3 size size"]) -> Mapping[str, TokenMap]:
        self.load()
        assert self._loaded is not None
        return self._named_maps(self._loaded, pictures)

    def outline(self, size: int) -> Outline:
        return outline_without_weights(self._on_meta, size=size, dtype=self.placement.dtype, model=self._name)

    def _on_meta(self) -> Callable[[Tensor], Mapping[str, TokenMap]]:
        with torch.device("meta"):
            module = self.model.build().eval().to(self.placement.dtype)
        return partial(self._named_maps, module)

    def _named_maps(self, module: nn.Module, pictures: Tensor) -> dict[str, TokenMap]:
        return {
            name: made if isinstance(made, TokenMap) else token_map(made, name=name, side=None)
            for name, made in self.model.maps(module, pictures).items()
        }


def load_installed(asked: Asked, *, models: Models) -> TokenMapBackbone:
    """The model of an installed package; raises SettingsError where there is none of that name."""
    if not BACKBONES.names:
        raise BackboneError(
            f"{asked.setting} = torch:{asked.name}: no package that is installed brings a backbone; one does by an "
            "entry point in the group weldcache.backbones."
        )
    make = BACKBONES.code(asked.name)
    return load_torch_model(
        make, identity=asked.name, asked=asked, name=f"torch:{asked.name}", family="torch", models=models
    )


def load_torch_model(
    make: Callable[[], TorchModel], *, identity: Hashable, asked: Asked, name: str, family: str, models: Models
) -> TokenMapBackbone:
    """The model that `make` tells of, which is called once in a run for each `identity`; the store says `name`."""
    source = models.once((TorchSource, identity), lambda: TorchSource(make(), name=name, placement=models.placement))
    model = source.model
    mean, std = asked.normalisation or (model.mean, model.std)
    pixels = PixelPreprocessing(asked.size or model.size, mean=mean, std=std)
    outline = source.outline(pixels.size)
    blocks = checked_blocks(
        asked.blocks, num_blocks=len(outline.shapes), model=name, key=asked.key, names=outline.names
    )
    spec = BackboneSpec(
        family=family,
        model=name,
        revision=model.revision,
        weights_sha256=source.weights.sha256,
        random_weights=model.random_weights,
        arithmetic=str(models.placement.dtype).removeprefix("torch."),
        preprocessing=pixels.to_manifest(),
        output={"blocks": [*outline.names], **ARRAYS, **(model.output or {})},
        origin=model.origin,
    )
    return TokenMapBackbone(source, outline=outline, blocks=blocks, pixels=pixels, spec=spec)

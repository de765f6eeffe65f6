"""`timm:NAME`: a model of timm, by the folder that the hub has of it: config.json as timm writes it, and safetensors.

timm is the extra `timm`: it brings torchvision along, which has to fit the torch that is installed.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...documents import Json
from ...errors import BackboneError
from ...wording import with_extra
from .checkpoint import find_folder, read_json_object, read_marker, weight_files
from .preprocessing import Triple
from .pretrained import Models
from .token_maps import Asked, TokenMap, TokenMapBackbone, token_map
from .torch_model import TorchModel, load_torch_model

_FETCHING = ("checkpoint_path", "cache_dir", "model_name")  # arguments of timm.create_model


def load_timm(asked: Asked, *, models: Models) -> TokenMapBackbone:
    """The model, described; raises BackboneError where it cannot be had or does not offer what is asked."""
    timm = _timm(asked)
    folder, name, revision = find_folder(_full_name(asked.name), revision=asked.revision, setting=asked.setting)
    return load_torch_model(
        lambda: _model_in(folder, revision=revision, timm=timm),
        identity=folder,
        asked=asked,
        name=f"timm:{name}",
        family="timm",
        models=models,
    )


def _timm(asked: Asked) -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that is not for this torch
        raise BackboneError(
            f"{asked.setting} = timm:{asked.name}: timm cannot be imported ({error}). Install it by "
            f"{with_extra('timm')}, with the torchvision that belongs to the torch that is installed."
        ) from error
    return timm


def _full_name(name: str) -> str:
    """The hub id of a model of timm's own, which people know by the second half; any other name as it is."""
    return name if "/" in name or Path(name).is_dir() else f"timm/{name}"


def _model_in(folder: Path, *, revision: str, timm: Any) -> TorchModel:
    path = folder / "config.json"
    config = read_json_object(path)
    stated = config.get("pretrained_cfg")
    architecture, arguments = config.get("architecture"), config.get("model_args") or {}
    if not (isinstance(architecture, str) and isinstance(stated, dict) and isinstance(arguments, dict)):
        raise BackboneError(f"{path}: is not that of a model of timm; name one that has architecture, pretrained_cfg.")
    # A name with a colon is fetched from the hub, and some arguments name files that could run code.
    fetches = [name for name in arguments if name.startswith("pretrained") or name in _FETCHING]
    if fetches or not timm.is_model(architecture):
        raise BackboneError(f"{path}: {fetches[0] if fetches else architecture!a} is not taken from a folder.")
    num_classes = config.get("num_classes", stated.get("num_classes"))
    options = {**arguments, **({} if num_classes is None else {"num_classes": num_classes})}

    def build() -> nn.Module:
        try:
            module: nn.Module = timm.create_model(architecture, pretrained=False, **options)
        except (RuntimeError, TypeError, ValueError) as error:
            raise BackboneError(f"{path}: timm cannot make {architecture} ({error}).") from error
        if not hasattr(module, "forward_intermediates"):
            raise BackboneError(f"{path}: {architecture} of timm does not give its maps; choose another model.")
        return module

    marker = read_marker(folder) or {}
    versions: dict[str, Json] = {"timm": timm.__version__, "architecture": architecture}
    return TorchModel(
        build,
        weight_files(folder),
        size=_side(stated, path=path),
        mean=_three(stated, "mean", path=path),
        std=_three(stated, "std", path=path),
        maps=_maps,
        random_weights=marker.get("random_weights") is True,
        revision=revision,
        output=versions,
    )


def _maps(model: Any, pictures: Tensor) -> Mapping[str, TokenMap]:
    """What a model gives of its blocks, before the final norm, by the names that timm has for its stages."""
    options: dict[str, Any] = {"norm": False, "output_fmt": "NCHW", "intermediates_only": True}
    has_prefix = "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters
    if has_prefix:
        options["return_prefix_tokens"] = True
    made = model.forward_intermediates(pictures, **options)
    named = [info["module"] for info in model.feature_info]
    if len(set(named)) != len(made):
        named = [f"block_{block}" for block in range(1, len(made) + 1)]
    return {name: _map(each, name=name) for name, each in zip(named, made, strict=True)}


def _map(made: Any, *, name: str) -> TokenMap:
    values, prefix = made if isinstance(made, tuple) else (made, None)
    whole = token_map(values, name=name, side=None)
    return whole if prefix is None or prefix.shape[1] == 0 else TokenMap(whole.tokens, prefix[:, 0])


def _side(stated: Mapping[str, Json], *, path: Path) -> int:
    size = stated.get("input_size")
    if not (isinstance(size, list) and len(size) == 3 and size[0] == 3 and isinstance(size[1], int) and size[1] > 0):
        raise BackboneError(f"{path}: input_size must be 3 and the two sides of a picture, got {size}.")
    if size[1] != size[2]:
        raise BackboneError(f"{path}: input_size {size} is not that of a square; choose another model.")
    return size[1]


def _three(stated: Mapping[str, Json], name: str, *, path: Path) -> Triple:
    values = stated.get(name)
    if not (isinstance(values, list) and len(values) == 3 and all(isinstance(value, int | float) for value in values)):
        raise BackboneError(f"{path}: {name} must be three numbers, one a channel, got {values}.")
    red, green, blue = (float(str(value)) for value in values)
    return red, green, blue

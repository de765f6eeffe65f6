"""Tensors out of the files that carry a model, under the names that its family here gives them."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...errors import BackboneError
from .onnx_file import read_onnx
from .tensorflow_checkpoint import read_checkpoint

Tensors = dict[str, Tensor]
Conversion = Callable[[Mapping[str, bytes]], Tensors]
"""What makes the tensors of a model of its files, by their names; raises ValueError or KeyError of other files."""

# In what authors publish and no feature needs: counters of batch normalisation, the token of masked training.
_UNUSED = ("num_batches_tracked", "embeddings.mask_token")


def converted(files: Mapping[str, bytes], *, convert: Conversion, name: str) -> Tensors:
    """The tensors in the files of the entry `name` of the catalogue, which says how to `convert` them.

    Raises:
        BackboneError: if they are not such files.
    """
    try:
        tensors = convert(files)
    except (ValueError, KeyError) as error:
        raise BackboneError(
            f"{name}: its file is not what it should be: {error}. Fetch it again with `weldcache weights add {name}`; "
            "if it stays so, this version of weldcache does not know the file."
        ) from error
    return _used(tensors)


def from_safetensors(path: Path) -> Tensors:
    """The tensors in a file of the model's authors, who name them as we do; raises BackboneError if it is none."""
    try:
        return _used(load_file(path))
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path}: not a readable safetensors file ({error}); fetch it again.") from error


def _used(tensors: Tensors) -> Tensors:
    return {name: values.contiguous() for name, values in tensors.items() if not name.endswith(_UNUSED)}


def read_torch(data: bytes) -> Tensors:
    """The tensors that `torch.save` wrote, and nothing else: what else such a file could ask to be run is refused.

    Raises:
        ValueError: if it holds anything but tensors by name.
    """
    try:
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged or hostile file leads to, of many types
        raise ValueError(f"it cannot be read as tensors alone ({type(error).__name__})") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError("it holds no tensors by name")
    if other := [name for name, value in found.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"{other[0]!a} in it is no tensor")
    return {name: value.detach().clone() for name, value in found.items()}


_LITE_ENDS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_LITE_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LITE_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE0_REPEATS = (1, 2, 2, 3, 3, 4, 1)


def lite0(files: Mapping[str, bytes]) -> Tensors:
    """EfficientNet-Lite0 from a state dict of its conversion to PyTorch, by the names that our network has."""
    (data,) = files.values()
    places = [f"{stage}.{index}" for stage, repeats in enumerate(_LITE0_REPEATS) for index in range(repeats)]

    def renamed(name: str) -> str:
        first, _, rest = name.partition(".")
        if first != "_blocks":
            return f"{_LITE_ENDS[first]}.{rest}"
        number, part, rest = rest.split(".", 2)
        if not re.fullmatch("[0-9]{1,2}", number) or int(number) >= len(places):
            raise ValueError(f"{name!a} is of no block of the model")
        block = int(number)
        return f"blocks.{places[block]}.{(_LITE_OTHERS if block else _LITE_FIRST)[part]}.{rest}"

    return {renamed(name): values for name, values in read_torch(data).items()}


# The positions of CLS and of the 37 x 37 patches, to which an exporter that takes any size gives no names.
_DINOV2_POSITIONS = ((1, 1, 384), (1, 37 * 37, 384))
_DINOV2_PRODUCT = re.compile(r"/backbone/(encoder/layer\.[0-9]+/[a-z0-9/]+)/MatMul")


def dinov2_small(files: Mapping[str, bytes]) -> Tensors:
    """Of what the file holds, the backbone: the decoder behind it is another's work and is left out."""
    (data,) = files.values()
    found = read_onnx(data)
    tensors, positions = {}, {}
    for name, array in found.arrays.items():
        if name.startswith("backbone."):
            tensors[name.removeprefix("backbone.")] = array
        elif product := _DINOV2_PRODUCT.fullmatch(found.products.get(name, "")):
            tensors[product[1].replace("/", ".") + ".weight"] = array.T  # a layer multiplies from the other side
        elif array.shape in _DINOV2_POSITIONS:
            positions[array.shape] = array
    tensors["embeddings.position_embeddings"] = np.concatenate([positions[each] for each in _DINOV2_POSITIONS], axis=1)
    return {name: torch.tensor(array) for name, array in tensors.items()}


_YAMNET_VARIABLE = re.compile(r"layer-1/layer/_func/_yamnet/layer_with_weights-([0-9]{1,2})/([a-z_]+)")
_YAMNET_STATISTICS = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_YAMNET_HEAD = 54  # behind a convolution and its norm, and two of each in the thirteen layers that follow


def yamnet(files: Mapping[str, bytes]) -> Tensors:
    """Kernels with the channels first, as torch has them; norms get the scale of 1 that they were trained with."""
    index, data = files.values()
    tensors: Tensors = {}
    for name, array in read_checkpoint(index, data).items():
        if not (variable := _YAMNET_VARIABLE.fullmatch(name)):
            continue  # what was counted in training
        place, what, values = int(variable[1]), variable[2], torch.tensor(array)
        if place == _YAMNET_HEAD:
            tensors["classifier.weight" if what == "kernel" else "classifier.bias"] = (
                values.T if what == "kernel" else values
            )
            continue
        first = place < 2
        part = ("convolution", "norm") if first else ("depthwise", "depthwise_norm", "pointwise", "pointwise_norm")
        module = f"layers.{0 if first else (place + 2) // 4}.{part[place if first else (place - 2) % 4]}"
        if what in _YAMNET_STATISTICS:
            tensors[f"{module}.{_YAMNET_STATISTICS[what]}"] = values
            tensors[f"{module}.weight"] = torch.ones_like(values)
        else:
            axes = (2, 3, 0, 1) if what == "depthwise_kernel" else (3, 2, 0, 1)
            tensors[f"{module}.weight"] = values.permute(axes)
    return tensors

"""The identity of a set of weights: one hash over the names, types, shapes and bytes in its safetensors files.

The names are those in the files. The names inside the loaded module change from one transformers release to the next,
and a hash must not change when nothing did. How the tensors are ordered or split into files does not matter.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import BackboneError


def weights_sha256(files: Sequence[Path]) -> str:
    """Hex digest over all tensors in safetensors `files`, read one at a time; raises BackboneError if one is broken."""
    owners = {name: path for path in files for name in _tensor_names(path)}
    digest = hashlib.sha256()
    for path, name in sorted(((path, name) for name, path in owners.items()), key=lambda owned: owned[1]):
        tensor = _read_tensor(path, name=name)
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensor_names(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path}: not a readable safetensors file ({error}); fetch the model again.") from error


def _read_tensor(path: Path, *, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor

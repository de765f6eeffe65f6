"""The identity of a set of weights: one hash over the names, types, shapes and bytes in its safetensors files.

The names are those in the files. The names inside the loaded module change from one transformers release to the next,
and a hash must not change when nothing did. How the tensors are ordered or split into files does not matter.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import BackboneError

Stamp = tuple[int, int, int, int]  # device, inode, bytes, nanoseconds of the last change


@dataclass(frozen=True)
class HashedWeights:
    """Safetensors files, the hash of what is in them, and how the file system described them at that time."""

    files: tuple[Path, ...]
    sha256: str
    stamps: tuple[Stamp, ...]

    def check_unchanged(self) -> None:
        """Raise BackboneError if a file is not the one that was hashed."""
        for path, stamp in zip(self.files, self.stamps, strict=True):
            if _stamp(path) != stamp:
                raise BackboneError(
                    f"{path}: changed after its hash was taken, so features would not be those of the weights that the "
                    "store names; start again once nothing writes to the folder."
                )


def hash_weights(files: Sequence[Path]) -> HashedWeights:
    """Hash all tensors in safetensors `files`, read one at a time; raises BackboneError if one is broken or changes."""
    stamps = tuple(_stamp(path) for path in files)
    hashed = HashedWeights(tuple(files), weights_sha256(files), stamps)
    hashed.check_unchanged()
    return hashed


def weights_sha256(files: Sequence[Path]) -> str:
    """Hex digest over all tensors in safetensors `files`, read one at a time.

    Raises:
        BackboneError: if a file is broken, or a tensor holds what is no number.
    """
    owners = {name: path for path in files for name in _tensor_names(path)}
    digest = hashlib.sha256()
    for path, name in sorted(((path, name) for name, path in owners.items()), key=lambda owned: owned[1]):
        tensor = _read_tensor(path, name=name)
        _require_numbers(tensor, f"{path}: the tensor {name}")
        digest.update(f"{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror}); fetch the model again.") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _tensor_names(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise BackboneError(f"{path}: not a readable safetensors file ({error}); fetch the model again.") from error


def _require_numbers(tensor: Tensor, what: str) -> None:
    """Raise BackboneError for NaN or infinity, which would make every feature one."""
    if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
        bad = int((~tensor.float().isfinite()).sum())
        raise BackboneError(
            f"{what} holds {bad:,} values of {tensor.numel():,} that are NaN or infinite; fetch the model again, or "
            "train it again if it is your own."
        )


def _read_tensor(path: Path, *, name: str) -> Tensor:
    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor

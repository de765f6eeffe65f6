"""A sample's tensors in memory that two processes share: only its handle travels, and no byte is copied on the way.

Memory without a name (`memfd_create`) cannot be left behind by a process that is killed, is not bounded by the size of
/dev/shm, which is 64 MB in many containers, and takes one file descriptor a sample, and none once it is mapped.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

_ALIGNMENT = 64  # bytes: a cache line, and a multiple of every dtype's size

TensorKey = tuple[str, str]
"""Modality, and the tensor's name in it."""


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in the memory, its values in row-major order."""

    start: int  # bytes
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def end(self) -> int:
        """First byte after the tensor."""
        return self.start + torch.Size(self.shape).numel() * self.dtype.itemsize


def lay_out(tensors: Mapping[TensorKey, Tensor]) -> dict[TensorKey, Place]:
    """A place for each tensor, one after the other."""
    places: dict[TensorKey, Place] = {}
    start = 0
    for key, tensor in tensors.items():
        places[key] = Place(start=start, shape=tuple(tensor.shape), dtype=tensor.dtype)
        start = -(-places[key].end // _ALIGNMENT) * _ALIGNMENT
    return places


def share(tensors: Mapping[TensorKey, Tensor], places: Mapping[TensorKey, Place]) -> int:
    """Copy the tensors to their places in new memory; return its handle, which the caller closes."""
    handle = _new_memory()
    try:
        os.ftruncate(handle, _size(places))
        # Twice as fast as copying into the mapped memory, which the kernel would then hand out page by page.
        with open(handle, "wb", closefd=False) as file:
            for key, place in places.items():
                file.seek(place.start)
                file.write(tensors[key].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except BaseException:
        os.close(handle)
        raise
    return handle


def map_shared(handle: int, places: Mapping[TensorKey, Place]) -> dict[TensorKey, Tensor]:
    """The tensors at their places in the memory behind `handle`.

    The handle may be closed afterwards: the memory lives as long as a tensor does that uses it.
    """
    size = _size(places)
    memory = torch.empty(0, dtype=torch.uint8)
    if size:
        memory = torch.from_file(f"/dev/fd/{handle}", shared=True, size=size, dtype=torch.uint8)
    return {key: memory[place.start : place.end].view(place.dtype).view(place.shape) for key, place in places.items()}


def _size(places: Mapping[TensorKey, Place]) -> int:
    return max((place.end for place in places.values()), default=0)


def _new_memory() -> int:
    if sys.platform == "linux":
        return os.memfd_create("weldcache")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())

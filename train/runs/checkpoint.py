"""Checkpoints: tensors, a JSON record and what they belong to in one safetensors file, which is either whole or absent.

Weights as the optimiser left them are called `raw/<name>`, their moving average `averaged/<name>`. A checksum over all
of it is in the file too: safetensors has none, and a weight that lost a bit would score without a word.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ...atomic import replaced_file
from ...documents import parse_json
from ...errors import NotFoundError, TrainingError
from ...wording import count_of, lined_up

RAW = "raw"
AVERAGED = "averaged"
_TEXT = "weldcache"  # safetensors keeps text by name beside the tensors; ours is under these two
_CHECKSUM = "crc32c"
_SHOWN = 5  # tensors in a message
_LONGEST_HEADER = 64 << 20  # bytes; tensors' names and shapes, and the text, which lists no samples


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors by name and what is known about them, as JSON values.

    Attributes:
        tensors: by name.
        record: which moment of the training they are of.
        origin: what run they belong to, see `origin_of`; empty where they belong to none.
    """

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]
    origin: Mapping[str, Any] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace `path`."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    text = json.dumps({"record": checkpoint.record, "origin": checkpoint.origin}, allow_nan=False)
    with replaced_file(path) as temporary:
        save_file(tensors, temporary, metadata={_TEXT: text, _CHECKSUM: f"{_checksum(text, tensors):08x}"})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read all of `path` on the CPU.

    Raises:
        NotFoundError: if there is no such file.
        TrainingError: if it is damaged or not one of ours.
        OSError: if it may not be read.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no checkpoint {path}. Make it with `weldcache train`.")
    _require_sane_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            text, checksum = metadata[_TEXT], metadata[_CHECKSUM]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        told = parse_json(text)
        checkpoint = Checkpoint(tensors, told["record"], told["origin"])
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise TrainingError(f"{path} is damaged or no checkpoint of this weldcache ({error}); train again.") from None
    if checksum != f"{_checksum(text, tensors):08x}":
        raise TrainingError(f"{path} is damaged: it does not match its checksum. Restore it, or train again.")
    return checkpoint


def _require_sane_header(path: Path) -> None:
    """Look at the header's length before a library makes room for it; who may not read the file learns it here."""
    with path.open("rb") as file:
        start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < length <= min(_LONGEST_HEADER, path.stat().st_size - 8):
        raise TrainingError(
            f"{path} is damaged: its header cannot be {length:,} bytes long. Restore it, or train again."
        )


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    checksum: int = google_crc32c.value(text.encode())
    for name, tensor in sorted(tensors.items()):
        checksum = google_crc32c.extend(checksum, f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        checksum = google_crc32c.extend(checksum, tensor.reshape(-1).view(torch.uint8).numpy())
    return checksum


def module_tensors(module: nn.Module, *, prefix: str) -> dict[str, Tensor]:
    """A copy of a module's parameters and buffers, named `<prefix>/<name>`."""
    return {f"{prefix}/{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}


def load_module(module: nn.Module, checkpoint: Checkpoint, *, prefix: str, path: Path) -> None:
    """Put the tensors named `<prefix>/<name>` into a module; `path` is for the message.

    Raises:
        TrainingError: if names or shapes differ from the module's; nothing is loaded then.
    """
    named = tensors_below(checkpoint, prefix)
    expected = module.state_dict()
    faults = [f"{name} is missing" for name in expected.keys() - named.keys()]
    faults += [f"{name} is unknown to the model" for name in named.keys() - expected.keys()]
    faults += [
        f"{name} has shape {tuple(named[name].shape)}, the model's has {tuple(expected[name].shape)}"
        for name in expected.keys() & named.keys()
        if named[name].shape != expected[name].shape
    ]
    if faults:
        raise TrainingError(
            f"{path} does not fit the model in {count_of(len(faults), 'tensor')}:\n"
            f"{lined_up(sorted(faults), most=_SHOWN)}\n"
            "It was made by other settings or another version; train again."
        )
    module.load_state_dict(named)


def tensors_below(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors named `<prefix>/<name>`, by name."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(start)}

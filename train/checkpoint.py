"""Checkpoints: tensors and a JSON record in one safetensors file, which is either whole or absent.

Weights as the optimiser left them are called `raw/<name>`, their moving average `averaged/<name>`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..atomic import replaced_file
from ..errors import NotFoundError, TrainingError

RAW = "raw"
AVERAGED = "averaged"
_RECORD = "weldcache"  # safetensors keeps text by name beside the tensors; our record is under this one


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors by name, and what is known about them as JSON values."""

    tensors: Mapping[str, Tensor]
    record: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace `path`."""
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    with replaced_file(path) as temporary:
        save_file(tensors, temporary, metadata={_RECORD: json.dumps(checkpoint.record, allow_nan=False)})


def read_checkpoint(path: Path) -> Checkpoint:
    """Read all of `path` on the CPU.

    Raises:
        NotFoundError: if there is no such file.
        TrainingError: if it is damaged or not one of ours.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no checkpoint {path}. Make it with `weldcache train`.")
    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})[_RECORD])
            return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, record)  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is damaged or no checkpoint of weldcache ({error}); train again.") from None


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
        shown = "\n  ".join(sorted(faults)[:5])
        raise TrainingError(
            f"{path} does not fit the model in {len(faults)} tensors:\n  {shown}\n"
            "It was made by other settings or another version; train again."
        )
    module.load_state_dict(named)


def tensors_below(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors named `<prefix>/<name>`, by name."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(start)}

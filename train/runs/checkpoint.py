"""Checkpoints: tensors, a JSON record and what they belong to in one safetensors file, which is either whole or absent.

Weights as the optimiser left them are called `raw/<name>`, their moving average `averaged/<name>`. A checksum over all
of it is in the file too: safetensors has none, and a weight that lost a bit would score without a word.

What a checkpoint belongs to, its origin, is held against the run's folder before it is used, and the folder against the
cache: the files of a run can be exchanged or edited one by one, and weights score features that they were not trained
on without a word. So a checkpoint trusts no file beside it.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c
import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from typing_extensions import TypedDict

from ...atomic import replaced_file
from ...cache.provenance import differences, differences_told
from ...documents import Json, faults_told, parse_json
from ...errors import FingerprintError, NotFoundError, TrainingError
from ...settings import Settings, settings_from_record
from ...wording import count_of, lined_up
from ..recipes.recipe import Fitted, make_recipe
from ..state import OF_GRADIENT, schedule_for
from .documents import Figure, fingerprints_of, shareable, typed
from .folder import RunFolder

RAW = "raw"
AVERAGED = "averaged"
_TEXT = "weldcache"  # safetensors keeps text by name beside the tensors; ours is under these two
_CHECKSUM = "crc32c"
_LONGEST_HEADER = 64 << 20  # bytes; tensors' names and shapes, and the text, which lists no samples
_SECTIONS = ("recipe", "train")  # these and the features decide what training gives
_HARMLESS = {"checkpoint_seconds", "loading", "loggers"}


class _Origin(TypedDict):
    run: str
    recipe: str
    settings: dict[str, Any]
    schedule: dict[str, Figure]
    fingerprint: str
    cache: dict[str, dict[str, Any]]
    samples: dict[str, str]


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
    """Write a checkpoint to `path`, whole or not at all; what was there is replaced."""
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

    A buffer that has no rows yet, as in a module that is fitted and not trained, takes as many as there are; so
    it does along other axes.

    Raises:
        TrainingError: if names or shapes differ from the module's, and nothing is loaded then; or if the module refuses
            what it was given.
    """
    named = tensors_below(checkpoint, prefix)
    _size_by_data(module, named)
    expected = module.state_dict()
    faults = [f"{name} is missing" for name in expected.keys() - named.keys()]
    faults += [f"{name} is unknown to the model" for name in named.keys() - expected.keys()]
    faults += [
        f"{name} has shape {tuple(named[name].shape)}, the model's has {tuple(expected[name].shape)}"
        for name in expected.keys() & named.keys()
        if named[name].shape != expected[name].shape
    ]
    faults += [f"{name} has no rows" for name, tensor in named.items() if _is_bank(tensor) and not len(tensor)]
    if faults:
        raise TrainingError(
            f"{path} does not fit the model in {count_of(len(faults), 'tensor')}:\n"
            f"{lined_up(sorted(faults))}\n"
            "It was made by other settings or another version; train again."
        )
    try:
        module.load_state_dict(named)
    except ValueError as error:
        raise TrainingError(f"{path} does not fit the model: {error}. Restore it, or train again.") from None


def _size_by_data(module: nn.Module, named: Mapping[str, Tensor]) -> None:
    """Give buffers without rows, all else of whose shape fits, the number of rows that is there, if it is not 0; and so
    along any other axis."""
    for name, buffer in module.named_buffers():
        found = named.get(name)
        if found is None or not _is_bank(buffer) or found.ndim != buffer.ndim:
            continue
        fits = all(own in (0, there) for own, there in zip(buffer.shape, found.shape, strict=True))
        if fits and found.numel() and not buffer.numel():
            owner, _, own_name = name.rpartition(".")
            setattr(module.get_submodule(owner), own_name, buffer.new_empty(found.shape))


def _is_bank(tensor: Tensor) -> bool:
    """Whether it has rows at all; a vector may be empty because the settings do without it, as a text's is."""
    return tensor.ndim > 1


def tensors_below(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors named `<prefix>/<name>`, by name."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(start)}


def origin_of(run: RunFolder) -> dict[str, Any]:
    """What the checkpoints of `run` belong to, by its settings and its manifest, as JSON values.

    With the moment that a checkpoint's record tells, this decides all that training still does: the learning rates are
    a function of the schedule and the step, and every random number follows from the seed and the epoch.

    Raises:
        NotFoundError: if this is not a run.
        TrainingError: if its manifest or its settings are damaged or were edited.
    """
    settings, manifest = run.settings(), run.manifest()
    samples = manifest["samples"]
    return {
        "run": run.name,
        "recipe": manifest["recipe"],
        "settings": shareable(settings).model_dump(mode="json"),
        "schedule": asdict(schedule_for(settings.train, num_samples=len(samples["train"]))),
        "fingerprint": manifest["fingerprint"],
        "cache": manifest["cache"],
        "samples": fingerprints_of(samples),
    }


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """The settings that decide what training gives, by section, as JSON values."""
    sections = {name: getattr(settings, name).model_dump(mode="json") for name in _SECTIONS}
    harmless = _HARMLESS | OF_GRADIENT if isinstance(make_recipe(settings.recipe), Fitted) else _HARMLESS
    sections["train"] = {name: value for name, value in sections["train"].items() if name not in harmless}
    return sections


def read_run_checkpoint(path: Path, *, run: RunFolder) -> Checkpoint:
    """Read a checkpoint of `run`, which may have been renamed or moved since.

    Raises:
        NotFoundError: if there is no such file; the message tells a run that is trained from one that never was.
        TrainingError: if it is damaged.
        FingerprintError: if it belongs to other settings, features or samples than the run's folder tells; the message
            names each difference.
    """
    if not path.is_file() and run.finished:
        raise NotFoundError(
            f"There is no {path} any more: the run is finished, and its weights were deleted. Train it again; as one "
            "of a list, with `weldcache bench LIST --keep-weights --overwrite`, which keeps them."
        )
    checkpoint = read_checkpoint(path)
    typed(checkpoint.origin, _Origin, path=path)
    found = differences(_comparable(checkpoint.origin, path=path), _comparable(origin_of(run), path=path))
    told = differences_told(found, mine="in the checkpoint", theirs="in the folder")
    if found:
        raise FingerprintError(
            f"{path} was not made by the run that its folder describes:\n"
            f"{lined_up(told)}\n"
            f"The checkpoint, {run.config_path.name} or {run.manifest_path.name} was exchanged or edited: restore it, "
            "or train again with --overwrite."
        )
    return checkpoint


def _comparable(origin: Mapping[str, Any], *, path: Path) -> Json:
    """Without the run's name and the settings that decide nothing; settings as this version reads them."""
    try:
        settings = deciding_settings(settings_from_record(origin["settings"]))
        return {name: origin[name] for name in _Origin.__required_keys__ - {"run"}} | {"settings": settings}
    except ValidationError as error:
        raise TrainingError(
            f"{path} is of a version with other settings ({faults_told(error)}); train again."
        ) from None

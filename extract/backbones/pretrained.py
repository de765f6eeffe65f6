"""A frozen model of transformers: described at once, loaded when it is needed, from safetensors alone and whole."""

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ...documents import Json
from ...errors import BackboneError
from ...wording import count_of, shortened
from .checkpoint import Checkpoint, hash_weights, weight_files
from .spec import FAMILY_OF_MODEL_TYPE, BackboneSpec, Placement

Model = TypeVar("Model", bound=PreTrainedModel)
Config = TypeVar("Config", bound=PreTrainedConfig)
Part = TypeVar("Part", bound=nn.Module)
Made = TypeVar("Made")

_WEIGHTS_SHOWN = 3
_NUMBER = re.compile(r"(?<=\.)[0-9]+(?=\.)")  # of a block, in the name of a weight


class LazyModel(Generic[Part]):
    """The part of a checkpoint's model that is run: its weights are hashed at once, and loaded when they are needed.

    Describing features, planning their extraction and finding that nothing is left to do take no weights.
    """

    def __init__(
        self,
        model_class: type[Model],
        *,
        part: Callable[[Model], Part],
        checkpoint: Checkpoint,
        config: PreTrainedConfig,
        placement: Placement,
        may_miss: tuple[str, ...] = (),
        all_blocks: bool = False,
    ) -> None:
        """Take the hash; `may_miss` and `all_blocks` are as for `load_pretrained`.

        Raises:
            BackboneError: if the weights cannot be read, or are not those that the catalogue means.
        """
        self.placement = placement
        self.config = config
        self._checkpoint = checkpoint
        self._weights = hash_weights(weight_files(checkpoint.folder))
        if checkpoint.expected_sha256 not in (None, self._weights.sha256):
            raise BackboneError(
                f"{checkpoint.model}: the weights in {checkpoint.folder} hold other numbers than the catalogue says; "
                "`weldcache weights verify` says what to do."
            )
        self._loaded: Part | None = None

        def load() -> Part:
            return part(
                load_pretrained(
                    model_class,
                    checkpoint=checkpoint,
                    config=config,
                    placement=placement,
                    may_miss=may_miss,
                    all_blocks=all_blocks,
                )
            )

        def outline() -> Part:
            with torch.device("meta"):
                return part(model_class(config))

        self._load = load
        self._outline = outline

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._loaded is not None

    def get(self) -> Part:
        """The part with its weights, on its device; the first call loads it.

        Raises:
            BackboneError: if the checkpoint is another model's, not whole, or not the one that was hashed.
        """
        if self._loaded is None:
            self._weights.check_unchanged()
            loaded = self._load()
            self._weights.check_unchanged()
            self._loaded = loaded.eval().requires_grad_(False)
        return self._loaded

    def outline(self) -> Part:
        """The part on the meta device: its operations and their shapes, without a number."""
        return self._outline().eval().to(self.placement.dtype)

    def describe(
        self, *, preprocessing: Mapping[str, Json], output: Mapping[str, Json], family: str | None = None
    ) -> BackboneSpec:
        """What makes a feature: the checkpoint with the hash of its weights, and what is done before and after it."""
        return BackboneSpec(
            family=family or FAMILY_OF_MODEL_TYPE[self._checkpoint.model_type],
            model=self._checkpoint.model,
            revision=self._checkpoint.revision,
            weights_sha256=self._weights.sha256,
            random_weights=self._checkpoint.random_weights,
            arithmetic=str(self.placement.dtype).removeprefix("torch."),
            preprocessing=preprocessing,
            output=output,
            origin=self._checkpoint.origin,
        )


class Models:
    """The models of one run, all in one place, each described and loaded once however many features look through it."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self._found: dict[tuple[type, Path, str], LazyModel[Any]] = {}
        self._made: dict[Hashable, Any] = {}

    def of(
        self,
        model_class: type[Model],
        *,
        part: Callable[[Model], Part],
        checkpoint: Checkpoint,
        config: PreTrainedConfig,
        may_miss: tuple[str, ...] = (),
    ) -> LazyModel[Part]:
        """The model of a checkpoint, as deep as the deepest of all that asked for it; the rest as for `LazyModel`."""
        depth = config.num_hidden_layers
        # Another size of the input may change what is inside, such as V-JEPA 2's positions: that is another model.
        rest = json.dumps({**config.to_dict(), "num_hidden_layers": None}, sort_keys=True, default=str)
        key = (model_class, checkpoint.folder, rest)
        found = self._found.get(key)
        if found is None or (found.is_loaded and found.config.num_hidden_layers < depth):
            found = LazyModel(
                model_class,
                part=part,
                checkpoint=checkpoint,
                config=config,
                placement=self.placement,
                may_miss=may_miss,
            )
            self._found[key] = found
        elif not found.is_loaded:
            found.config.num_hidden_layers = max(found.config.num_hidden_layers, depth)
        return found

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made for `key` in this run, or what `make` makes now: a model that is always whole."""
        if key not in self._made:
            self._made[key] = make()
        made: Made = self._made[key]
        return made


def whole(model: Model) -> Model:
    """The `part` of a model that is run as it is."""
    return model


def load_config(config_class: type[Config], *, checkpoint: Checkpoint) -> Config:
    """The model's configuration from its config.json, with SDPA attention.

    Raises BackboneError where a value in the file makes no sense.
    """
    try:
        return config_class.from_pretrained(checkpoint.folder, local_files_only=True, attn_implementation="sdpa")
    except (StrictDataclassError, OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{checkpoint.folder / 'config.json'}: {error}; fetch the model again.") from error


def load_pretrained(
    model_class: type[Model],
    *,
    checkpoint: Checkpoint,
    config: PreTrainedConfig,
    placement: Placement,
    may_miss: tuple[str, ...] = (),
    all_blocks: bool = False,
) -> Model:
    """The model in its arithmetic on its device, in memory of its own, with SDPA attention.

    Transformers fills weights that a checkpoint lacks with random numbers and goes on. Here that is an error, but for
    names that start with one of `may_miss`: parts that are never looked at. It also passes over what it has no place
    for, such as a classifier; with `all_blocks`, further blocks than `config` asks for are an error: a model that is
    cut short is then not what the checkpoint is.

    Raises:
        BackboneError: for these, and if the files cannot be read.
    """
    try:
        with quiet_transformers():
            loaded = model_class.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=placement.dtype,
                attn_implementation=attention(model_class),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are in the report, and refused below by name
            )
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise BackboneError(f"{checkpoint.folder}: cannot be loaded as {model_class.__name__} ({error}).") from error
    model, report = cast(tuple[Model, Mapping[str, set[Any]]], loaded)  # what output_loading_info makes of it
    _require_shapes(report["mismatched_keys"], model_class=model_class, folder=checkpoint.folder)
    absent = sorted(name for name in report["missing_keys"] if not name.startswith(may_miss))
    if absent:
        raise BackboneError(
            f"{checkpoint.folder}: lacks {len(absent)} weights of {model_class.__name__}, {absent[0]} among them; it "
            "is another model's checkpoint, or not whole."
        )
    if all_blocks:
        _require_no_more_blocks(report["unexpected_keys"], model=model, folder=checkpoint.folder)
    try:
        _own(model, device=placement.device)
    except torch.OutOfMemoryError as error:
        raise BackboneError(
            f"{checkpoint.model}: does not fit in the memory of {placement.device}. Free some, or choose another "
            "extract.device, or extract.precision = bfloat16."
        ) from error
    return model


def attention(model_class: type[PreTrainedModel]) -> str:
    """The kind of attention that a class runs with: SDPA, if it has it."""
    return "sdpa" if model_class._supports_sdpa else "eager"


def _require_shapes(wrong: set[tuple[str, Sequence[int], Sequence[int]]], *, model_class: type, folder: Path) -> None:
    """Raise BackboneError for tensors that are not of the shape that the model's configuration asks for."""
    if wrong:
        told = [f"{name} is {list(found)} and should be {list(asked)}" for name, found, asked in sorted(wrong)]
        raise BackboneError(
            f"{folder}: {count_of(len(told), 'weight')} of {model_class.__name__} not of the shape that config.json "
            f"asks for: {shortened(told, most=_WEIGHTS_SHOWN)}. The two files are not of one model; fetch it again."
        )


def _require_no_more_blocks(unused: Iterable[str], *, model: nn.Module, folder: Path) -> None:
    """Raise BackboneError for weights that are named as those of the model's blocks are, but for the number."""
    used = {_NUMBER.sub("#", name) for name in model.state_dict()}
    further = sorted(name for name in unused if _NUMBER.search(name) and _NUMBER.sub("#", name) in used)
    if further:
        raise BackboneError(
            f"{folder}: has more blocks than its config.json asks for: {shortened(further, most=_WEIGHTS_SHOWN)}. The "
            "two files are not of one model; fetch it again."
        )


def _own(model: nn.Module, *, device: torch.device) -> None:
    """Move the model to `device`, and out of the file that its weights are mapped from.

    Weights that need no cast stay mapped: a file that is written to in place would change them in the middle of a run,
    and one that is cut short would end the process.
    """
    for values in (*model.parameters(), *model.buffers()):
        values.data = values.data.to(device, copy=True)


def patch_side(patch_size: int | Sequence[int]) -> int:
    """Side of a model's square patches in pixels; transformers' configurations hold one number or two.

    Raises:
        BackboneError: if the patches are not square.
    """
    sides = {patch_size} if isinstance(patch_size, int) else set(patch_size)
    if len(sides) != 1:
        raise BackboneError(f"patch_size = {patch_size}: only square patches are known; choose another model.")
    return sides.pop()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' bars, load reports and one warning inside the block, and put everything back after it.

    The warning is that AST's published mel filters, 128 of them for 257 frequencies, include empty ones. They do.
    """
    verbosity = transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    if had_bars:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="At least one mel filter has all zero values")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]

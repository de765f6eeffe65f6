"""Loading a frozen model through transformers, quietly, from safetensors alone, and refusing half a checkpoint."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from ...cache.provenance import Json
from ...errors import BackboneError
from .checkpoint import Checkpoint, weight_files
from .families import Family
from .spec import BackboneSpec
from .weights import weights_sha256

Model = TypeVar("Model", bound=PreTrainedModel)
Config = TypeVar("Config", bound=PreTrainedConfig)
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Placement:
    """Where a backbone runs and in which arithmetic; its outputs are of that type, on that device."""

    device: torch.device
    dtype: torch.dtype  # float32, or bfloat16 where the device is fast at it

    def of(self, batch: Tensor) -> Tensor:
        """The batch there, in that arithmetic."""
        return batch.to(device=self.device, dtype=self.dtype)


def load_config(config_class: type[Config], *, checkpoint: Checkpoint) -> Config:
    """The model's configuration from its config.json; raises BackboneError where a value in it makes no sense."""
    try:
        return config_class.from_pretrained(checkpoint.folder, local_files_only=True)
    except (StrictDataclassError, OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{checkpoint.folder / 'config.json'}: {error}; fetch the model again.") from error


def load_pretrained(
    model_class: type[Model],
    *,
    checkpoint: Checkpoint,
    config: PreTrainedConfig,
    may_miss: tuple[str, ...] = (),
) -> Model:
    """The model in float32 on the CPU, in evaluation mode, with SDPA attention.

    Transformers fills weights that a checkpoint lacks with random numbers and goes on. Here that is an error, but for
    names that start with one of `may_miss`: parts that are never run.
    """
    try:
        with quiet_transformers():
            loaded = model_class.from_pretrained(
                checkpoint.folder,
                config=config,
                dtype=torch.float32,
                attn_implementation="sdpa",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise BackboneError(f"{checkpoint.folder}: cannot be loaded as {model_class.__name__} ({error}).") from error
    model, report = cast(tuple[Model, Mapping[str, set[str]]], loaded)  # what output_loading_info makes of it
    absent = sorted(name for name in report["missing_keys"] if not name.startswith(may_miss))
    if absent:
        raise BackboneError(
            f"{checkpoint.folder}: lacks {len(absent)} weights of {model_class.__name__}, {absent[0]} among them; it "
            "is another model's checkpoint, or not whole."
        )
    return model


def freeze(module: Module, *, placement: Placement) -> Module:
    """The module without gradients, moved to where it runs."""
    return module.eval().requires_grad_(False).to(device=placement.device, dtype=placement.dtype)


def describe(
    checkpoint: Checkpoint,
    *,
    family: Family,
    placement: Placement,
    preprocessing: Mapping[str, Json],
    output: Mapping[str, Json],
) -> BackboneSpec:
    """What makes a feature: the checkpoint with the hash of its weights, and what is done before and after it."""
    return BackboneSpec(
        family=family,
        model=checkpoint.model,
        revision=checkpoint.revision,
        weights_sha256=weights_sha256(weight_files(checkpoint.folder)),
        random_weights=checkpoint.random_weights,
        arithmetic=str(placement.dtype).removeprefix("torch."),
        preprocessing=preprocessing,
        output=output,
    )


def patch_side(patch_size: int | Sequence[int]) -> int:
    """Side of a model's square patches in pixels; transformers' configurations hold one number or two."""
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

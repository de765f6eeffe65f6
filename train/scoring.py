"""Samples through a model: in which arithmetic, and their encodings and scores, many at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from ..errors import TrainingError
from .data.batches import BatchSource, batches_in_order
from .recipes.recipe import Recipe
from .settings import Precision
from .types import Batch, Encodings

_LARGEST_PASS = 2**31  # bytes of features that go through a GPU together: more would not keep it busier
# A pass is at most this part of the GPU's memory; what is computed from it takes several times that.
_SHARE_OF_MEMORY = 32


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Autocast to half precision where that is asked for: weights, losses and what is sensitive stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float16)


def encode_all(
    recipe: Recipe,
    model: nn.Module,
    samples: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
    without: Collection[str] = (),
) -> tuple[Encodings, Mapping[str, Tensor]]:
    """Encodings of all samples, as `encode` makes them, and their targets; in their order, on their device."""
    encodings, targets = [], []
    for batch in passes(samples, batch_size=batch_size):
        encodings.append(encode(recipe, model, batch, precision=precision, without=without))
        targets.append({name: target.clone() for name, target in batch.targets.items()})
    return _joined(encodings), _joined(targets)


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@torch.no_grad()
def encode(
    recipe: Recipe, model: nn.Module, batch: Batch, *, precision: Precision, without: Collection[str] = ()
) -> Encodings:
    """Encodings of a batch without augmentation, as if no row had the feature sets `without`."""
    assert not model.training
    with arithmetic(batch.device, precision):
        encodings = recipe.encode(model, batch.inputs().without(without), None)
    # Copies: memory that a CUDA graph wrote to is written to again by the next batch.
    return {name: encoding.clone() for name, encoding in encodings.items()}


def passes(samples: BatchSource, *, batch_size: int) -> Iterator[Batch]:
    """All samples in their order: on a CPU in batches, which its caches like best, on a GPU in as few as may be."""
    if samples.device.type == "cpu":
        yield from samples.batches(batches_in_order(len(samples), batch_size=batch_size))
        return
    (first,) = samples.batches(batches_in_order(1, batch_size=1))
    fitting = max(batch_size, _pass_bytes(samples.device) // first.num_bytes)
    yield from samples.batches(batches_in_order(len(samples), batch_size=fitting))


def _pass_bytes(device: torch.device) -> int:
    """By what the device has, not by what is free: the same on every run, so that results are."""
    if device.type != "cuda":
        return _LARGEST_PASS // _SHARE_OF_MEMORY
    return min(_LARGEST_PASS, torch.cuda.get_device_properties(device).total_memory // _SHARE_OF_MEMORY)


Name = TypeVar("Name")


@torch.no_grad()
def score_rows(
    recipe: Recipe,
    models: Mapping[Name, nn.Module],
    samples: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
    without: Mapping[Name, Collection[str]] | None = None,
) -> dict[Name, Float32[np.ndarray, " rows"]]:
    """Anomaly scores of `samples`, in their order, by each of `models` (in evaluation mode, on their device), by name.

    Memory does not grow with the samples, and each is fetched once for all models. From a model that `without` names,
    those feature sets are hidden.

    Raises:
        StoreError: if a row that should be complete is not.
    """
    parts: dict[Name, list[Tensor]] = {name: [torch.empty(0, device=samples.device)] for name in models}
    hidden = without or {}
    for batch in passes(samples, batch_size=batch_size):
        for name, model in models.items():
            encodings = encode(recipe, model, batch, precision=precision, without=hidden.get(name, ()))
            parts[name].append(recipe.predict(model, encodings).score.float())
    return {name: torch.cat(scores).cpu().numpy() for name, scores in parts.items()}


@torch.no_grad()
def output_rows(
    recipe: Recipe,
    model: nn.Module,
    samples: BatchSource,
    *,
    outputs: Collection[str],
    batch_size: int,
    precision: Precision,
    without: Collection[str] = (),
) -> dict[str, Float32[np.ndarray, "rows ..."]]:
    """What `model` predicts of each of `samples` beside its score, by the names `outputs`, as `score_rows` scores.

    Raises:
        TrainingError: if the recipe's predictions have no such output.
    """
    parts: dict[str, list[Tensor]] = {name: [] for name in outputs}
    for batch in passes(samples, batch_size=batch_size):
        found = recipe.predict(model, encode(recipe, model, batch, precision=precision, without=without)).outputs
        for name, part in parts.items():
            if name not in found:
                raise TrainingError(f"This recipe predicts no {name}, which its task is judged by.")
            part.append(found[name].float())
    return {name: torch.cat(part).cpu().numpy() for name, part in parts.items()}

"""What training changes: weights, their average, the optimiser and the position; and its way to disk and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import TypedDict

from ...configs.schema import TrainSettings
from ...errors import TrainingError
from ..ema import averaged_copy
from ..precision import gradient_scaler
from .checkpoint import AVERAGED, RAW, Checkpoint, load_module, module_tensors, tensors_below
from .documents import Count, Figure, Figures, typed
from .metrics_log import MetricRow

_OPTIMIZER = "optimizer"


class _BestRecord(TypedDict):
    epoch: Count
    value: float
    metrics: Figures


class _LastRecord(TypedDict):
    epoch: Count
    step: Count
    scaler: dict[str, Figure]


@dataclass(frozen=True)
class Best:
    """The best epoch so far, by validation of the averaged weights; `metrics` is its row of the log."""

    epoch: int
    value: float
    metrics: MetricRow


@dataclass
class TrainingState:
    """Everything that an epoch changes. `epoch` and `step` count what is finished."""

    model: nn.Module
    averaged: nn.Module
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    epoch: int = 0
    step: int = 0
    best: Best | None = None


def new_state(model: nn.Module, *, settings: TrainSettings) -> TrainingState:
    """The state before the first step; `model` is on its device already."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    state = TrainingState(
        model=model,
        averaged=averaged_copy(model),
        optimizer=optimizer,
        scaler=gradient_scaler(trained[0].device, settings.precision),
    )
    if settings.compile != "off":
        for module in (*state.model.children(), *state.averaged.children()):
            module.compile(mode=settings.compile)
    return state


def weights_of(state: TrainingState) -> dict[str, Tensor]:
    """A copy of the raw and the averaged weights."""
    return module_tensors(state.model, prefix=RAW) | module_tensors(state.averaged, prefix=AVERAGED)


def best_checkpoint(best: Best, weights: Mapping[str, Tensor]) -> Checkpoint:
    """The best epoch's weights; the record says which epoch that was, so the file needs no other beside it."""
    return Checkpoint(weights, asdict(best))


def best_of(checkpoint: Checkpoint, *, path: Path) -> Best:
    """The record of `best_checkpoint`; `path` is for messages.

    Raises:
        TrainingError: if the checkpoint is not one of a best epoch.
    """
    record = typed(checkpoint.record, _BestRecord, path=path)
    return Best(record["epoch"], record["value"], record["metrics"])


def resumable_checkpoint(state: TrainingState) -> Checkpoint:
    """All of a state but its best epoch, which has a file of its own."""
    tensors = weights_of(state)
    for name, parameter in state.model.named_parameters():
        for moment, value in state.optimizer.state.get(parameter, {}).items():
            tensors[f"{_OPTIMIZER}/{moment}/{name}"] = value
    return Checkpoint(tensors, {"epoch": state.epoch, "step": state.step, "scaler": state.scaler.state_dict()})


def restore(state: TrainingState, checkpoint: Checkpoint, *, path: Path) -> None:
    """Bring a new state to where `resumable_checkpoint` was taken; `path` is for messages.

    Raises:
        TrainingError: if the checkpoint does not fit the model, or is not one to go on from.
    """
    record = typed(checkpoint.record, _LastRecord, path=path)
    load_module(state.model, checkpoint, prefix=RAW, path=path)
    load_module(state.averaged, checkpoint, prefix=AVERAGED, path=path)
    parameters = dict(state.model.named_parameters())
    for key, value in tensors_below(checkpoint, _OPTIMIZER).items():
        moment, _, name = key.partition("/")
        if name not in parameters:
            raise TrainingError(f"{path} holds optimiser state of {name}, which the model lacks; train again.")
        state.optimizer.state[parameters[name]][moment] = value.to(parameters[name].device)
    state.scaler.load_state_dict(record["scaler"])
    state.epoch, state.step = record["epoch"], record["step"]

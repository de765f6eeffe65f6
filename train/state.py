"""What training changes: weights, their moving average, the optimiser and the position."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from .precision import gradient_scaler
from .settings import TrainSettings

StopReason = Literal["epochs", "patience", "fitted"]


@dataclass(frozen=True)
class Best:
    """The best epoch so far, by validation of the averaged weights; `metrics` is its row of the log.

    `value`, by which it is the best, is None where there is no other and validation measures nothing.
    """

    epoch: int
    value: float | None
    metrics: Mapping[str, float | int | None]


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


def decay_at(update: int, *, decay: float) -> float:
    """Decay of an update, counted from 0: `min(decay, (1 + t) / (10 + t))`.

    A constant 0.9999 would keep 83 % of the random start after 1,800 steps; the warm-up keeps nothing of it.
    """
    return min(decay, (1 + update) / (10 + update))


def averaged_copy(model: nn.Module) -> nn.Module:
    """A copy that starts at the model's weights, takes no gradient and stays in evaluation mode."""
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def update_average(averaged: nn.Module, model: nn.Module, *, decay: float) -> None:
    """Move the averaged parameters towards the model's: `decay * averaged + (1 - decay) * model`; copy buffers."""
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), 1 - decay)
    for mine, theirs in zip(averaged.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)

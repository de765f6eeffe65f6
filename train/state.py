"""What training changes: weights, their moving average, the optimiser, the position; and by what rates."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import nn

from .data.batches import num_shuffled_batches
from .settings import TrainSettings

StopReason = Literal["epochs", "patience", "fitted", "fused"]

OF_GRADIENT: Final = frozenset(
    {"epochs", "patience", "lr", "betas", "weight_decay", "warmup_epochs", "warmup_lr", "min_lr"}
    | {"gradient_clip", "ema_decay", "compile"}
)
"""What of the section `train` is read here and by the loop alone: for a recipe that is fitted it decides nothing."""


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
        # Scales the loss where gradients would vanish below what float16 can hold; does nothing for other precisions.
        scaler=torch.amp.GradScaler(trained[0].device.type, enabled=settings.precision == "float16"),
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


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning rate by step: a linear warm-up, then half a cosine.

    Rates are those at the start of the warm-up, at its end and at the last step; lengths are in steps.
    """

    warmup_lr: float
    lr: float
    min_lr: float
    warmup_steps: int
    total_steps: int

    def at(self, step: int) -> float:
        """Learning rate of `step`, from 0: `warmup_lr` at step 0, `lr` at step `warmup_steps`, `min_lr` at the last.

        Where the warm-up is as long as the run, the run ends before the peak is reached.
        """
        if step < self.warmup_steps:
            return self.warmup_lr + (self.lr - self.warmup_lr) * step / self.warmup_steps
        cosine_steps = max(self.total_steps - 1 - self.warmup_steps, 1)
        done = min((step - self.warmup_steps) / cosine_steps, 1.0)
        return self.min_lr + 0.5 * (self.lr - self.min_lr) * (1 + math.cos(math.pi * done))


def schedule_for(settings: TrainSettings, *, num_samples: int) -> Schedule:
    """The settings' epochs in steps."""
    steps_per_epoch = num_shuffled_batches(num_samples, batch_size=settings.batch_size)
    return Schedule(
        warmup_lr=settings.warmup_lr,
        lr=settings.lr,
        min_lr=settings.min_lr,
        warmup_steps=settings.warmup_epochs * steps_per_epoch,
        total_steps=settings.epochs * steps_per_epoch,
    )

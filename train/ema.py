"""Moving average of a model's weights, with a warm-up so that the random start is forgotten."""

import copy

import torch
from torch import nn


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

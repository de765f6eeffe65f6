"""The state of a training on its way to disk and back."""

from pathlib import Path

import pytest
import torch
from torch import nn

from weldcache.train.runs.checkpoint import read_checkpoint, write_checkpoint
from weldcache.train.runs.checkpointer import restore, resumable_checkpoint
from weldcache.train.settings import TrainSettings
from weldcache.train.state import TrainingState, new_state


def fresh(precision: str) -> TrainingState:
    model = nn.Linear(3, 1)
    nn.init.ones_(model.weight)
    return new_state(model, settings=TrainSettings(precision=precision))


def step(state: TrainingState, *, factor: float = 1.0) -> None:
    loss = factor * state.model(torch.tensor([[1.0, 2.0, 3.0]])).sum()
    state.optimizer.zero_grad()
    state.scaler.scale(loss).backward()
    state.scaler.step(state.optimizer)
    state.scaler.update()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_weights_moments_and_scale_come_back(precision: str, tmp_path: Path) -> None:
    """An overflow has halved float16's scale: what is restored is not what a new state starts with."""
    state, path = fresh(precision), tmp_path / "last.safetensors"
    step(state)
    if precision == "float16":
        step(state, factor=float("inf"))
        assert state.scaler.get_scale() == 0.5 * fresh(precision).scaler.get_scale()
    state.epoch, state.step = 3, 17
    write_checkpoint(path, resumable_checkpoint(state))
    restored = fresh(precision)
    restore(restored, read_checkpoint(path), path=path)
    assert (restored.epoch, restored.step) == (3, 17)
    assert restored.scaler.state_dict() == state.scaler.state_dict()
    for each in (state, restored):
        step(each)
    assert torch.equal(restored.model.weight, state.model.weight)
    for mine, theirs in zip(restored.model.parameters(), state.model.parameters(), strict=True):
        assert restored.optimizer.state[mine].keys() == state.optimizer.state[theirs].keys()
        assert torch.equal(restored.optimizer.state[mine]["exp_avg_sq"], state.optimizer.state[theirs]["exp_avg_sq"])

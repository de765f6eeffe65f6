"""Checkpoints: round trips, and files that do not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from weldcache.errors import NotFoundError, TrainingError
from weldcache.train.checkpoint import Checkpoint, load_module, module_tensors, read_checkpoint, write_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best.safetensors"


def test_tensors_and_record_come_back_exactly(path: Path, generator: torch.Generator) -> None:
    tensors = {
        "raw/weight": torch.randn(3, 4, generator=generator).T,  # not contiguous
        "raw/count": torch.tensor(7),
        "averaged/half": torch.randn(5, generator=generator).bfloat16(),
    }
    record = {"epoch": 3, "metrics": {"val_auroc": 0.1 + 0.2, "val_loss": None}}
    write_checkpoint(path, Checkpoint(tensors, record))
    found = read_checkpoint(path)
    assert found.record == record
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_copy_of_a_module_is_deep() -> None:
    module = nn.Linear(2, 2)
    tensors = module_tensors(module, prefix="raw")
    nn.init.zeros_(module.weight)
    assert tensors["raw/weight"].abs().sum() > 0


def test_a_module_gets_the_weights_of_its_prefix(path: Path) -> None:
    first, second, fresh = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(2, 3)
    both = module_tensors(first, prefix="raw") | module_tensors(second, prefix="averaged")
    load_module(fresh, Checkpoint(both, {}), prefix="averaged", path=path)
    assert torch.equal(fresh.weight, second.weight) and torch.equal(fresh.bias, second.bias)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(2, 4), r"weight has shape \(4, 2\), the model's has \(3, 2\)"),
        (nn.Linear(2, 3, bias=False), "bias is missing"),
        (nn.Bilinear(2, 2, 3), "weight has shape"),
        (nn.Sequential(nn.Linear(2, 3)), "0.weight is unknown to the model"),
    ],
)
def test_weights_of_another_module_are_refused_and_nothing_is_loaded(
    path: Path, other: nn.Module, message: str
) -> None:
    module = nn.Linear(2, 3)
    before = module.weight.detach().clone()
    with pytest.raises(TrainingError, match=message):
        load_module(module, Checkpoint(module_tensors(other, prefix="raw"), {}), prefix="raw", path=path)
    assert torch.equal(module.weight, before)


def test_a_missing_file_names_the_command(path: Path) -> None:
    with pytest.raises(NotFoundError, match="weldcache train"):
        read_checkpoint(path)


def test_damaged_files_are_refused(path: Path) -> None:
    write_checkpoint(path, Checkpoint({"raw/weight": torch.ones(100)}, {}))
    whole = path.read_bytes()
    for broken in (b"", whole[:50], whole[:-9], b"\xff" * 64):
        path.write_bytes(broken)
        with pytest.raises(TrainingError, match="damaged"):
            read_checkpoint(path)


def test_a_foreign_file_is_refused(path: Path) -> None:
    save_file({"weight": torch.ones(2)}, path, metadata={"format": json.dumps({"epoch": 1})})
    with pytest.raises(TrainingError, match="no checkpoint of weldcache"):
        read_checkpoint(path)

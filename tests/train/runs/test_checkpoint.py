"""Checkpoints: round trips, and files that do not fit."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from weldcache.errors import NotFoundError, TrainingError
from weldcache.train.runs import checkpoint
from weldcache.train.runs.checkpoint import Checkpoint, load_module, module_tensors, read_checkpoint, write_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "best.safetensors"


def test_tensors_and_record_come_back_exactly(path: Path, generator: torch.Generator) -> None:
    tensors = {
        "raw/weight": torch.randn(3, 4, generator=generator).T,  # not contiguous
        "raw/count": torch.tensor(7),
        "averaged/half": torch.randn(5, generator=generator).bfloat16(),
    }
    record = {"epoch": 3, "metrics": {"val_auroc": 0.1 + 0.2, "val_loss": None}, "seed": 2**64 - 1}
    write_checkpoint(path, Checkpoint(tensors, record, origin={"run": "mine"}))
    found = read_checkpoint(path)
    assert found.record == record and found.origin == {"run": "mine"}
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


def test_files_that_are_cut_short_are_refused(path: Path) -> None:
    write_checkpoint(path, Checkpoint({"raw/weight": torch.ones(100)}, {}))
    whole = path.read_bytes()
    for length in (0, 7, 8, 50, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(TrainingError, match="damaged"):
            read_checkpoint(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_flipped_bit_goes_unnoticed(path: Path, position: float, bit: int) -> None:
    """In weights and in the record alike; elsewhere, such as in padding, it may change nothing."""
    tensors = {
        "raw/weight": torch.arange(20.0),
        "raw/count": torch.tensor(7),
        "averaged/half": torch.ones(3).bfloat16(),
    }
    record, origin = {"epoch": 3, "value": 0.5}, {"fingerprint": "0123"}
    write_checkpoint(path, Checkpoint(tensors, record, origin))
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = read_checkpoint(path)
    except TrainingError as error:
        assert "damaged" in str(error)
    else:
        assert (found.record, found.origin) == (record, origin)
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"weldcache": "{}", "crc32c": "00000000"},
        {"weldcache": "[1]", "crc32c": "00000000"},
        {"weldcache": '{"record": {}, "origin": {}}'},
        {"weldcache": '{"record": {}, "origin": {}}', "crc32c": "00000000"},
    ],
)
def test_foreign_files_are_refused(path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(TrainingError, match="damaged"):
        read_checkpoint(path)


def test_a_pickle_is_never_opened(path: Path) -> None:
    """What torch.save writes would run code on loading."""
    torch.save({"raw/weight": torch.ones(2)}, path)
    with pytest.raises(TrainingError, match="damaged: its header"):
        read_checkpoint(path)


def test_a_crash_while_writing_leaves_the_last_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(path, Checkpoint({"raw/weight": torch.zeros(2)}, {"epoch": 1}))

    def full_disk(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str]) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, Checkpoint({"raw/weight": torch.ones(2)}, {"epoch": 2}))
    assert read_checkpoint(path).record == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]

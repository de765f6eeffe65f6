"""The hash of weights: changes with any weight, name, type or shape, and with nothing else."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from weldcache.errors import BackboneError
from weldcache.extract.backbones import weights as weights_module
from weldcache.extract.backbones.weights import hash_weights, weights_sha256


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16), "c": torch.tensor(3)}


def _hash(weights: dict[str, Tensor], path: Path) -> str:
    save_file(weights, path)
    return weights_sha256([path])


def test_order_and_metadata_do_not_matter(weights: dict[str, Tensor], tmp_path: Path) -> None:
    first = _hash(weights, tmp_path / "one.safetensors")
    save_file(dict(reversed(weights.items())), tmp_path / "two.safetensors", metadata={"format": "pt"})
    assert weights_sha256([tmp_path / "two.safetensors"]) == first


def test_splitting_into_files_does_not_matter(weights: dict[str, Tensor], tmp_path: Path) -> None:
    whole = _hash(weights, tmp_path / "whole.safetensors")
    shards = [tmp_path / "2.safetensors", tmp_path / "1.safetensors"]
    save_file({"a": weights["a"]}, shards[0])
    save_file({"b": weights["b"], "c": weights["c"]}, shards[1])
    assert weights_sha256(shards) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"a": torch.arange(6.0).reshape(2, 3).index_put((torch.tensor(1), torch.tensor(2)), torch.tensor(5.0000005))},
        {"a": torch.arange(6.0).reshape(3, 2)},
        {"b": torch.ones(4, dtype=torch.float16)},
        {"d": torch.zeros(1)},
    ],
    ids=["value", "shape", "type", "name"],
)
def test_any_difference_matters(change: dict[str, Tensor], weights: dict[str, Tensor], tmp_path: Path) -> None:
    before = _hash(weights, tmp_path / "before.safetensors")
    assert _hash(weights | change, tmp_path / "after.safetensors") != before


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BackboneError, match=r"model\.safetensors: not a readable safetensors file"):
        weights_sha256([tmp_path / "model.safetensors"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_what_is_no_number_is_named_with_its_tensor(
    dtype: torch.dtype, bad: float, weights: dict[str, Tensor], tmp_path: Path
) -> None:
    spoilt = torch.zeros(3, 2, dtype=dtype).index_fill(0, torch.tensor(1), bad)
    with pytest.raises(BackboneError, match=r"spoilt\.safetensors: the tensor b holds 2 values of 6 that are NaN or"):
        _hash(weights | {"b": spoilt}, tmp_path / "spoilt.safetensors")


@pytest.mark.parametrize("change", ["rewritten", "replaced", "touched", "cut", "removed"])
def test_files_are_watched_from_the_hash_on(change: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert _hash(weights, path) == hash_weights([path]).sha256
    hashed = hash_weights([path])
    hashed.check_unchanged()
    content = path.read_bytes()
    if change == "rewritten":
        path.write_bytes(content[:-1] + b"\7")
    elif change == "replaced":  # by the same bytes, with the same times: not to be told from others without reading
        twin = tmp_path / "twin"
        twin.write_bytes(content)
        os.utime(twin, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        twin.replace(path)
    elif change == "touched":
        os.utime(path, ns=(0, 0))
    elif change == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(BackboneError, match=r"model\.safetensors: (changed after its hash was taken|cannot be read)"):
        hashed.check_unchanged()


def test_a_file_that_changes_while_it_is_hashed(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    read_tensor = weights_module._read_tensor

    def read_and_touch(path: Path, *, name: str) -> Tensor:
        os.utime(path, ns=(0, 0))
        return read_tensor(path, name=name)

    monkeypatch.setattr(weights_module, "_read_tensor", read_and_touch)
    with pytest.raises(BackboneError, match="changed after its hash was taken"):
        hash_weights([path])

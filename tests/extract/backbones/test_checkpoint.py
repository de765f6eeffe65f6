"""Finding a model's files, and saying what is wrong in one sentence where they are not there."""

import json
import os
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors as hub_errors
from safetensors.torch import save_file
from torch import Tensor

from weldcache.errors import BackboneError
from weldcache.extract.backbones import checkpoint as weights_module
from weldcache.extract.backbones.checkpoint import hash_weights, open_checkpoint, weight_files, weights_sha256


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my-dino"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "dinov2"}))
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    return folder


def _open(model: str | Path, *, revision: str | None = None) -> object:
    return open_checkpoint(str(model), revision=revision, setting="image.model")


def test_local_folder_goes_by_its_own_name(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model_folder)
    found = open_checkpoint(".", revision="main", setting="image.model")
    assert (found.model, found.revision, found.model_type, found.random_weights) == (
        "my-dino",
        "local",
        "dinov2",
        False,
    )


def test_marker_says_random(model_folder: Path) -> None:
    (model_folder / "weldcache_backbone.json").write_text(json.dumps({"random_weights": True}))
    assert open_checkpoint(str(model_folder), revision=None, setting="image.model").random_weights


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"image\.model = .*there is no such folder.*--set image\.model=demo"):
        _open(tmp_path / "nothing")


def test_missing_and_broken_config(model_folder: Path) -> None:
    config = model_folder / "config.json"
    config.write_text("{")
    with pytest.raises(BackboneError, match=r"config\.json: not readable as JSON"):
        _open(model_folder)
    config.write_text("[]")
    with pytest.raises(BackboneError, match="must hold a JSON object"):
        _open(model_folder)
    config.write_text("{}")
    with pytest.raises(BackboneError, match=r"names no model_type.*config\.json with model_type, one of .*dinov2"):
        _open(model_folder)
    config.write_text(json.dumps({"architecture": "vit_base_patch16_224", "pretrained_cfg": {}}))
    with pytest.raises(BackboneError, match=r"names no model_type.*timm.*transformers"):
        _open(model_folder)
    config.unlink()
    with pytest.raises(BackboneError, match=r"config\.json: missing"):
        _open(model_folder)


def test_pickle_is_refused(model_folder: Path) -> None:
    (model_folder / "model.safetensors").rename(model_folder / "pytorch_model.bin")
    with pytest.raises(
        BackboneError, match=r"no model\.safetensors \(pytorch_model\.bin could run code, so it is never"
    ):
        _open(model_folder)


def test_shards_come_from_the_index(model_folder: Path) -> None:
    (model_folder / "model.safetensors").unlink()
    index = model_folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "2.safetensors", "b": "1.safetensors", "c": "2.safetensors"}}))
    assert weight_files(model_folder) == [model_folder / "1.safetensors", model_folder / "2.safetensors"]
    index.write_text("{}")
    with pytest.raises(BackboneError, match="no weight_map"):
        weight_files(model_folder)
    index.write_text(json.dumps({"weight_map": {"a": "../other/model.safetensors"}}))
    with pytest.raises(BackboneError, match=r"names '\.\./other/model\.safetensors', which does not lie in"):
        weight_files(model_folder)


def test_hub_model_is_its_snapshot(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def download(repo_id: str, **options: object) -> str:
        asked.update(options, repo_id=repo_id)
        return str(model_folder.rename(model_folder.with_name("0123abc")))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = open_checkpoint("facebook/dinov2-base", revision="main", setting="image.model")
    assert (found.model, found.revision) == ("facebook/dinov2-base", "0123abc")
    assert (asked["repo_id"], asked["revision"]) == ("facebook/dinov2-base", "main")
    assert not any(pattern.endswith((".bin", "*")) for pattern in asked["allow_patterns"])  # type: ignore[attr-defined]


def _refusal(kind: type[Exception]) -> Exception:
    """An error as the hub client raises it, without the HTTP response that its constructor wants."""
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (_refusal(hub_errors.GatedRepoError), r"gated.*licence.*hf auth login.*image\.model=demo"),
        (_refusal(hub_errors.RevisionNotFoundError), "at revision v9.*no such revision"),
        (_refusal(hub_errors.RepositoryNotFoundError), "neither a folder here nor a model on the hub"),
        (hub_errors.LocalEntryNotFoundError("no"), r"hub cannot be reached.*local folder.*image\.model=demo"),
        (ConnectionError("no"), "hub cannot be reached"),
        (hub_errors.HFValidationError("no"), "not a valid hub id"),
    ],
    ids=["gated", "revision", "unknown", "offline", "connection", "name"],
)
def test_hub_refusals(error: Exception, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(BackboneError, match=message):
        _open("facebook/dinov3-vith16plus-pretrain-lvd1689m", revision="v9")


@pytest.mark.parametrize("model", ["./none", "../none", "/none", "a/b/c", "none", "~/none", "models/", "C:\\models\\d"])
def test_what_is_written_as_a_path_is_never_asked_of_the_hub(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", _never)
    with pytest.raises(BackboneError, match=r"image\.model = .*there is no such folder"):
        _open(model)


def _never(*_: object, **__: object) -> str:
    raise AssertionError("the hub was asked")


def test_a_folder_that_is_missing_does_not_become_a_strangers_model(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was fetched before is found, and a revision says that the hub is meant."""
    allowed: list[bool] = []

    def download(repo_id: str, *, local_files_only: bool, **_: object) -> str:
        allowed.append(not local_files_only)
        if local_files_only and repo_id != "fetched/before":
            raise hub_errors.LocalEntryNotFoundError("no")
        return str(model_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(BackboneError, match=r"models/d: there is no such folder.*--set image\.revision=COMMIT"):
        _open("models/d")
    _open("fetched/before")
    _open("models/d", revision="0123abc")
    assert allowed == [False, False, True]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dino.onnx", r"is a file \(\.onnx\).*config\.json and model\.safetensors"),
        ("model.safetensors", "name the folder that holds it"),
        ("dino.pth", "could run code"),
    ],
)
def test_a_file_is_told_from_a_folder(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(BackboneError, match=message):
        _open(tmp_path / name)


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

    def read_and_touch(file: Any, *, name: str) -> Tensor:
        os.utime(path, ns=(0, 0))
        return read_tensor(file, name=name)

    monkeypatch.setattr(weights_module, "_read_tensor", read_and_touch)
    with pytest.raises(BackboneError, match="changed after its hash was taken"):
        hash_weights([path])

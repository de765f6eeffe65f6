"""Folders with random weights: whole or absent, the same bytes for the same seed, never over somebody else's files."""

import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from weldcache.errors import BackboneError, OutputExistsError
from weldcache.extract.backbones import random_backbone
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import MODEL_CLASSES, architecture, demo_backbone_folder, draw_weights
from weldcache.extract.backbones.spec import Family
from weldcache.extract.features.settings import BackboneSettings
from weldcache.train.validation import effective_rank

FAMILIES: tuple[Family, ...] = ("vjepa2", "ast", "yamnet", "dinov3", "dinov2", "efficientnet_lite", "clip_text")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_bytes(family: Family, tmp_path: Path) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first = demo_backbone_folder(tmp_path / "first", family=family, seed=0)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    torch.manual_seed(5)
    second = demo_backbone_folder(tmp_path / "second", family=family, seed=0)
    other = demo_backbone_folder(tmp_path / "other", family=family, seed=1)
    assert _contents(first) == _contents(second)
    assert _contents(first)["model.safetensors"] != _contents(other)["model.safetensors"]


def test_marker_and_reuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = demo_backbone_folder(tmp_path / "demo", family="clip_text", seed=3)
    marker = json.loads((folder / "weldcache_backbone.json").read_text())
    assert marker["random_weights"] is True
    assert (marker["seed"], marker["family"]) == (3, "clip_text")
    written = (folder / "model.safetensors").stat().st_mtime_ns
    demo_backbone_folder(folder, family="clip_text", seed=3)
    assert (folder / "model.safetensors").stat().st_mtime_ns == written
    before = _contents(folder)
    monkeypatch.setattr(random_backbone, "RECIPE", random_backbone.RECIPE + 1)
    demo_backbone_folder(folder, family="clip_text", seed=3)
    assert _contents(folder)["weldcache_backbone.json"] != before["weldcache_backbone.json"]
    assert list(tmp_path.iterdir()) == [folder]


def test_another_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match="name another folder"):
        demo_backbone_folder(tmp_path, family="clip_text", seed=0)
    with pytest.raises(OutputExistsError):
        demo_backbone_folder(tmp_path / "mine.txt", family="clip_text", seed=0)
    assert _contents(tmp_path) == {"mine.txt": b"precious"}


def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(random_backbone, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        demo_backbone_folder(tmp_path / "demo", family="clip_text", seed=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BackboneError, match=rf"^{tmp_path} cannot be written to \(Permission denied\).* with --cache"):
        demo_backbone_folder(tmp_path / "demo", family="clip_text", seed=0)


def test_the_loser_of_a_race_takes_the_winners_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"
    write_model = random_backbone._write_model

    def write_while_another_finishes(path: Path, *, family: Family, scale: random_backbone.Scale, seed: int) -> None:
        write_model(path, family=family, scale=scale, seed=seed)
        monkeypatch.setattr(random_backbone, "_write_model", write_model)
        demo_backbone_folder(folder, family=family, seed=seed)

    monkeypatch.setattr(random_backbone, "_write_model", write_while_another_finishes)
    assert demo_backbone_folder(folder, family="clip_text", seed=0) == folder
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("family", "part", "millions"),
    [
        ("dinov3", "", 840.6),
        ("vjepa2", "encoder.", 304.0),
        ("vjepa2", "", 326.0),
        ("ast", "", 86.1),
        ("dinov2", "", 86.6),
        ("clip_text", "", 63.4),
    ],
)
def test_full_size_is_the_published_size(family: Family, part: str, millions: float) -> None:
    with torch.device("meta"):
        model = MODEL_CLASSES[family](architecture(family, scale="full", end_token=513))
    count = sum(weight.numel() for name, weight in model.named_parameters() if name.startswith(part))
    assert count / 1e6 == pytest.approx(millions, rel=0.005)


@pytest.mark.parametrize("family", ["dinov3", "dinov2", "efficientnet_lite"])
def test_the_demo_of_a_picture_model_is_as_deep_as_the_published_one(family: Family) -> None:
    demo, full = (architecture(family, scale=scale, end_token=513) for scale in ("demo", "full"))
    assert demo.num_hidden_layers == full.num_hidden_layers


@pytest.mark.parametrize(("family", "deepest"), [("dinov3", 32), ("dinov2", 12)])
def test_deep_blocks_still_tell_photographs_apart_by_what_the_first_ones_saw(
    family: Family, deepest: int, tmp_path: Path, synthetic: Path, loader: BackboneLoader
) -> None:
    """Distances between photographs keep their order; with branches of full scale the correlation is 0.67 and 0.95."""
    photographs = sorted(synthetic.glob("*/*/images/*.jpg"))[::5]
    pictures = torch.from_numpy(np.stack([_read_small(path) for path in photographs]))
    folder = demo_backbone_folder(tmp_path / "model", family=family, seed=0)
    features = loader.pictures(
        BackboneSettings(model=str(folder)), key="features.image", blocks=(4, deepest), size=None
    )(pictures)
    early, deep = (
        features[block]["patch_tokens"].clamp(min=1e-6).pow(3).mean(dim=1).pow(1 / 3) for block in (4, deepest)
    )
    assert features[deepest]["patch_tokens"].abs().max() < 100  # float16 holds 65,504
    assert effective_rank(deep) > 0.9 * effective_rank(early) > 10
    assert torch.corrcoef(torch.stack([_distances(early), _distances(deep)]))[0, 1] > 0.85


def _read_small(path: Path) -> np.ndarray:
    photograph = cv2.resize(cv2.imread(str(path)), (112, 112), interpolation=cv2.INTER_AREA)
    return photograph[..., ::-1].transpose(2, 0, 1).copy()


def _distances(features: torch.Tensor) -> torch.Tensor:
    return torch.pdist((features - features.mean(dim=0)) / features.std(dim=0))


def _module() -> nn.Module:
    return nn.ModuleDict({"linear": nn.Linear(400, 300), "norm": nn.LayerNorm(8), "patch": nn.Conv2d(3, 64, 16)})


def test_same_seed_same_weights_whatever_the_global_state() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = draw_weights(_module(), seed=0)
    torch.manual_seed(2)
    np.random.seed(2)
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    with torch.device("meta"):
        module = _module()
    second = draw_weights(module, seed=0)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert not torch.equal(first["linear.weight"], draw_weights(module, seed=1)["linear.weight"])


def test_scales() -> None:
    weights = draw_weights(_module(), seed=0)
    assert abs(weights["linear.weight"].std() * 400**0.5 - 1) < 0.02
    assert (weights["linear.bias"] == 0).all()
    assert (weights["norm.weight"] == 1).all()


def test_picture_filters_answer_to_contrast_before_brightness() -> None:
    filters = draw_weights(_module(), seed=0)["patch.weight"]
    flat = torch.ones(3, 16, 16)
    texture = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    texture -= texture.mean(dim=(1, 2), keepdim=True)
    to_flat = (filters * flat).sum(dim=(1, 2, 3)).square().mean().sqrt()
    to_texture = (filters * texture).sum(dim=(1, 2, 3)).square().mean().sqrt()
    assert 0.2 < to_flat < 1
    assert to_texture > 8 * to_flat


def test_branches_shrink_with_depth_from_the_fifth_block_on() -> None:
    with torch.device("meta"):
        model = Dinov2Model(Dinov2Config(hidden_size=4, num_hidden_layers=16, num_attention_heads=1))
    weights = draw_weights(model, seed=0)
    scales = [weights[f"encoder.layer.{position}.layer_scale2.lambda1"] for position in range(16)]
    assert all((scale == scale[0]).all() for scale in scales)
    assert [float(scales[block - 1][0]) for block in (1, 4, 16)] == [1, 1, 0.5]
    assert float(scales[8][0]) == pytest.approx(2 / 3)

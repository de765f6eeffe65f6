"""From settings to a frozen backbone: demo, local folder, wrong family, and what is left as it was."""

import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import Dinov2Model, PreTrainedModel
from transformers.utils import logging as transformers_logging

from weldcache.errors import BackboneError
from weldcache.extract.backbones.audio_spectrogram import AudioSpectrogramTransformer
from weldcache.extract.backbones.clip_text import TextEncoder
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.pretrained import quiet_transformers
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import AudioBackbone, BackboneSpec, ImageBackbone, Placement, VideoBackbone
from weldcache.extract.backbones.vision_transformer import VisionTransformer
from weldcache.extract.backbones.vjepa2 import VJepa2
from weldcache.extract.features.settings import (
    BackboneSettings,
    PhotographsSettings,
)


def pictures_of(loader: BackboneLoader, settings: PhotographsSettings) -> VisionTransformer:
    return loader.pictures(settings, key="features.image", blocks=settings.blocks, size=settings.size)


def _backbones(
    loader: BackboneLoader,
) -> dict[str, VJepa2 | AudioSpectrogramTransformer | VisionTransformer | TextEncoder]:
    return {
        "video": loader.clips(BackboneSettings(model="demo"), key="features.video", num_frames=4, size=None),
        "audio": loader.sound(BackboneSettings(model="demo"), key="features.audio"),
        "image": loader.pictures(BackboneSettings(model="demo"), key="features.image", blocks=(2, 4), size=None),
        "text": loader.text(BackboneSettings(model="demo"), key="features.text"),
    }


def _specs(loader: BackboneLoader) -> dict[str, BackboneSpec]:
    return {name: backbone.spec for name, backbone in _backbones(loader).items()}


def test_demo_backbones_of_two_seeds(loader: BackboneLoader, demo_folder: Path, placement: Placement) -> None:
    zero = _specs(loader)
    one = _specs(BackboneLoader(placement=placement, demo_folder=demo_folder, demo_seed=1))
    assert {name: spec.family for name, spec in zero.items()} == {
        "video": "vjepa2",
        "audio": "ast",
        "image": "dinov3",
        "text": "clip_text",
    }
    for name, spec in zero.items():
        assert spec.random_weights
        assert spec.revision == "local"
        assert spec.weights_sha256 != one[name].weights_sha256
        json.dumps(spec.to_manifest(), allow_nan=False)
    assert zero == _specs(loader)


def test_a_demo_of_another_family_is_asked_for_by_its_name(loader: BackboneLoader) -> None:
    dinov2 = loader.pictures(BackboneSettings(model="demo-dinov2"), key="features.image", blocks=(8, 12), size=None)
    assert (dinov2.spec.family, dinov2.blocks) == ("dinov2", (8, 12))
    named, plain = (
        loader.pictures(BackboneSettings(model=name), key="features.image", blocks=(2,), size=None)
        for name in ("demo-dinov3", "demo")
    )
    assert named.spec == plain.spec
    with pytest.raises(BackboneError, match=r"features\.image\.model = demo-ast"):
        loader.pictures(BackboneSettings(model="demo-ast"), key="features.image", blocks=(2,), size=None)


def test_demo_features_differ_between_seeds(
    loader: BackboneLoader, demo_folder: Path, placement: Placement, draw_pixels: Callable[..., Tensor]
) -> None:
    settings = PhotographsSettings(model="demo", blocks=(2,), size=None)
    pictures = draw_pixels(1, 3, 112, 112)
    other = BackboneLoader(placement=placement, demo_folder=demo_folder, demo_seed=1)
    difference = pictures_of(loader, settings)(pictures)[2]["cls"] - pictures_of(other, settings)(pictures)[2]["cls"]
    assert difference.abs().mean() > 0.1


def test_description_and_cost_need_no_weights(loader: BackboneLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", refuse)
    backbones = _backbones(loader)
    assert {name: backbone.dim for name, backbone in backbones.items()} == {
        "video": 96,
        "audio": 96,
        "image": 96,
        "text": 64,
    }
    for backbone in backbones.values():
        assert len(backbone.spec.weights_sha256) == 64
        assert isinstance(backbone, TextEncoder) or backbone.flops() > 0
        with pytest.raises(AssertionError, match="weights were loaded"):
            backbone.load()


def test_weights_are_loaded_once(loader: BackboneLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    from_pretrained, calls = Dinov2Model.from_pretrained, []
    monkeypatch.setattr(
        PreTrainedModel,
        "from_pretrained",
        classmethod(lambda cls, *a, **k: calls.append(cls) or from_pretrained.__func__(cls, *a, **k)),
    )
    for backbone in _backbones(loader).values():
        backbone.load()
        backbone.load()
    assert len(calls) == 4


def test_backbones_keep_their_protocols(loader: BackboneLoader) -> None:
    backbones = _backbones(loader)
    assert isinstance(backbones["video"], VideoBackbone)
    assert isinstance(backbones["audio"], AudioBackbone)
    assert isinstance(backbones["image"], ImageBackbone)


def test_loading_moves_no_global_state(loader: BackboneLoader, capfd: pytest.CaptureFixture[str]) -> None:
    random_state = torch.random.get_rng_state()
    filters, level = list(warnings.filters), logging.getLogger().level
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    for backbone in _backbones(loader).values():
        backbone.load()
        if not isinstance(backbone, TextEncoder):
            backbone.flops()
    assert torch.equal(torch.random.get_rng_state(), random_state)
    assert warnings.filters == filters
    assert logging.getLogger().level == level
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled() == bars
    assert capfd.readouterr() == ("", "")


def test_transformers_is_as_loud_as_before_after_an_error() -> None:
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with pytest.raises(ZeroDivisionError), quiet_transformers():
        assert transformers_logging.get_verbosity() == logging.ERROR
        assert not transformers_logging.is_progress_bar_enabled()
        raise ZeroDivisionError
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled() == bars


def test_wrong_family(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "text", family="clip_text", seed=0)
    message = r"features\.audio\.model = .*text: is a model of type clip_text_model, .* needs Audio Spectrogram"
    with pytest.raises(BackboneError, match=message):
        loader.sound(BackboneSettings(model=str(folder)), key="features.audio")
    with pytest.raises(
        BackboneError,
        match=r"needs DINOv3 ViT, DINOv2 .*; choose one, or `--set features\.image\.model=demo",
    ):
        loader.pictures(BackboneSettings(model=str(folder)), key="features.image", blocks=(10, 21, 32), size=224)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BackboneError, match="is a model of type bert, and features"):
        loader.text(BackboneSettings(model=str(folder)), key="features.text")


def test_broken_weights_and_config(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    settings = PhotographsSettings(model=str(folder), blocks=(2,), size=None)
    whole = (folder / "config.json").read_text()
    (folder / "config.json").write_text(json.dumps({**json.loads(whole), "hidden_size": "wide"}))
    with pytest.raises(BackboneError, match=r"config\.json: .*hidden_size"):
        pictures_of(loader, settings)
    (folder / "config.json").write_text(json.dumps({**json.loads(whole), "hidden_size": 48}))
    with pytest.raises(BackboneError, match=r"43 weights of Dinov2Model.*is \[1, 1, 96\] and should be \[1, 1, 48\]"):
        pictures_of(loader, settings).load()
    (folder / "config.json").write_text(whole)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="dino"):
        pictures_of(loader, settings)


def test_pickle_only_folder_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin could run code, so it is never loaded"):
        loader.pictures(BackboneSettings(model=str(folder)), key="features.image", blocks=(2,), size=None)


def test_hash_survives_sharding_and_reloading(
    loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor]
) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    settings = PhotographsSettings(model=str(folder), blocks=(2,), size=None)
    first = pictures_of(loader, settings)
    model = Dinov2Model.from_pretrained(folder)
    model.save_pretrained(tmp_path / "shards", max_shard_size="300KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    (tmp_path / "shards" / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    sharded = pictures_of(loader, settings.model_copy(update={"model": str(tmp_path / "shards")}))
    assert sharded.spec.weights_sha256 == first.spec.weights_sha256
    pictures = draw_pixels(1, 3, 112, 112)
    assert torch.equal(sharded(pictures)[2]["cls"], first(pictures)[2]["cls"])
    with torch.no_grad():
        model.layernorm.bias[3] += 1e-7
    model.save_pretrained(tmp_path / "changed")
    changed = pictures_of(loader, settings.model_copy(update={"model": str(tmp_path / "changed")}))
    assert changed.spec.weights_sha256 != first.spec.weights_sha256


def test_decode_processes_need_not_wait_for_transformers(child_environment: dict[str, str]) -> None:
    modules = "weldcache.extract.pool.decode_process, weldcache.extract.features.photographs"
    found = f"import sys, {modules}; print('transformers' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", found], env=child_environment, check=True, capture_output=True)
    assert told.stdout.strip() == b"False"

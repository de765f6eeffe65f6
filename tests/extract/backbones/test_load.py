"""From settings to a frozen backbone: demo, local folder, wrong family, and what is left as it was."""

import json
import logging
import warnings
from pathlib import Path

import pytest
import torch
from transformers import Dinov2Model
from transformers.utils import logging as transformers_logging

from weldcache.configs.schema import AudioSettings, ImageSettings, TextSettings, VideoSettings
from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.pretrained import Placement, quiet_transformers
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import BackboneSpec


def _specs(loader: BackboneLoader) -> dict[str, BackboneSpec]:
    return {
        "video": loader.video(VideoSettings(model="demo", num_frames=4)).spec,
        "audio": loader.audio(AudioSettings(model="demo")).spec,
        "image": loader.image(ImageSettings(model="demo", blocks=(2, 4), size=None)).spec,
        "text": loader.text(TextSettings(model="demo")).spec,
    }


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


def test_demo_features_differ_between_seeds(loader: BackboneLoader, demo_folder: Path, placement: Placement) -> None:
    settings = ImageSettings(model="demo", blocks=(2,), size=None)
    pictures = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    other = BackboneLoader(placement=placement, demo_folder=demo_folder, demo_seed=1)
    assert (loader.image(settings)(pictures)["cls"] - other.image(settings)(pictures)["cls"]).abs().mean() > 0.1


def test_loading_moves_no_global_state(loader: BackboneLoader, capfd: pytest.CaptureFixture[str]) -> None:
    random_state = torch.random.get_rng_state()
    filters, level = list(warnings.filters), logging.getLogger().level
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    _specs(loader)
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
    message = r"audio\.model = .*text: is a model of type clip_text_model, and audio needs Audio Spectrogram"
    with pytest.raises(BackboneError, match=message):
        loader.audio(AudioSettings(model=str(folder)))
    with pytest.raises(
        BackboneError, match=r"image needs DINOv3 ViT or DINOv2; choose one, or `--set image\.model=demo"
    ):
        loader.image(ImageSettings(model=str(folder)))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BackboneError, match="is a model of type bert, and text needs CLIP"):
        loader.text(TextSettings(model=str(folder)))


def test_broken_weights_and_config(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    settings = ImageSettings(model=str(folder), blocks=(2,), size=None)
    whole = (folder / "config.json").read_text()
    (folder / "config.json").write_text(json.dumps({**json.loads(whole), "hidden_size": "wide"}))
    with pytest.raises(BackboneError, match=r"config\.json: .*hidden_size"):
        loader.image(settings)
    (folder / "config.json").write_text(json.dumps({**json.loads(whole), "hidden_size": 48}))
    with pytest.raises(BackboneError, match="cannot be loaded as Dinov2Model"):
        loader.image(settings)
    (folder / "config.json").write_text(whole)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match="dino"):
        loader.image(settings)


def test_pickle_only_folder_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"pytorch_model\.bin could run code, so it is never loaded"):
        loader.image(ImageSettings(model=str(folder), blocks=(2,), size=None))


def test_hash_survives_sharding_and_reloading(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dino", family="dinov2", seed=0)
    settings = ImageSettings(model=str(folder), blocks=(2,), size=None)
    first = loader.image(settings)
    model = Dinov2Model.from_pretrained(folder)
    model.save_pretrained(tmp_path / "shards", max_shard_size="300KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    (tmp_path / "shards" / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    sharded = loader.image(settings.model_copy(update={"model": str(tmp_path / "shards")}))
    assert sharded.spec.weights_sha256 == first.spec.weights_sha256
    pictures = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    assert torch.equal(sharded(pictures)["cls"], first(pictures)["cls"])
    with torch.no_grad():
        model.layernorm.bias[3] += 1e-7
    model.save_pretrained(tmp_path / "changed")
    changed = loader.image(settings.model_copy(update={"model": str(tmp_path / "changed")}))
    assert changed.spec.weights_sha256 != first.spec.weights_sha256

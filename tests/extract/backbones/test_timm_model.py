"""`timm:`: models of timm's own classes with random weights, where timm can be imported beside this torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.spec import ImageBackbone
from weldcache.extract.features.settings import BackboneSettings

MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
SIZE = 64
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "vit_tiny_patch16_224": {"img_size": SIZE, "depth": 2, "embed_dim": 24, "num_heads": 2},
    "convnext_atto": {},
}


@pytest.fixture(scope="module")
def timm() -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that is not for this torch
        pytest.skip(f"timm cannot be imported: {error}")
    return timm


def saved(model: Any, folder: Path, *, name: str, **values: object) -> str:
    """A folder as the hub has it of a model of timm."""
    stated = {"input_size": [3, SIZE, SIZE], "mean": MEAN, "std": STD, "num_classes": 10, **values}
    config = {"architecture": name, "num_classes": 10, "model_args": MODELS[name], "pretrained_cfg": stated}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return f"timm:{folder}"


def backbone_of(loader: BackboneLoader, model: str, *blocks: int | str, size: int | None = None) -> ImageBackbone:
    return loader.pictures(BackboneSettings(model=model), key="features.image", blocks=blocks or None, size=size)


@torch.inference_mode()
@pytest.mark.parametrize("name", list(MODELS))
def test_maps_are_those_of_the_model_run_by_hand(
    timm: Any, loader: BackboneLoader, tmp_path: Path, draw_pixels: Callable[..., Tensor], name: str
) -> None:
    model = timm.create_model(name, num_classes=10, **MODELS[name]).eval()
    pixels = draw_pixels(2, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    states = model.forward_intermediates((pixels / 255 - mean) / std, norm=False, intermediates_only=True)
    backbone = backbone_of(loader, saved(model, tmp_path, name=name), *range(1, len(states) + 1))
    made = backbone(pixels)
    for block, state in enumerate(states, start=1):
        tokens = state.flatten(2).transpose(1, 2)
        torch.testing.assert_close(made[block]["patch_tokens"], tokens, rtol=1e-4, atol=1e-4)
        assert ("cls" in made[block]) == name.startswith("vit")
        assert {array: tuple(values.shape[1:]) for array, values in made[block].items()} == backbone.shapes(block)
    assert backbone.flops() > 0 and backbone.spec.family == "timm" and "timm" in backbone.spec.output


def test_stages_have_the_names_of_timm(timm: Any, loader: BackboneLoader, tmp_path: Path) -> None:
    model = saved(timm.create_model("resnet18", num_classes=10), tmp_path, name="resnet18")
    assert backbone_of(loader, model, "layer4", "layer2").blocks == (3, 5)
    with pytest.raises(BackboneError, match=r"has 5 blocks, .* by name act1, layer1"):
        backbone_of(loader, model, "layer9")


def test_a_config_that_does_not_say_is_refused(timm: Any, loader: BackboneLoader, tmp_path: Path) -> None:
    model = timm.create_model("resnet18", num_classes=10)
    for values, message in (({"mean": None}, "mean must be"), ({"input_size": [3, 64, 32]}, "square")):
        with pytest.raises(BackboneError, match=message):
            backbone_of(loader, saved(model, tmp_path, name="resnet18", **values))
    whole = json.loads((tmp_path / "config.json").read_text())
    for values, message in (
        ({"architecture": "hf-hub:someone/model"}, "someone/model"),
        ({"architecture": "no_such_model"}, "no_such_model"),
        ({"model_args": {"checkpoint_path": "/tmp/model.pth"}}, "checkpoint_path"),
        ({"model_args": {"no_such_argument": 1}}, "no_such_argument"),
    ):
        (tmp_path / "config.json").write_text(
            json.dumps({**whole, "pretrained_cfg": {**whole["pretrained_cfg"], "input_size": [3, SIZE, SIZE]}} | values)
        )
        with pytest.raises(BackboneError, match=message):
            backbone_of(loader, f"timm:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    with pytest.raises(BackboneError, match=r"config\.json: is not that of a model of timm"):
        backbone_of(loader, f"timm:{tmp_path}")


def test_what_cannot_be_imported_is_told(loader: BackboneLoader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(BackboneError, match=r"features\.image\.model = timm:resnet18: .*\.\[timm\]"):
        backbone_of(loader, "timm:resnet18")

"""EfficientNet-Lite: the published shape and names, stages as blocks, TensorFlow's padding, frozen statistics."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from weldcache.errors import BackboneError
from weldcache.extract.backbones.convolution import FrozenNorm, SameConvolution
from weldcache.extract.backbones.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import ImageBackbone
from weldcache.extract.features.settings import BackboneSettings


def backbone_of(
    loader: BackboneLoader, *blocks: int, size: int | None = None, model: str = "demo-efficientnet_lite"
) -> ImageBackbone:
    return loader.pictures(BackboneSettings(model=model), key="features.image", blocks=blocks or None, size=size)


def lite0() -> EfficientNetLite:
    with torch.device("meta"):
        return EfficientNetLite(EfficientNetLiteConfig())


def test_lite0_has_the_published_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in lite0().parameters()) == 4_652_008


def test_parameters_have_the_names_and_shapes_of_timm() -> None:
    shapes = {name: tuple(values.shape) for name, values in lite0().state_dict().items()}
    assert len(shapes) == 247
    assert {name: shapes[name] for name in shapes if name.startswith("blocks.0.0") and "weight" in name} == {
        "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
        "blocks.0.0.bn1.weight": (32,),
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.0.0.bn2.weight": (16,),
    }
    for name, shape in {
        "conv_stem.weight": (32, 3, 3, 3),
        "bn1.running_var": (32,),
        "blocks.2.1.conv_dw.weight": (240, 1, 5, 5),
        "blocks.5.3.conv_pwl.weight": (192, 1152, 1, 1),
        "blocks.6.0.bn3.running_mean": (320,),
        "conv_head.weight": (1280, 320, 1, 1),
        "bn2.bias": (1280,),
        "classifier.weight": (1000, 1280),
    }.items():
        assert shapes[name] == shape


@pytest.mark.parametrize(("size", "stride"), [(8, 2), (7, 2), (9, 1)])
def test_padding_is_that_of_tensorflow(size: int, stride: int) -> None:
    """SAME: as many outputs as strides, rounded up; an odd pixel of padding is at the end."""
    convolution = SameConvolution(1, 1, kernel=3, stride=stride)
    picture = torch.randn(1, 1, size, size, generator=torch.Generator().manual_seed(0))
    before = 1 if size % 2 or stride == 1 else 0
    expected = functional.conv2d(functional.pad(picture, [before, 1, before, 1]), convolution.weight, stride=stride)
    assert torch.equal(convolution(picture), expected)
    assert expected.shape[-1] == -(-size // stride)


def test_statistics_are_frozen_whatever_the_mode() -> None:
    norm = FrozenNorm(2).train()
    norm.running_mean.copy_(torch.tensor([1.0, 2.0]))
    maps = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = (maps - torch.tensor([1.0, 2.0])[:, None, None]) / (1 + 1e-3) ** 0.5
    torch.testing.assert_close(norm(maps), expected)
    assert norm.running_mean.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("size", [112, 65])
def test_stages_are_blocks_of_the_stated_shapes(
    loader: BackboneLoader, draw_pixels: Callable[..., Tensor], size: int
) -> None:
    backbone = backbone_of(loader, *range(1, 8), size=size)
    made = backbone(draw_pixels(2, 3, size, size))
    for block, arrays in made.items():
        assert {name: tuple(values.shape[1:]) for name, values in arrays.items()} == backbone.shapes(block)
        tokens = arrays["patch_tokens"]
        torch.testing.assert_close(arrays["mean"], tokens.mean(dim=1))
        torch.testing.assert_close(arrays["std"], tokens.std(dim=1, correction=0))
        assert 0.05 < tokens.std() < 20  # random weights, too, let through what is seen
    assert [backbone.shapes(block)["patch_tokens"][1] for block in made] == [16, 24, 32, 48, 64, 80, 96]


def test_tokens_are_by_rows(loader: BackboneLoader) -> None:
    """What is bright at the top right alone changes the ends of the first rows."""
    dark = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    bright = dark.clone()
    bright[..., :8, -8:] = 255
    backbone = backbone_of(loader, 1, size=128)
    change = (backbone(bright)[1]["patch_tokens"] - backbone(dark)[1]["patch_tokens"]).abs().sum(dim=-1)[0]
    row, column = divmod(int(change.argmax()), 64)
    assert row < 6 and column > 57


def test_deeper_stages_are_not_run(loader: BackboneLoader, draw_pixels: Callable[..., Tensor]) -> None:
    pixels = draw_pixels(1, 3, 64, 64)
    shallow, deep = backbone_of(loader, 2, size=64), backbone_of(loader, 2, 7, size=64)
    assert torch.equal(shallow(pixels)[2]["mean"], deep(pixels, blocks=(2,))[2]["mean"])
    assert shallow.flops() == deep.flops(blocks=(2,)) < deep.flops()
    assert deep.shapes(7)["mean"] == (96,) and backbone_of(loader).blocks == (7,)


def test_a_stage_that_is_not_there_is_refused(loader: BackboneLoader) -> None:
    with pytest.raises(BackboneError, match=r"has 7 blocks.*features\.image"):
        backbone_of(loader, 10)


@pytest.mark.parametrize("wrong", [{"stage_channels": [16, 24]}, {"stage_repeats": [0] * 7}, {"stem_channels": "few"}])
def test_a_configuration_that_makes_no_sense_is_refused(
    loader: BackboneLoader, tmp_path: Path, wrong: dict[str, object]
) -> None:
    folder = demo_backbone_folder(tmp_path / "lite", family="efficientnet_lite", seed=0)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **wrong}))
    with pytest.raises(BackboneError, match=r"config\.json"):
        backbone_of(loader, 7, model=str(folder))


def test_statistics_in_memory_are_not_those_of_the_file(loader: BackboneLoader, tmp_path: Path) -> None:
    """A file that is written to in place must not change a model that is running."""
    folder = demo_backbone_folder(tmp_path / "lite", family="efficientnet_lite", seed=0)
    backbone = backbone_of(loader, 1, size=64, model=str(folder))
    pixels = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    before = backbone(pixels)[1]["mean"]
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(bytes(weights.stat().st_size // 2))
    assert torch.equal(backbone(pixels)[1]["mean"], before)

"""Photographs and frames through one model: one set of weights, whose blocks neither notices of the other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from weldcache.configs.schema import FramesSettings, ImageSettings
from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folder of each model that is loaded."""
    from_pretrained, folders = PreTrainedModel.from_pretrained, []
    monkeypatch.setattr(
        PreTrainedModel,
        "from_pretrained",
        classmethod(lambda cls, folder, **k: folders.append(folder) or from_pretrained.__func__(cls, folder, **k)),
    )
    return folders


@pytest.mark.parametrize("block", [1, 4])
def test_one_model_is_loaded_once(
    loader: BackboneLoader, loaded: list[Path], draw_pixels: Callable[..., Tensor], block: int
) -> None:
    image, frames = (
        ImageSettings(model="demo", blocks=(1, 3), size=112),
        FramesSettings(model="demo", block=block, size=64),
    )
    together = loader.image_and_frames(image, frames)
    for backbone in together:
        backbone.load()
    assert len(loaded) == 1
    alone = loader.image(image), loader.frames(frames)
    for mine, theirs, side in zip(together, alone, (112, 64), strict=True):
        assert (mine.spec, mine.blocks, mine.num_patches) == (theirs.spec, theirs.blocks, theirs.num_patches)
        pixels = draw_pixels(2, 3, side, side)
        for number, features in mine(pixels).items():
            assert all(torch.equal(values, theirs(pixels)[number][name]) for name, values in features.items())
        assert mine.flops() == theirs.flops()


def test_two_models_are_two(loader: BackboneLoader, loaded: list[Path], tmp_path: Path) -> None:
    other = demo_backbone_folder(tmp_path / "other", family="dinov2", seed=3)
    image, frames = ImageSettings(model="demo", blocks=(1,)), FramesSettings(model=str(other), block=1)
    for backbone in loader.image_and_frames(image, frames):
        backbone.load()
    assert len(loaded) == 2


def test_no_block_is_the_last(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dinov2", family="dinov2", seed=0)
    with pytest.raises(
        BackboneError, match=r"has (\d+) blocks, counted from 1, and frames\.block asks for \[99\]"
    ) as found:
        loader.frames(FramesSettings(model=str(folder), block=99))
    depth = int(str(found.value).split(" blocks")[0].rsplit(" ", 1)[1])
    assert loader.frames(FramesSettings(model=str(folder))).blocks == (depth,)


def test_another_kind_of_model_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "text", family="clip_text", seed=0)
    with pytest.raises(BackboneError, match=r"frames needs DINOv3 ViT or DINOv2; .*`--set frames\.model=demo"):
        loader.frames(FramesSettings(model=str(folder)))

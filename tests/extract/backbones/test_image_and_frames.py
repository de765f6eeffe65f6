"""Photographs and frames through one model: one set of weights, whose blocks neither notices of the other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import Placement
from weldcache.extract.backbones.vision_transformer import VisionTransformer
from weldcache.extract.features.settings import BackboneSettings


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


@pytest.fixture
def sharing(placement: Placement, demo_folder: Path) -> BackboneLoader:
    return BackboneLoader(placement=placement, demo_folder=demo_folder, demo_seed=0)


def pictures_of(loader: BackboneLoader, *blocks: int, size: int, model: str = "demo") -> VisionTransformer:
    return loader.pictures(BackboneSettings(model=model), key="features.image", blocks=blocks, size=size)


@pytest.mark.parametrize("block", [1, 4])
def test_one_model_is_loaded_once(
    sharing: BackboneLoader,
    loader: BackboneLoader,
    loaded: list[Path],
    draw_pixels: Callable[..., Tensor],
    block: int,
) -> None:
    asked: list[dict[str, Any]] = [{"blocks": (1, 3), "size": 112}, {"blocks": (block,), "size": 64}]
    together = [pictures_of(sharing, *one["blocks"], size=one["size"]) for one in asked]
    for backbone in together:
        backbone.load()
    assert len(loaded) == 1
    alone = [pictures_of(loader, *one["blocks"], size=one["size"]) for one in asked]
    for mine, theirs, side in zip(together, alone, (112, 64), strict=True):
        assert (mine.spec, mine.blocks, mine.num_patches) == (theirs.spec, theirs.blocks, theirs.num_patches)
        pixels = draw_pixels(2, 3, side, side)
        for number, features in mine(pixels).items():
            assert all(torch.equal(values, theirs(pixels)[number][name]) for name, values in features.items())
        assert mine.flops() == theirs.flops()


def test_two_models_are_two(sharing: BackboneLoader, loaded: list[Path], tmp_path: Path) -> None:
    other = demo_backbone_folder(tmp_path / "other", family="dinov2", seed=3)
    for model in ("demo", str(other)):
        pictures_of(sharing, 1, size=112, model=model).load()
    assert len(loaded) == 2


def test_a_deeper_block_than_what_is_in_memory_is_loaded_anew(sharing: BackboneLoader, loaded: list[Path]) -> None:
    pictures_of(sharing, 1, size=112).load()
    assert pictures_of(sharing, 3, size=112)(torch.zeros((1, 3, 112, 112), dtype=torch.uint8)).keys() == {3}
    pictures_of(sharing, 2, size=112).load()
    assert len(loaded) == 2


def test_films_of_two_sizes_are_not_taken_for_one_model(sharing: BackboneLoader, loaded: list[Path]) -> None:
    """V-JEPA 2's positions depend on the size of its input."""
    demo = BackboneSettings(model="demo")
    for frames, size in ((4, 64), (8, 64), (4, 96)):
        sharing.clips(demo, key="features.video", num_frames=frames, size=size).load()
    assert len(loaded) == 2


def test_no_block_is_the_last(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "dinov2", family="dinov2", seed=0)
    with pytest.raises(
        BackboneError, match=r"has (\d+) blocks, counted from 1, and features\.frames asks for \[99\]"
    ) as found:
        loader.pictures(BackboneSettings(model=str(folder)), key="features.frames", blocks=(99,), size=224)
    depth = int(str(found.value).split(" blocks")[0].rsplit(" ", 1)[1])
    assert loader.pictures(
        BackboneSettings(model=str(folder)), key="features.frames", blocks=None, size=224
    ).blocks == (depth,)


def test_another_kind_of_model_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    folder = demo_backbone_folder(tmp_path / "text", family="clip_text", seed=0)
    with pytest.raises(BackboneError, match=r"needs DINOv3 ViT, DINOv2 .*`--set features\.frames\.model=demo"):
        loader.pictures(BackboneSettings(model=str(folder)), key="features.frames", blocks=None, size=224)

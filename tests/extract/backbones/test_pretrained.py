"""Weights come late, once, whole, as they were hashed, in one copy; and attention is PyTorch's own."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from weldcache.errors import BackboneError
from weldcache.extract.backbones import pretrained
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.backbones.spec import Family
from weldcache.extract.backbones.vision_transformer import VisionTransformer
from weldcache.extract.features.settings import (
    BackboneSettings,
    PhotographsSettings,
)

Run = Callable[[], object]


def pictures_of(loader: BackboneLoader, settings: PhotographsSettings) -> VisionTransformer:
    return loader.pictures(settings, key="features.image", blocks=settings.blocks, size=settings.size)


@pytest.fixture
def pictures(draw_pixels: Callable[..., Tensor]) -> Tensor:
    return draw_pixels(2, 3, 112, 112)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo DINOv3, which is not to be changed."""
    return demo_backbone_folder(tmp_path_factory.mktemp("drawn") / "dino", family="dinov3", seed=4)


@pytest.fixture
def folder(drawn: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "dino"))


@pytest.fixture
def settings(folder: Path) -> PhotographsSettings:
    return PhotographsSettings(model=str(folder), blocks=(2,), size=None)


@pytest.fixture
def runs(loader: BackboneLoader, draw_pixels: Callable[..., Tensor], demo_folder: Path) -> dict[Family, Run]:
    """One call of each family's demo model."""
    dinov2 = demo_backbone_folder(demo_folder / "dinov2", family="dinov2", seed=0)
    video = loader.clips(BackboneSettings(model="demo"), key="features.video", num_frames=4, size=None)
    audio = loader.sound(BackboneSettings(model="demo"), key="features.audio")
    dino3 = loader.pictures(BackboneSettings(model="demo"), key="features.image", blocks=(3,), size=None)
    dino2 = loader.pictures(BackboneSettings(model=str(dinov2)), key="features.image", blocks=(3,), size=None)
    text = loader.text(BackboneSettings(model="demo"), key="features.text")
    return {
        "vjepa2": lambda: video(draw_pixels(1, 4, 3, 64, 64)),
        "ast": lambda: audio(torch.zeros(1, 1024, 128)),
        "dinov3": lambda: dino3(draw_pixels(1, 3, 112, 112)),
        "dinov2": lambda: dino2(draw_pixels(1, 3, 112, 112)),
        "clip_text": lambda: text("a weld"),
    }


@pytest.mark.parametrize(
    ("family", "num_blocks"), [("vjepa2", 4), ("ast", 2), ("dinov3", 3), ("dinov2", 3), ("clip_text", 2)]
)
def test_every_block_attends_through_pytorch(
    family: Family, num_blocks: int, runs: dict[Family, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    attend, calls = torch.nn.functional.scaled_dot_product_attention, []

    def count(*arguments: Tensor, **options: object) -> Tensor:
        calls.append(arguments)
        return attend(*arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", count)
    runs[family]()
    assert len(calls) == num_blocks


def test_the_configuration_says_so(loader: BackboneLoader, settings: PhotographsSettings) -> None:
    for model in (
        loader.clips(BackboneSettings(model="demo"), key="features.video", num_frames=32, size=None)._encoder,
        loader.sound(BackboneSettings(model="demo"), key="features.audio")._model,
        loader.text(BackboneSettings(model="demo"), key="features.text")._model,
    ):
        assert model.get().config._attn_implementation == "sdpa"
        assert model.outline().config._attn_implementation == "sdpa"
    trunk = pictures_of(loader, settings)._trunk
    assert trunk.get().blocks[0].attention.config._attn_implementation == "sdpa"


def test_weights_that_changed_after_the_description_are_refused(
    loader: BackboneLoader, folder: Path, settings: PhotographsSettings, pictures: Tensor
) -> None:
    backbone = pictures_of(loader, settings)
    weights = load_file(folder / "model.safetensors")
    save_file({name: 2 * weight for name, weight in weights.items()}, folder / "model.safetensors")
    for _ in range(2):
        with pytest.raises(BackboneError, match=r"model\.safetensors: changed after its hash was taken"):
            backbone(pictures)
    anew = pictures_of(loader, settings)
    anew.load()
    assert anew.spec.weights_sha256 != backbone.spec.weights_sha256


def test_weights_of_another_shape_are_named_with_both_shapes(
    loader: BackboneLoader, folder: Path, settings: PhotographsSettings
) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(weights) if weights[name].ndim == 2)
    rows, columns = weights[name].shape
    save_file({**weights, name: torch.zeros(rows + 1, columns)}, folder / "model.safetensors")
    with pytest.raises(
        BackboneError, match=rf"1 weight .* is \[{rows + 1}, {columns}\] and should be \[{rows}, "
    ) as error:
        pictures_of(loader, settings).load()
    assert str(folder) in str(error.value) and "ignore_mismatched" not in str(error.value)


def test_weights_that_change_while_they_are_loaded_are_refused(
    loader: BackboneLoader, folder: Path, settings: PhotographsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, load_pretrained = (
        pictures_of(loader, settings),
        pretrained.load_pretrained,
    )

    def load_and_replace(*arguments: object, **options: object) -> object:
        loaded = load_pretrained(*arguments, **options)  # type: ignore[type-var, arg-type]
        shutil.copy(folder / "model.safetensors", folder / "new")
        (folder / "new").replace(folder / "model.safetensors")
        return loaded

    monkeypatch.setattr(pretrained, "load_pretrained", load_and_replace)
    with pytest.raises(BackboneError, match="changed after its hash was taken"):
        backbone.load()


def test_weights_in_memory_are_not_the_files(
    loader: BackboneLoader, folder: Path, settings: PhotographsSettings, pictures: Tensor
) -> None:
    # A float32 model is first mapped from its file, and whoever copies another model over it writes into that map.
    backbone = pictures_of(loader, settings)
    before = backbone(pictures)[2]["cls"]
    length = (folder / "model.safetensors").stat().st_size
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(bytes(length))
    assert torch.equal(backbone(pictures)[2]["cls"], before)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(0)
    assert torch.equal(backbone(pictures)[2]["cls"], before)


def test_a_device_that_is_too_small(
    loader: BackboneLoader, settings: PhotographsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(pretrained, "_own", run_out)
    with pytest.raises(BackboneError, match=r"dino: does not fit in the memory of cpu\. .*extract\.precision"):
        pictures_of(loader, settings).load()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_reduced_precision_keeps_no_float32_copy(
    dtype: torch.dtype, loader_of: Callable[[torch.dtype], BackboneLoader]
) -> None:
    def matrices() -> int:
        gc.collect()
        alive = (item for item in gc.get_objects() if type(item) in (Tensor, torch.nn.Parameter))
        return sum(tensor.dtype == torch.float32 and tensor.ndim > 1 and not tensor.is_meta for tensor in alive)

    before = matrices()
    backbone = loader_of(dtype).clips(BackboneSettings(model="demo"), key="features.video", num_frames=32, size=None)
    backbone.load()
    assert {parameter.dtype for parameter in backbone._encoder.get().parameters()} == {dtype}
    assert matrices() == before


def test_what_is_not_run_is_not_kept(loader: BackboneLoader) -> None:
    def predictors() -> int:
        gc.collect()
        return sum(type(item).__name__ == "VJEPA2Predictor" for item in gc.get_objects())

    before = predictors()
    backbone = loader.clips(BackboneSettings(model="demo"), key="features.video", num_frames=32, size=None)
    backbone.load()
    backbone.flops()
    assert predictors() == before

"""Floating-point operations: by hand, the same on every device, and the published models' known figures."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import ASTConfig, PreTrainedConfig

from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import architecture
from weldcache.extract.backbones.spec import Placement, count_flops
from weldcache.extract.features.settings import BackboneSettings


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> BackboneLoader:
    placement = Placement(device=torch.device("cpu"), dtype=torch.float32)
    return BackboneLoader(placement=placement, demo_folder=tmp_path_factory.mktemp("demo"), demo_seed=0)


def _checkpoint(folder: Path, config: PreTrainedConfig) -> str:
    """A model whose weights nobody has: the count must not need them."""
    config.save_pretrained(folder)
    save_file({"none": torch.zeros(1)}, folder / "model.safetensors")
    return str(folder)


def _full(folder: Path, family: str) -> str:
    return _checkpoint(folder, architecture(family, scale="full", end_token=513))  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_by_hand(device: str) -> None:
    linear = nn.Linear(16, 32, device=device)
    assert count_flops(linear, torch.empty(3, 5, 16, device=device)) == 2 * 3 * 5 * 16 * 32
    patches = nn.Conv2d(3, 8, kernel_size=4, stride=4, device=device)
    assert count_flops(patches, torch.empty(2, 3, 16, 16, device=device)) == 2 * (2 * 4 * 4) * 8 * (3 * 4 * 4)
    with torch.inference_mode():
        assert count_flops(linear, torch.empty(16, device=device)) == 2 * 16 * 32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("inference", [False, True])
def test_attention_by_hand(dtype: torch.dtype, device: str, inference: bool) -> None:
    query = torch.zeros(2, 3, 7, 8, dtype=dtype, device=device)
    key = value = torch.zeros(2, 3, 11, 8, dtype=dtype, device=device)
    with torch.inference_mode(inference):
        count = count_flops(nn.functional.scaled_dot_product_attention, query, key, value)
    assert count == 2 * (2 * 3) * (7 * 8 * 11 + 7 * 11 * 8)  # queries by keys, then scores by values


def test_a_call_is_counted_with_its_options() -> None:
    def repeat(matrix: Tensor, *, times: int) -> list[Tensor]:
        return [matrix @ matrix for _ in range(times)]

    assert count_flops(repeat, torch.zeros(4, 4), times=3) == 3 * 2 * 4**3


def test_what_is_said_is_what_is_done(loader: BackboneLoader) -> None:
    video = loader.clips(BackboneSettings(model="demo"), key="features.video", num_frames=4, size=None)
    audio = loader.sound(BackboneSettings(model="demo"), key="features.audio")
    image = loader.pictures(BackboneSettings(model="demo"), key="features.image", blocks=(2, 4), size=None)
    pictures = torch.zeros(3, 3, 112, 112, dtype=torch.uint8)
    assert count_flops(video, torch.zeros(2, 4, 3, 64, 64, dtype=torch.uint8)) == 2 * video.flops()
    assert count_flops(audio, torch.zeros(2, 1024, 128)) == 2 * audio.flops()
    assert count_flops(image, pictures) == 3 * image.flops()
    assert count_flops(image, pictures, blocks=(2,)) == 3 * image.flops(blocks=(2,)) < 3 * image.flops()


def test_dinov3_huge_plus(loader: BackboneLoader, tmp_path: Path) -> None:
    image = loader.pictures(
        BackboneSettings(model=_full(tmp_path, "dinov3")), key="features.image", blocks=(10, 21, 32), size=224
    )
    assert image.flops() == pytest.approx(0.344e12, rel=0.02)
    assert image.flops(blocks=(10, 21)) / image.flops() == pytest.approx(21 / 32, rel=0.01)


@pytest.mark.parametrize(("num_frames", "tera"), [(16, 1.66), (32, 4.14), (64, 11.57)])
def test_vjepa2_large(num_frames: int, tera: float, loader: BackboneLoader, tmp_path: Path) -> None:
    video = loader.clips(
        BackboneSettings(model=_full(tmp_path, "vjepa2")), key="features.video", num_frames=num_frames, size=None
    )
    assert video.flops() == pytest.approx(tera * 1e12, rel=0.02)


def test_ast(loader: BackboneLoader, tmp_path: Path) -> None:
    dense = loader.sound(
        BackboneSettings(model=_checkpoint(tmp_path / "10", ASTConfig())), key="features.audio"
    )  # a patch every 10 frames
    assert dense.flops() == pytest.approx(0.261e12, rel=0.02)
    sparse = loader.sound(BackboneSettings(model=_full(tmp_path / "14", "ast")), key="features.audio")
    tokens, dim, blocks = 2 + 9 * 73, 768, 12
    block = 2 * tokens * (4 * dim * dim + 2 * dim * 4 * dim) + 4 * tokens * tokens * dim
    assert sparse.flops() == 2 * (tokens - 2) * 16 * 16 * dim + blocks * block

"""V-JEPA 2: tubelet tokens of the encoder, at the right positions whatever the input's size."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import VJEPA2Config, VJEPA2Model

from weldcache.errors import BackboneError
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.preprocessing import PixelPreprocessing
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.features.settings import BackboneSettings, FilmSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_backbone_folder(tmp_path_factory.mktemp("models") / "vjepa2", family="vjepa2", seed=4)


@pytest.fixture
def clips(draw_pixels: Callable[..., Tensor]) -> Tensor:
    return draw_pixels(3, 8, 3, 64, 64)


def _reference(folder: Path, clips: Tensor, *, side: int) -> Tensor:
    """Transformers' own forward, predictor skipped, with rotary positions for `side` pixels."""
    config = VJEPA2Config.from_pretrained(folder, crop_size=side)
    model = VJEPA2Model.from_pretrained(folder, config=config).eval()
    with torch.no_grad():
        tokens = model(PixelPreprocessing(side).normalise(clips), skip_predictor=True).last_hidden_state
    return tokens.reshape(len(clips), clips.shape[1] // 2, -1, tokens.shape[-1]).mean(dim=2)


def test_tokens_are_the_encoders(folder: Path, loader: BackboneLoader, clips: Tensor) -> None:
    backbone = loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=None)
    tokens = backbone(clips)["tokens"]
    assert tokens.shape == (3, backbone.num_tokens, backbone.dim) == (3, 4, 96)
    assert not tokens.requires_grad
    torch.testing.assert_close(tokens, _reference(folder, clips, side=64))


def test_embedding_is_the_mean_over_all_tokens(folder: Path, loader: BackboneLoader, clips: Tensor) -> None:
    encoded = loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=None)(clips)
    assert encoded["embedding"].shape == (3, 96)
    torch.testing.assert_close(encoded["embedding"], _reference(folder, clips, side=64).mean(dim=1))


def test_positions_follow_the_size(folder: Path, loader: BackboneLoader, draw_pixels: Callable[..., Tensor]) -> None:
    clips = draw_pixels(1, 8, 3, 96, 96)
    backbone = loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=96)
    assert backbone.spec.preprocessing["size"] == 96
    tokens = backbone(clips)["tokens"]
    torch.testing.assert_close(tokens, _reference(folder, clips, side=96))
    # With the configured side, rows would wrap at the wrong patch.
    assert (tokens - _reference(folder, clips, side=64)).abs().max() > 1e-2


def test_content_batch_and_determinism(folder: Path, loader: BackboneLoader, clips: Tensor) -> None:
    backbone = loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=None)
    tokens = backbone(clips)["tokens"]
    assert torch.equal(tokens, backbone(clips)["tokens"])
    torch.testing.assert_close(tokens[1:2], backbone(clips[1:2])["tokens"], atol=1e-4, rtol=1e-4)
    assert (tokens[0] - tokens[1]).abs().mean() > 0.01


def test_time_is_told_apart(folder: Path, loader: BackboneLoader, clips: Tensor) -> None:
    backbone = loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=None)
    changed = clips.clone()
    changed[:, 4:6] = 255 - changed[:, 4:6]
    difference = (backbone(clips)["tokens"] - backbone(changed)["tokens"]).abs().mean(dim=(0, 2))
    assert difference.argmax() == 2


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 5e-2)])
def test_reduced_precision(
    dtype: torch.dtype,
    tolerance: float,
    folder: Path,
    loader: BackboneLoader,
    loader_of: Callable[[torch.dtype], BackboneLoader],
    clips: Tensor,
) -> None:
    settings = FilmSettings(model=str(folder), num_frames=8)
    exact, rounded = (
        loader.clips(settings, key="features.video", num_frames=settings.num_frames, size=settings.size),
        loader_of(dtype).clips(settings, key="features.video", num_frames=settings.num_frames, size=settings.size),
    )
    for name, values in rounded(clips).items():
        assert values.dtype == torch.float32  # both are means
        error = (values - exact(clips)[name]).square().mean().sqrt() / exact(clips)[name].std()
        assert 0 < error < tolerance, name
    assert exact.spec.arithmetic == "float32"
    assert rounded.spec.arithmetic == str(dtype).removeprefix("torch.")


def test_the_predictor_may_be_absent_but_no_weight_of_the_encoder(
    folder: Path, loader: BackboneLoader, clips: Tensor, tmp_path: Path
) -> None:
    weights = load_file(folder / "model.safetensors")
    for name in ("config.json", "video_preprocessor_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    encoder = {name: weight for name, weight in weights.items() if name.startswith("encoder.")}
    save_file(encoder, tmp_path / "model.safetensors", metadata={"format": "pt"})
    settings = FilmSettings(model=str(tmp_path), num_frames=8)
    bare, whole = (
        loader.clips(settings, key="features.video", num_frames=settings.num_frames, size=settings.size),
        loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=8, size=None),
    )
    assert torch.equal(bare(clips)["tokens"], whole(clips)["tokens"])
    assert not bare.spec.random_weights  # no marker was copied

    del encoder["encoder.layer.2.mlp.fc1.weight"]
    save_file(encoder, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"lacks 1 weights of VJEPA2Model, encoder\.layer\.2\.mlp\.fc1\.weight"):
        loader.clips(settings, key="features.video", num_frames=settings.num_frames, size=settings.size).load()


def test_sizes_that_do_not_fit(folder: Path, loader: BackboneLoader, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="size = 100 is not a multiple of 16; 96 is"):
        loader.clips(BackboneSettings(model=str(folder)), key="features.video", num_frames=32, size=100)
    config = VJEPA2Config(tubelet_size=4, hidden_size=48, num_hidden_layers=1, num_attention_heads=2)
    config.save_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(BackboneError, match="joins every 4 frames to a tubelet, and num_frames = 6"):
        loader.clips(BackboneSettings(model=str(tmp_path)), key="features.video", num_frames=6, size=None)

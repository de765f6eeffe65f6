"""AST: time tokens in order, its own spectrogram and statistics, and no token for what is only padding."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import ASTConfig, ASTForAudioClassification, ASTModel

from weldcache.errors import BackboneError
from weldcache.extract.backbones.audio_spectrogram import (
    AudioSpectrogramTransformer,
    SpectrogramPreparation,
    published_extractor,
)
from weldcache.extract.backbones.checkpoint import MARKER_FILE
from weldcache.extract.backbones.load import BackboneLoader
from weldcache.extract.backbones.random_backbone import demo_backbone_folder
from weldcache.extract.decode.decoded import AudioWindows
from weldcache.extract.features.settings import BackboneSettings

WINDOW = 163_840  # samples in 10.24 s


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo_backbone_folder(tmp_path_factory.mktemp("models") / "ast", family="ast", seed=4)


@pytest.fixture(scope="module")
def backbone(folder: Path, loader: BackboneLoader) -> AudioSpectrogramTransformer:
    return loader.sound(BackboneSettings(model=str(folder)), key="features.audio")


@pytest.fixture
def spectrograms() -> Tensor:
    return 0.5 * torch.randn(2, 1024, 128, generator=torch.Generator().manual_seed(0))


def _windows(*waveforms: np.ndarray) -> AudioWindows:
    samples = np.zeros((len(waveforms), WINDOW), dtype=np.float32)
    for row, waveform in zip(samples, waveforms, strict=True):
        row[: len(waveform)] = waveform
    return AudioWindows(samples, np.array([len(waveform) for waveform in waveforms], dtype=np.int64))


def _tone(hertz: float, *, seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16_000)) / 16_000)).astype(np.float32)


def test_spectrogram_is_time_by_mel(backbone: AudioSpectrogramTransformer) -> None:
    low_then_high = np.concatenate([_tone(200, seconds=5.12), _tone(4000, seconds=5.12)])
    prepared = backbone.preparation(_windows(low_then_high))
    assert prepared.shape == (1, 1024, 128)
    assert prepared.dtype == torch.float32
    loudest = prepared[0].argmax(dim=1)
    assert (loudest[10:500] < 30).all()
    assert (loudest[525:1010] > 70).all()


def test_own_statistics_are_applied(folder: Path, loader: BackboneLoader, tmp_path: Path) -> None:
    values = json.loads((folder / "preprocessor_config.json").read_text())
    for name in ("config.json", "model.safetensors", MARKER_FILE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    windows = _windows(_tone(440, seconds=10.24))

    published = loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")
    assert published.spec.preprocessing["mean"] == -4.2677393
    assert published.spec.preprocessing["std"] == 4.5689974
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**values, "mean": 0.0, "std": 0.5}))
    raw = loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")
    expected = (raw.preparation(windows) + 4.2677393) / (2 * 4.5689974)
    torch.testing.assert_close(published.preparation(windows), expected)

    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**values, "num_mel_bins": 64}))
    with pytest.raises(BackboneError, match="num_mel_bins is 64 where the model needs 128"):
        loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**values, "sampling_rate": 8000}))
    with pytest.raises(BackboneError, match="sampling_rate is 8000"):
        loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")


def test_padding_is_the_extractors(backbone: AudioSpectrogramTransformer) -> None:
    prepared = backbone.preparation(_windows(_tone(440, seconds=2.0), _tone(440, seconds=0.01)))
    padding = (0 + 4.2677393) / (2 * 4.5689974)  # log-mel 0, normalised: not the logarithm of silence
    torch.testing.assert_close(prepared[0, 198:], torch.full((1024 - 198, 128), padding))
    assert (prepared[0, :198] != padding).any(dim=1).all()
    torch.testing.assert_close(prepared[1, 1:], torch.full((1023, 128), padding))


@pytest.mark.parametrize(("stride", "num_time", "num_mel"), [(14, 73, 9), (10, 101, 12)])
def test_a_token_sees_its_own_time(
    stride: int, num_time: int, num_mel: int, loader: BackboneLoader, tmp_path: Path, spectrograms: Tensor
) -> None:
    # Without attention a token depends on its own patch alone, so the change shows exactly which tokens are which.
    config = ASTConfig(
        hidden_size=12,
        num_hidden_layers=0,
        num_attention_heads=2,
        time_stride=stride,
        frequency_stride=stride,
    )
    model = ASTModel(config)
    assert model.embeddings.position_embeddings.shape[1] == 2 + num_time * num_mel
    model.save_pretrained(tmp_path)
    backbone = loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")
    assert backbone.num_tokens == num_time
    changed = spectrograms.clone()
    changed[:, 500:510] += 1.0
    before, after = backbone(spectrograms)["tokens"], backbone(changed)["tokens"]
    assert before.shape == (2, num_time, 12)
    touched = [token for token in range(num_time) if token * stride < 510 and token * stride + 16 > 500]
    assert (before - after).abs().amax(dim=(0, 2)).nonzero().flatten().tolist() == touched


def test_tokens_and_embedding_are_the_models(
    folder: Path, backbone: AudioSpectrogramTransformer, spectrograms: Tensor
) -> None:
    model = ASTModel.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model(spectrograms)
    encoded = backbone(spectrograms)
    torch.testing.assert_close(encoded["embedding"], output.pooler_output)
    grid = output.last_hidden_state[:, 2:].reshape(2, 8, 64, 96)  # 8 rows of mel, 64 columns of time
    torch.testing.assert_close(encoded["tokens"], grid.mean(dim=1))
    torch.testing.assert_close(encoded["tokens"][1:], backbone(spectrograms[1:])["tokens"], atol=1e-4, rtol=1e-4)
    assert (encoded["tokens"][0] - encoded["tokens"][1]).abs().mean() > 0.01


def test_a_classifiers_checkpoint_is_accepted(loader: BackboneLoader, tmp_path: Path, spectrograms: Tensor) -> None:
    # The published checkpoints are those of a classifier: a prefix before each name, and a head that is not needed.
    config = ASTConfig(hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, num_labels=3)
    classifier = ASTForAudioClassification(config).eval()
    classifier.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = classifier.audio_spectrogram_transformer(spectrograms).pooler_output
    backbone = loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")
    torch.testing.assert_close(backbone(spectrograms)["embedding"], expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 3e-2)])
def test_reduced_precision(
    dtype: torch.dtype,
    tolerance: float,
    folder: Path,
    backbone: AudioSpectrogramTransformer,
    loader_of: Callable[[torch.dtype], BackboneLoader],
    spectrograms: Tensor,
) -> None:
    rounded = loader_of(dtype).sound(BackboneSettings(model=str(folder)), key="features.audio")
    encoded, exact = rounded(spectrograms), backbone(spectrograms)
    assert {name: values.dtype for name, values in encoded.items()} == {"tokens": torch.float32, "embedding": dtype}
    for name, values in encoded.items():
        error = (values.float() - exact[name]).square().mean().sqrt() / exact[name].std()
        assert 0 < error < tolerance, name
    assert torch.equal(
        rounded.preparation(_windows(_tone(440, seconds=1.0))), backbone.preparation(_windows(_tone(440, seconds=1.0)))
    )


def test_valid_tokens_by_hand(backbone: AudioSpectrogramTransformer) -> None:
    # The demo's tokens are 16 frames apart; n samples make 1 + (n - 400) // 160 frames.
    assert backbone.num_valid_tokens(WINDOW) == 64
    assert backbone.num_valid_tokens(16_000) == 7  # 98 frames
    assert backbone.num_valid_tokens(400 + 15 * 160) == 1  # 16 frames
    assert backbone.num_valid_tokens(400 + 16 * 160) == 2  # 17 frames
    assert backbone.num_valid_tokens(1) == 1
    assert backbone.num_valid_tokens(0) == 0


@given(num_valid=st.integers(0, WINDOW - 1))
def test_more_sound_never_means_fewer_tokens(backbone: AudioSpectrogramTransformer, num_valid: int) -> None:
    tokens = backbone.num_valid_tokens(num_valid)
    assert 0 <= tokens <= backbone.num_valid_tokens(num_valid + 1) <= backbone.num_tokens


def test_another_window_is_refused(loader: BackboneLoader, tmp_path: Path) -> None:
    ASTModel(ASTConfig(hidden_size=12, num_hidden_layers=0, num_attention_heads=2, max_length=512)).save_pretrained(
        tmp_path
    )
    with pytest.raises(BackboneError, match="takes 512 frames"):
        loader.sound(BackboneSettings(model=str(tmp_path)), key="features.audio")


def test_preparation_travels_to_workers() -> None:
    preparation = SpectrogramPreparation(published_extractor(num_mel_bins=128, max_length=1024))
    windows = _windows(_tone(440, seconds=1.0))
    for copied in (copy.deepcopy(preparation), pickle.loads(pickle.dumps(preparation))):
        assert torch.equal(copied(windows), preparation(windows))
    assert len(pickle.dumps(preparation)) < 1_000_000
